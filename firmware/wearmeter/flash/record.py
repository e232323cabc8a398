"""One record in flash: two copies in two folders, and a backup copy outside the file system.

    record = Record(bytearray(256), "counts", backup)
    size = record.load(valid)         # the payload is then record.payload[:size]; 0: no good copy anywhere
    record.save(size)                 # raises Refused where no copy could be written

The copies, /state/a/NAME and /state/b/NAME, are written in turn, each framed by a counter and a CRC-32, so that the
previous good one is always there. They are in two folders because littlefs keeps small files in the blocks of their
folder: a damaged block then costs one copy, not both, and each folder is rewritten less often (0.024 instead of 0.026
erases a save).

littlefs compacts a folder when the block with its changes is full, at each 41st save: an erase, and some 700 small
reads where it holds one file, 2,000 where it holds two. Each 100th time it moves the folder, and writes that to the
folder above and to the one that was made after it beside it, which may be full, too. So what is written most has a NAME
of two words: a folder of its own below a and below b.

littlefs replaces a file atomically when it is closed: a power cut leaves the old content or the new.
Each file is read back. The backup copy (on the ESP32 in NVS, which survives a reformat of the file system) is written
when the caller asks, and where a file refuses.
"""

import os
import struct
from binascii import crc32

from micropython import const

FORMAT = const(2)
_MAGIC = const(0x57)
_HEAD = "<BBI"  # magic, format, counter
HEAD_BYTES = const(6)
_CRC_BYTES = const(4)
FRAME_BYTES = const(10)
_chunk = bytearray(64)  # for reading back: one for all records, for it holds nothing between two calls
_FOLDERS = ("/a", "/b")
# Saves whose counters are further apart than this were not written one after the other. Two, because a save may go to
# the same folder twice: see `again`.
_MOST_APART = const(2)
_NO_ENTRY = const(2)  # ENOENT


def unframe(data):
    """Return (counter, payload) of a framed record, or None where it is not intact or of another format."""
    end = len(data) - _CRC_BYTES
    if end < HEAD_BYTES or struct.unpack("<I", data[end:])[0] != crc32(data[:end]) & 0xFFFFFFFF:
        return None
    magic, record_format, counter = struct.unpack(_HEAD, data[:HEAD_BYTES])
    if magic != _MAGIC or record_format != FORMAT:
        return None
    return counter, data[HEAD_BYTES:end]


class Refused(OSError):
    """No copy of the record could be written; the ones before are untouched."""


