"""Keeps one small record through power cuts, damage and a full flash.

    store = Store("/state/ledger", second_home)
    payload = store.load()          # None: no good copy anywhere
    store.save(payload)

A record lives in two files, /state/a/ledger and /state/b/ledger, written in turn, each framed by a counter and a
checksum, so that the previous good copy is always there. They are in two folders because littlefs keeps small files in
the blocks of their folder: a damaged block then costs one copy, not both, and each folder is rewritten less often
(0.024 instead of 0.026 erases a save). littlefs replaces a file atomically when it is closed: a power cut leaves the
old or the new content. Each file is read back after writing. A second home (on the ESP32 its NVS, which survives a
reformat of the file system) takes a copy when the caller asks, and where a file refuses.
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
_FOLDERS = ("/a/", "/b/")
_ABSENT = const(2)  # ENOENT


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
    except OSError as error:
        return None if error.errno == _ABSENT else b"?"


def _nothing():
    pass


class Store:
    """Two copies of `path`, and optionally a second home with `load() -> bytes or None` and `save(bytes) -> bool`.

    `damaged` counts copies that were there and not as they had been written, at the last load; `from_second_home` says
    that its copy was newer than any good file. `refused` says that a home did not take the last save.
    `counter` is the number of saves in the life of the record. `hold()` is called before each operation that may hold
    up all callbacks.
    """

    def __init__(self, path, second_home=None):
        folder, name = path.rsplit("/", 1)
        self._paths = [folder + part + name for part in _FOLDERS]
        self._second_home = second_home
        self._next = 0
        self.counter = 0
        self.damaged = 0
        self.from_second_home = False
        self.refused = False
        self.hold = _nothing
        for part in _FOLDERS:
            try:
                os.mkdir(folder + part[:-1])
            except OSError:
                pass  # It is there. If it cannot be made, each write says so.

    def load(self, valid=None):
        """Return the newest good payload, or None if there is no good copy.

        `valid(payload) -> bool` may refuse a payload that is intact but makes no sense to its owner. A damaged file
        is kept aside with `.bad` added to its name for those who want to know why; the next save goes to the file that
        is not the newest good one.
        """
        self.damaged = missing = empty = 0
        best = None
        for at in (0, 1):
            data = _read(self._paths[at])
            if not data:
                missing += 1
                empty += data is not None
                continue
            found = unframe(data)
            if found is None or (valid and not valid(found[1])):
                self.damaged += 1
                self._keep_aside(at)
                continue
            # Copies are written in turn: where their counters are further apart, littlefs has gone back to an older
            # state of one folder, as it does when a block of it is damaged.
            if best and abs(best[0] - found[0]) > 1:
                self.damaged += 1
            if best is None or found[0] > best[0]:
                best = found
                self._next = 1 - at
        data = self._second_home.load() if self._second_home else None
        if data is not None:
            found = unframe(data)
            if found is None or (valid and not valid(found[1])):
                self.damaged += 1
            elif best is None or found[0] > best[0]:
                best = found
                self.from_second_home = True
        # A cut while littlefs makes a file leaves it empty. It makes the first at save 1 and the second at save 2.
        if empty > 1 or (missing and best and best[0] > 1):
            self.damaged += missing
        if best is None:
            return None
        self.counter = best[0]
        return best[1]

    def save(self, payload, second_home=False):
        """Write `payload` to the older file and read it back; with `second_home`, there too.

        Returns True if at least one home now holds the payload. Where the file refuses, the second home is asked, and
        only where there is none the twin: the previous good copy is given up last.
        """
        self.counter += 1
        data = frame(self.counter, payload)
        kept = self._write(self._next, data)
        self.refused = not kept
        if kept:
            self._next = 1 - self._next
        if self._second_home and (second_home or not kept):
            if self._second_home.save(data):
                return True
            self.refused = True
        return kept or self._write(1 - self._next, data)

    def _write(self, at, data):
        path = self._paths[at]
        try:
            self.hold()
            with open(path, "wb") as file:
                self.hold()
                file.write(data)
                self.hold()
        except OSError:
            return False
        return _read(path) == data

    def _keep_aside(self, at):
        try:
            os.rename(self._paths[at], self._paths[at] + ".bad")
        except OSError:
            pass  # It stays where it is: the next save but one replaces it.
