"""Keeps one small record through power cuts, damage and a full flash.

    store = Store("/state/ledger", second_home)
    payload = store.load()          # None: no good copy anywhere
    store.save(payload)

A record lives in two files, written in turn, each framed by a counter and a checksum, so that the previous good copy
is always there. MicroPython's littlefs replaces a file atomically when it is closed: a power cut leaves the old or
the new content. Each file is read back after writing. A second home (on the ESP32 its NVS, which survives a reformat
of the file system) takes a copy when the caller asks.
"""

import os
import struct
from binascii import crc32

from micropython import const

FORMAT = const(1)
_MAGIC = const(0x57)
_HEAD = "<BBI"  # magic, format, counter
_HEAD_BYTES = const(6)
_CRC_BYTES = const(4)
_NAMES = (".a", ".b")


def frame(counter, payload):
    """Return `payload` with its head (magic, format, counter) and CRC-32, as it stands in a file."""
    data = struct.pack(_HEAD, _MAGIC, FORMAT, counter) + payload
    return data + struct.pack("<I", crc32(data) & 0xFFFFFFFF)


def unframe(data):
    """Return (counter, payload) of a framed record, or None where it is not intact or of another format."""
    if data is None or len(data) < _HEAD_BYTES + _CRC_BYTES:
        return None
    body = data[:-_CRC_BYTES]
    if struct.unpack("<I", data[-_CRC_BYTES:])[0] != crc32(body) & 0xFFFFFFFF:
        return None
    magic, record_format, counter = struct.unpack(_HEAD, body[:_HEAD_BYTES])
    if magic != _MAGIC or record_format != FORMAT:
        return None
    return counter, bytes(body[_HEAD_BYTES:])


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


class Store:
    """Two files `path`.a and `path`.b, and optionally a second home with `load() -> bytes or None` and `save(bytes)`.

    `damaged` counts copies that were there and not readable as a record, at the last load; `from_second_home` says that
    both files failed it.
    `counter` is the number of saves in the life of the record.
    """

    def __init__(self, path, second_home=None):
        self._path = path
        self._second_home = second_home
        self._next = 0
        self.counter = 0
        self.damaged = 0
        self.from_second_home = False

    def load(self, valid=None):
        """Return the newest good payload, or None if there is no good copy.

        `valid(payload) -> bool` may refuse a payload that is intact but makes no sense to its owner. A damaged file
        is kept aside as `path`.bad for those who want to know why; the next save goes to the file that is not the
        newest good one.
        """
        self.damaged = 0
        best = None
        self._next = 0
        for at in (0, 1, 2):
            if at < 2:
                data = _read(self._path + _NAMES[at])
            else:
                data = self._second_home.load() if self._second_home else None
            if data is None:
                continue
            found = unframe(data)
            if found is None or (valid and not valid(found[1])):
                self.damaged += 1
                if at < 2:
                    self._keep_aside(at)
                continue
            if best is None or found[0] > best[0]:
                best = found
                self.from_second_home = at == 2
                if at < 2:
                    self._next = 1 - at
        if best is None:
            self.counter = 0
            return None
        self.counter = best[0]
        return best[1]

    def save(self, payload, second_home=False):
        """Write `payload` to the older file and read it back; with `second_home`, there too.

        Returns True if at least one home now holds the payload. A file that refuses is tried at its twin, so the
        previous good copy is given up only where nothing else can take the new one.
        """
        self.counter += 1
        data = frame(self.counter, payload)
        kept = self._write(self._next, data)
        if kept:
            self._next = 1 - self._next
        else:
            kept = self._write(1 - self._next, data)
        if self._second_home and (second_home or not kept):
            kept = self._second_home.save(data) or kept
        return kept

    def _write(self, at, data):
        path = self._path + _NAMES[at]
        try:
            with open(path, "wb") as file:
                file.write(data)
        except OSError:
            return False
        return _read(path) == data

    def _keep_aside(self, at):
        try:
            os.rename(self._path + _NAMES[at], self._path + ".bad")
        except OSError:
            pass  # It stays where it is: the next save but one replaces it.
