"""Starts the firmware of the slot that /slot names (fw_a or fw_b); where a byte of it is not as it was written, or it
cannot be imported, the other one, or the one beside this file or frozen in.

The watchdog comes first: whatever hangs from here on ends in another start. (This file and boards/ are the only ones
that import machine.) A slot's file `sums` has a line for each of its files: name, bytes, CRC-32; the last is its own.
Here only what counts is read and checked; the firmware checks the rest once it counts.
"""

from machine import WDT

WDT(timeout=30000)

import binascii  # noqa: E402
import sys  # noqa: E402

SLOTS = ("fw_a", "fw_b")
COUNTS = ("board.mpy", "wm_count.mpy", "wm_start.mpy")


def crc_of(path):
    """Return (bytes, CRC-32) of a file."""
    size = crc = 0
    buffer = bytearray(1024)
    view = memoryview(buffer)
    with open(path, "rb") as file:
        while True:
            count = file.readinto(buffer)
            if not count:
                return size, crc & 0xFFFFFFFF
            size += count
            crc = binascii.crc32(view[:count], crc)


def check(slot, only=None):
    """Return what is wrong with the files of a slot (those named in `only`), "" for nothing."""
    try:
        with open("/%s/sums" % slot, "rb") as file:
            lines = file.read(4096).split(b"\n")
        if int(lines[-1], 16) != binascii.crc32(b"\n".join(lines[:-1])) & 0xFFFFFFFF:
            return "sums"
        for line in lines[:-1]:
            name, size, crc = line.decode().split()
            if (not only or name in only) and crc_of("/%s/%s" % (slot, name)) != (int(size), int(crc, 16)):
                return name
    except (OSError, ValueError) as error:
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
    first = chosen()
    path = list(sys.path)
    why = ""
    for slot in [first] * bool(first) + [slot for slot in SLOTS if slot != first] + [""]:
        sys.path[:] = ["/" + slot] + path + ["/" + slot + "/lib"] if slot else path
        wrong = check(slot, COUNTS) if slot else ""
        try:
            if not wrong:
                import board
                from wm_count import run
        except Exception as error:
            wrong = repr(error)
            for name in ("board", "wm_count"):
                sys.modules.pop(name, None)
        if not wrong:
            return run(board, slot, check, why)
        if first:
            why = why or "/%s: %s" % (slot, wrong)
        print("wm unusable slot=%s %s" % (slot, wrong))
    print("wm stopped no firmware")


main()
