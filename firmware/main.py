"""Starts the firmware of the slot that /slot names (fw_a or fw_b); where a byte of it is not as it was written, or it
cannot be imported, the other one, or the one beside this file or frozen in.

The watchdog comes first: whatever hangs from here on ends in another start. (This file and boards/ are the only ones
that import machine.) A slot's file `sums` has a line for each of its files: name, bytes, CRC-32; the last is its own.
"""

from machine import WDT

WDT(timeout=30000)

import binascii  # noqa: E402
import sys  # noqa: E402

_SLOTS = ("fw_a", "fw_b")


def crc_of(path, buffer):
    """Return (bytes, CRC-32) of a file."""
    size = crc = 0
    view = memoryview(buffer)
    with open(path, "rb") as file:
        while True:
            count = file.readinto(buffer)
            if not count:
                return size, crc & 0xFFFFFFFF
            size += count
            crc = binascii.crc32(view[:count], crc)


def complaint_of(slot, buffer):
    """Return what is wrong with the files of a slot, "" for nothing."""
    try:
        with open("/%s/sums" % slot, "rb") as file:
            lines = file.read(4096).split(b"\n")
        if int(lines[-1], 16) != binascii.crc32(b"\n".join(lines[:-1])) & 0xFFFFFFFF:
            return "sums"
        for line in lines[:-1]:
            name, size, crc = line.decode().split()
            if crc_of("/%s/%s" % (slot, name), buffer) != (int(size), int(crc, 16)):
                return name
    except (OSError, ValueError) as error:
        return repr(error)
    return ""


def chosen():
    try:
        with open("/slot") as file:
            return file.read(32).split()[0]
    except (OSError, ValueError, IndexError):
        return ""


def main():
    first = chosen()
    order = [first] + [slot for slot in _SLOTS if slot != first] if first in _SLOTS else list(_SLOTS)
    buffer = bytearray(1024)
    complaints = {slot: complaint_of(slot, buffer) for slot in order}
    usable = [slot for slot in order if not complaints[slot]]
    why = ""
    if first in _SLOTS and complaints[first]:
        why = "/%s: %s" % (first, complaints[first])
        print("wm unusable", why)
    path = list(sys.path)
    for slot in usable + [""]:
        sys.path[:] = ["/" + slot] + path + ["/" + slot + "/lib"] if slot else path
        try:
            import board
            from wm_count import run
        except Exception as error:
            print("wm unusable slot=%s" % slot)
            sys.print_exception(error)
            why = why or "/%s: %r" % (slot, error)
            for name in ("board", "wm_count", "wm_network", "wm_inputs"):
                sys.modules.pop(name, None)
            continue
        return run(board, slot, usable, why)
    print("wm stopped no firmware")


main()
