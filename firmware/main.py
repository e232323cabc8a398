"""Starts the firmware of the slot that /slot names (fw_a or fw_b); where a byte of it is not as it was written, or it
cannot be imported, the other one, or the one beside this file or frozen in.

The watchdog comes first: whatever hangs from here on ends in another start. (This file and boards/ are the only ones
that import machine.) A slot's file `sums` has a line for each of its files: name, bytes, CRC-32; the last is its own.
A slot is mounted at /fw as a file system of its own, which reads each file whole and checks it before MicroPython sees
a byte of it: a truncated .mpy would keep its loader busy for ever, and to look names up in flash takes longer than to
read the files.
"""

from machine import WDT

WDT(timeout=30000)

import binascii  # noqa: E402
import io  # noqa: E402
import sys  # noqa: E402

import vfs  # noqa: E402

SLOTS = ("fw_a", "fw_b")
_FILE, _FOLDER = 0x8000, 0x4000


class Slot:
    """The files of a slot, as MicroPython's `import` asks for them. Raises ValueError or OSError for bad `sums`."""

    def __init__(self, name):
        self.folder = "/" + name + "/"
        with open(self.folder + "sums", "rb") as file:
            lines = file.read(4096).split(b"\n")
        if int(lines[-1], 16) != binascii.crc32(b"\n".join(lines[:-1])) & 0xFFFFFFFF:
            raise ValueError("sums")
        self.sums = {}
        for line in lines[:-1]:
            path, size, crc = line.decode().split()
            self.sums[path] = int(size), int(crc, 16)

    def read(self, path):
        """Return the content of a file. Raises ValueError where it is not as it was written."""
        with open(self.folder + path, "rb") as file:
            # In one piece of the heap: without a size it would grow bit by bit, and be moved.
            data = file.read(self.sums[path][0] + 1)
        if (len(data), binascii.crc32(data) & 0xFFFFFFFF) != self.sums[path]:
            raise ValueError(path)
        return data

    def check(self, path):
        """Raise ValueError where a file is not as it was written. By pieces: the heap may not have room for it."""
        size, wanted = self.sums[path]
        crc = 0
        with open(self.folder + path, "rb") as file:
            piece = file.read(512)
            while piece:
                size -= len(piece)
                crc = binascii.crc32(piece, crc)
                piece = file.read(512)
        if size or crc & 0xFFFFFFFF != wanted:
            raise ValueError(path)

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass

    def stat(self, path):
        path = path.strip("/")
        kind, size = _FILE, 0
        if path in self.sums:
            size = self.sums[path][0]
        elif path in ("", "lib", "lib/umqtt"):
            kind = _FOLDER
        else:
            raise OSError(2)
        return kind, 0, 0, 0, 0, 0, size, 0, 0, 0

    def open(self, path, mode):
        return io.BytesIO(self.read(path.strip("/")))


def check(name):
    """Return what is wrong with the files of a slot, "" for nothing."""
    try:
        slot = Slot(name)
        for path in slot.sums:
            slot.check(path)
    except (OSError, ValueError, KeyError) as error:
        return repr(error)
    return ""


def chosen():
    """Return the slot that /slot names, "" where there is none."""
    try:
        with open("/slot") as file:
            slot = file.read(32).split()[0]
    except (OSError, ValueError, IndexError):
        slot = ""
    return slot if slot in SLOTS else ""


def main():
    """Start the firmware. Returns what runs it, None where the prompt is left to a maker; what has started it is no
    longer held by anybody then."""
    first = chosen()
    path = list(sys.path)
    why = ""
    for slot in [first] * bool(first) + [slot for slot in SLOTS if slot != first] + [""]:
        wrong = ""
        sys.path[:] = path
        try:
            if slot:
                vfs.mount(Slot(slot), "/fw")
                sys.path[:] = ["/fw"] + path + ["/fw/lib"]
            import board

            from wm_first import watch  # type: ignore[import-not-found]

            early = watch(board)
            from wm_start import start  # type: ignore[import-not-found]
        except Exception as error:
            wrong = repr(error)
            for name in list(sys.modules):
                if name == "board" or name.startswith("wm_"):
                    del sys.modules[name]
            if sys.path[0] == "/fw":
                vfs.umount("/fw")
        if not wrong:
            if not start(board, early, slot, check, why):
                return None
            from wm_count import run  # type: ignore[import-not-found]

            return run
        if first:
            why = why or "/%s: %s" % (slot, wrong)
        print("wm unusable slot=%s %s" % (slot, wrong))
    print("wm stopped no firmware")
    return None


run = main()
if run:
    run()
