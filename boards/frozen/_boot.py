"""Frozen in place of the port's own _boot.py, which prints a notice for ever where the file system does not mount.

Here such a file system is made anew: counts, ledger, product and config have a backup copy in NVS, and what matters is
that counting goes on. Where even that fails, main.py runs without files, and every record goes to NVS.
"""

import gc

import vfs
from flashbdev import bdev


def mount():
    for _ in range(3):
        try:
            return vfs.mount(bdev, "/")
        except OSError as error:
            print("wm boot mount=%r" % error)
    try:
        vfs.VfsLfs2.mkfs(bdev)
        vfs.mount(vfs.VfsLfs2(bdev), "/")
    except OSError as error:
        print("wm boot mkfs=%r" % error)


mount()
gc.collect()
