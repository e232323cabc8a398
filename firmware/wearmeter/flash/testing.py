"""Records in RAM, for host_tests/ and tools/torture. Not in any bundle."""

from wearmeter.flash.record import FRAME_BYTES, Refused


class Backup:
    """A backup copy as a board's `backup(key)` returns it; it survives whatever becomes of the files.

    `refuse` makes it fail as a full NVS does.
    """

    def __init__(self):
        self.data = b""
        self.refuse = False
        self.saves = 0

    def load_into(self, buffer):
        """Bring the bytes kept into `buffer`; returns how many, 0 where there are none or they do not fit."""
        if len(self.data) > len(buffer):
            return 0
        buffer[: len(self.data)] = self.data
        return len(self.data)

    def save(self, data):
        """Keep `data`. Returns whether that could be done."""
        if self.refuse:
            return False
        self.data = bytes(data)
        self.saves += 1
        return True


class MemoryRecord:
    """Stands in for flash.record.Record. `kept` is what a power cut leaves, b"" for nothing.

    `refuse` makes saves fail as a full flash does; `saves` and `backups` count those that went well.
    """

    def __init__(self, buffer_bytes, kept=b""):
        self.payload = memoryview(bytearray(buffer_bytes - FRAME_BYTES))
        self.capacity = buffer_bytes - FRAME_BYTES
        self.kept = kept
        self.refuse = False
        self.refused = False
        self.damaged = 0
        self.from_backup = False
        self.counter = 0
        self.saves = 0
        self.backups = 0
        self.again = False

    def load(self, valid=None):
        """As Record.load."""
        if not self.kept:
            return 0
        self.payload[: len(self.kept)] = self.kept
        if valid and not valid(self.payload[: len(self.kept)]):
            self.damaged = 1
            return 0
        return len(self.kept)

    def save(self, size, backup=False, again=False):
        """As Record.save. Raises Refused."""
        self.refused = self.refuse
        if self.refuse:
            raise Refused()
        self.kept = bytes(self.payload[:size])
        self.counter += 1
        self.saves += 1
        self.backups += backup
        self.again = again
