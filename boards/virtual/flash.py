"""Flash memory in a file: NOR rules, wear counted, and torn when the power goes within an operation.

Programming only clears bits, erasing sets a block of 4096 bytes to 0xFF. What reading, programming and erasing take
stands in costs.py; a session's `erase_ms` is another flash, up to the data sheets' worst of 400 ms.

The counters live in a file of their own that is written with each operation and so survives a kill:
`<4sIQQQ` magic b"WMF1", number of blocks, programs, erases, bytes programmed; then a `<I` of erases for each block.
"""

import errno
import struct

import costs

BLOCK_BYTES = 4096
HEADER = "<4sIQQQ"
HEADER_BYTES = struct.calcsize(HEADER)

ERASED = b"\xff" * BLOCK_BYTES
CACHED_BLOCKS = 8  # the PC's system calls are what a run would spend its time on
SYNC, BLOCK_COUNT, BLOCK_SIZE, BLOCK_ERASE = 3, 4, 5, 6


class Flash:
    """A block device for VfsLfs2 over the file at `path`.

    cut: None, or (operation, byte): at that operation since power-on, counted from 1 over programs and erases,
    only the first `byte` bytes are done and the power goes.
    """

    def __init__(self, world, path, stats_path=None, cut=None):
        self.world = world
        erase_ms = world.session.get("erase_ms")
        self.erase_us = costs.ERASE_US if erase_ms is None else erase_ms * 1000
        self.file = open(path, "r+b")
        self.blocks = self.file.seek(0, 2) // BLOCK_BYTES
        self.cache = [memoryview(bytearray(BLOCK_BYTES)) for _ in range(CACHED_BLOCKS)]
        self.cached = [-1] * CACHED_BLOCKS
        self.operation = 0
        self.reads = 0
        self.cut_operation, self.cut_byte = cut or (0, 0)
        self.programs = self.erases = self.bytes_programmed = 0
        self.stats = None
        if stats_path:
            self.stats = open(stats_path, "r+b")
            header = self.stats.read(HEADER_BYTES)
            if len(header) == HEADER_BYTES:
                _, _, self.programs, self.erases, self.bytes_programmed = struct.unpack(HEADER, header)
            else:
                self.stats.write(bytes(HEADER_BYTES + 4 * self.blocks))
                self.count()
        world.flash = self

    def count(self):
        if self.stats:
            self.stats.seek(0)
            self.stats.write(
                struct.pack(HEADER, b"WMF1", self.blocks, self.programs, self.erases, self.bytes_programmed)
            )

    def count_erase(self, block):
        self.erases += 1
        self.count()
        if self.stats:
            at = HEADER_BYTES + 4 * block
            self.stats.seek(at)
            erases = struct.unpack("<I", self.stats.read(4))[0] + 1
            self.stats.seek(at)
            self.stats.write(struct.pack("<I", erases))

    def done_bytes(self, size, cost_us):
        """How many of an operation's bytes get done: all of them, or those before the cut."""
        self.operation += 1
        if self.operation == self.cut_operation:
            return min(self.cut_byte, size), True
        left_us = self.world.spend(cost_us)
        if left_us is None:
            return size, False
        return size * left_us // cost_us, True

    def block_view(self, block):
        slot = block % CACHED_BLOCKS
        view = self.cache[slot]
        if self.cached[slot] != block:
            self.file.seek(block * BLOCK_BYTES)
            self.file.readinto(view)
            self.cached[slot] = block
        return view

    def readblocks(self, block, buffer, offset=0):
        size = len(buffer)
        self.reads += 1
        if self.world.charges:
            self.world.now_us += costs.SMALL_READ_US if size <= costs.SMALL_READ_BYTES else costs.READ_US
        if offset + size > BLOCK_BYTES:
            self.file.seek(block * BLOCK_BYTES + offset)
            self.file.readinto(buffer)
        else:
            buffer[:] = self.block_view(block)[offset : offset + size]

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:  # the plain protocol: erase, then write
            view = memoryview(buffer)
            for at in range(0, len(buffer), BLOCK_BYTES):
                self.erase(block)
                self.program(block, 0, view[at : at + BLOCK_BYTES])
                block += 1
        else:
            self.program(block, offset, buffer)

    def program(self, block, offset, buffer):
        """Raises RuntimeError where a bit would have to be set."""
        size = len(buffer)
        old = self.block_view(block)[offset : offset + size]
        if old != ERASED[:size]:
            new = int.from_bytes(buffer, "big")
            if int.from_bytes(old, "big") & new != new:
                raise RuntimeError("flash: programming block %d at %d would set bits" % (block, offset))
        done, cut = self.done_bytes(size, costs.PROGRAM_SETUP_US + size * costs.PROGRAM_BYTE_US)
        self.programs += 1
        self.bytes_programmed += done
        self.count()
        if done:
            data = memoryview(buffer)[:done]
            old[:done] = data
            self.file.seek(block * BLOCK_BYTES + offset)
            self.file.write(data)
        if cut:
            self.world.die_in_flash()

    def erase(self, block):
        view = self.block_view(block)
        done, cut = self.done_bytes(BLOCK_BYTES, self.erase_us)
        self.count_erase(block)
        if done:
            erased = memoryview(ERASED)[:done]
            view[:done] = erased
            self.file.seek(block * BLOCK_BYTES)
            self.file.write(erased)
        if cut:
            self.world.die_in_flash()

    def ioctl(self, request, argument):
        if request == BLOCK_COUNT:
            return self.blocks
        if request == BLOCK_SIZE:
            return BLOCK_BYTES
        if request == BLOCK_ERASE:
            if not 0 <= argument < self.blocks:
                return -errno.EINVAL
            self.erase(argument)
            return 0
        return 0

    def is_blank(self):
        self.file.seek(0)
        return self.file.read(BLOCK_BYTES) == ERASED