class Record:
    """`buffer` holds the frame and the payload between saves; `payload` is the part that is the caller's.

    `backup` has `load_into(buffer) -> bytes` (0 for none) and `save(data) -> bool`, or is None. After `load`,
    `damaged` counts the copies that were there and not as they had been written, and `from_backup` says that the
    backup was newer than any good file. `refused` says that a copy did not take the last save. `counter` is the number
    of saves in the life of the record.
    """

    def __init__(self, buffer, name, backup=None, folder="/state"):
        self._buffer = buffer
        self._view = memoryview(buffer)
        self._paths = [folder + part + "/" + name for part in _FOLDERS]
        self._backup = backup
        self._next = 0
        self.payload = self._view[HEAD_BYTES:-_CRC_BYTES]
        self.capacity = len(buffer) - FRAME_BYTES
        self.counter = 0
        self.damaged = 0
        self.from_backup = False
        self.refused = False
        self._backed_up = 0  # the counter of the backup copy

    def load(self, valid=None):
        """Bring the newest good copy into the buffer and return the size of its payload, 0 if there is none.

        `valid(payload)` may refuse one that is intact but makes no sense to its owner. A damaged file is quarantined:
        renamed to NAME.bad for those who want to know why. The next save goes to the file that is not the newest.
        """
        self.damaged = missing = empty = 0
        self.from_backup = False
        best = -1
        counter = 0
        for at in (0, 1):
            size = self._read(at)
            if size <= 0:
                missing += 1
                empty += size == 0
                continue
            if not self._intact(size, valid):
                self.damaged += 1
                self._quarantine(at)
                continue
            found = self._counter()
            # Where the counters are further apart, littlefs has gone back to an older state of one folder, as it does
            # when a block of it is damaged.
            if best >= 0 and abs(counter - found) > _MOST_APART:
                self.damaged += 1
            if best < 0 or found > counter:
                best, counter = at, found
        if self._backup:
            size = self._backup.load_into(self._buffer)
            if size:
                if not self._intact(size, valid):
                    self.damaged += 1
                else:
                    self._backed_up = self._counter()
                    if best < 0 or self._backed_up > counter:
                        best, counter = 2, self._backed_up
                        self.from_backup = True
        # A cut while littlefs makes a file leaves it empty. It makes the first at save 1 and the second at save 2.
        if empty > 1 or (missing and best >= 0 and counter > _MOST_APART):
            self.damaged += missing
        if best < 0:
            return 0
        size = self._backup.load_into(self._buffer) if best == 2 else self._read(best)
        if not self._intact(size, valid):
            raise OSError("the flash reads differently each time")
        self.counter = counter
        self._next = 1 - best if best < 2 else 0
        return size - FRAME_BYTES

    def save(self, size, backup=False, again=False):
        """Write the first `size` bytes of the payload to the older copy and read it back; with `backup`, there too.

        `again` writes to the copy that was written last: its folder was compacted a moment ago, so this save erases
        nothing. Raises Refused where no copy holds the payload. Where the file refuses, the backup is asked, and only
        where there is none the other file: the previous good copy is given up last.
        """
        counter = self.counter + 1
        end = HEAD_BYTES + size
        struct.pack_into(_HEAD, self._buffer, 0, _MAGIC, FORMAT, counter)
        struct.pack_into("<I", self._buffer, end, crc32(self._view[:end]) & 0xFFFFFFFF)
        data = self._view[: end + _CRC_BYTES]
        at = 1 - self._next if again else self._next
        kept = self._write(at, data)
        self.refused = not kept
        if kept:
            self._next = 1 - at
        if self._backup and (backup or not kept):
            if self._backup.save(data):
                kept = True
            else:
                self.refused = True
        if not kept and not self._backup:
            kept = self._write(1 - at, data)
        if not kept:
            raise Refused()
        self.counter = counter

    def back_up(self, size):
        """Bring the backup copy to what `load` has found in the files, if it is another."""
        if self._backup and self._backed_up != self.counter:
            self._backup.save(self._view[: size + FRAME_BYTES])

    def _write(self, at, data):
        chunk = _chunk
        try:
            with self._open(at) as file:
                file.write(data)
            with open(self._paths[at], "rb") as file:
                done = 0
                while done < len(data):
                    count = file.readinto(chunk)
                    if not count or chunk[:count] != data[done : done + count]:
                        return False
                    done += count
                return not file.readinto(chunk)
        except OSError:
            return False

    def _open(self, at):
        path = self._paths[at]
        try:
            return open(path, "wb")
        except OSError as error:
            if error.errno != _NO_ENTRY:
                raise
        # The first save of all: its folders are not there yet.
        at = path.find("/", 1)
        while at > 0:
            try:
                os.mkdir(path[:at])
            except OSError:
                pass  # It is there. If it cannot be made, the next line says so.
            at = path.find("/", at + 1)
        return open(path, "wb")

    def _read(self, at):
        """Read a copy into the buffer and return its size; -1 where there is none, a size that no copy has where it is
        unreadable or too large."""
        try:
            with open(self._paths[at], "rb") as file:
                size = file.readinto(self._buffer)
                return 1 if file.read(1) else size
        except OSError as error:
            return -1 if error.errno == _NO_ENTRY else 1

    def _counter(self):
        return struct.unpack_from(_HEAD, self._buffer)[2]

    def _intact(self, size, valid):
        found = unframe(self._view[:size])
        return found is not None and (not valid or valid(found[1]))

    def _quarantine(self, at):
        try:
            os.rename(self._paths[at], self._paths[at] + ".bad")
        except OSError:
            pass  # It stays where it is: the next save but one replaces it.
