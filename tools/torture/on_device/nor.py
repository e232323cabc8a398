"""NOR flash in memory: programming clears bits, erasing sets 4096 bytes to 0xFF. Each operation is told beforehand."""

BLOCK_BYTES = 4096
PROGRAM = 1
ERASE = 2
BACKUP = 3  # a commit of a backup copy, which is atomic

# As on the virtual board (boards/virtual/costs.py). A save that erases nothing has 1 program and some 70 reads; one
# that compacts the folder of the counts has an erase and some 700 reads, nearly all of them small.
READ_US = 75
SMALL_READ_US = 150
SMALL_READ_BYTES = 127
PROGRAM_SETUP_US = 500
PROGRAM_BYTE_US = 4
BACKUP_US = 2000
erase_us = 45000

_ERASED = b"\xff" * BLOCK_BYTES


def flash(blocks):
    """Return the content of erased flash."""
    return bytearray(_ERASED * blocks)


damaged = False  # on damaged flash a bit may be clear where littlefs rightly believes it erased


def program(image, address, data):
    """Clear bits. Raises ValueError where one would have to be set, unless `damaged`."""
    end = address + len(data)
    old = int.from_bytes(image[address:end], "little")
    new = int.from_bytes(data, "little")
    if old & new != new:
        if not damaged:
            raise ValueError("programming at %d would set bits" % address)
        data = (old & new).to_bytes(len(data), "little")
    image[address:end] = data


def erase(image, block):
    image[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES] = _ERASED


# How far an operation has come when the power goes, for each kind of operation: (quarters done, rest scrambled).
TEARS = {
    PROGRAM: ((0, False), (1, False), (2, True), (3, False)),
    ERASE: ((0, False), (2, False), (3, True)),
    BACKUP: ((0, False),),
}


def tear(image, kind, at, data, quarters, scrambled):
    """Do the first `quarters` of an operation; `scrambled` leaves some of the next bytes half done."""
    if kind == PROGRAM:
        done = len(data) * quarters // 4
        program(image, at, data[:done])
        if scrambled:
            for i in range(done, min(done + 8, len(data))):
                image[at + i] &= data[i] | 0x55
    elif kind == ERASE:
        start = at * BLOCK_BYTES
        done = BLOCK_BYTES * quarters // 4
        image[start : start + done] = _ERASED[:done]
        if scrambled:
            for i in range(start + done, start + done + 64):
                image[i] |= 0xAA


class Nor:
    """A block device for VfsLfs2 over `image`; `operation(kind, at, data, cost_us)` is called before each is done, and
    `spend(cost_us)` at each read."""

    def __init__(self, image, operation=lambda kind, at, data, cost_us: None, spend=lambda cost_us: None):
        self._image = image
        self._view = memoryview(image)
        self._blocks = len(image) // BLOCK_BYTES
        self._operation = operation
        self._spend = spend

    def readblocks(self, block, buffer, offset=0):
        self._spend(SMALL_READ_US if len(buffer) <= SMALL_READ_BYTES else READ_US)
        address = block * BLOCK_BYTES + offset
        buffer[:] = self._view[address : address + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        address = block * BLOCK_BYTES + offset
        data = bytes(buffer)
        self._operation(PROGRAM, address, data, PROGRAM_SETUP_US + PROGRAM_BYTE_US * len(data))
        program(self._image, address, data)

    def ioctl(self, request, argument):
        if request == 4:
            return self._blocks
        if request == 5:
            return BLOCK_BYTES
        if request == 6:
            self._operation(ERASE, argument, None, erase_us)
            erase(self._image, argument)
        return 0
