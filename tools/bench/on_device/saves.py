"""What a save costs in flash, on the real VfsLfs2 over counting NOR: saves.py PLAN.json

The plan: {"path", "saves": how many of each way, "year": saves of a year}. Prints a JSON object for each way of saving.
"""

import json
import sys

with open(sys.argv[1]) as _file:
    plan = json.load(_file)
sys.path[:0] = plan["path"]

import os  # noqa: E402
import vfs  # noqa: E402
from wearmeter.flash.record import FRAME_BYTES, Record  # noqa: E402
from wearmeter.state import counts, events, faults  # noqa: E402
from wearmeter.state.clock import Clock  # noqa: E402
from wearmeter.state.state import LEDGER_BYTES, State  # noqa: E402

BLOCK_BYTES = 4096
BLOCKS = 512  # 2 MiB, as the vfs partition of a stock ESP32 with 4 MiB
USED_BLOCKS = 30  # by the files and folders of `mounted`: only the others are worn


class Nor:
    """A block device that counts."""

    def __init__(self, blocks):
        self.image = bytearray(b"\xff" * BLOCK_BYTES * blocks)
        self.view = memoryview(self.image)
        self.erases = [0] * blocks
        self.programmed = 0
        self.erased = b"\xff" * BLOCK_BYTES

    def readblocks(self, block, buffer, offset=0):
        at = block * BLOCK_BYTES + offset
        buffer[:] = self.view[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        at = block * BLOCK_BYTES + offset
        self.image[at : at + len(buffer)] = buffer
        self.programmed += len(buffer)

    def ioctl(self, request, argument):
        if request == 4:
            return len(self.erases)
        if request == 5:
            return BLOCK_BYTES
        if request == 6:
            self.erases[argument] += 1
            self.image[argument * BLOCK_BYTES : (argument + 1) * BLOCK_BYTES] = self.erased
        return 0


def mounted(blocks):
    """A fresh file system with 20 files on it, as a deployed unit has."""
    device = Nor(blocks)
    vfs.VfsLfs2.mkfs(device)
    try:
        vfs.umount("/")
    except OSError:
        pass  # The first time.
    vfs.mount(vfs.VfsLfs2(device), "/")
    os.mkdir("/wearmeter")
    for number in range(20):
        with open("/wearmeter/%d.mpy" % number, "wb") as file:
            file.write(b"x" * 1500)
    os.mkdir("/state")
    return device


def measure(name, save, count, blocks=BLOCKS):
    device = mounted(blocks)
    for number in range(50):
        save(number)
    erases, programmed = sum(device.erases), device.programmed
    for number in range(count):
        save(number + 50)
    result = {
        "way": name,
        "erases": (sum(device.erases) - erases) / count,
        "bytes": (device.programmed - programmed) / count,
        "hottest": max(device.erases),
        "saves": count,
    }
    print(json.dumps(result))


class Ours:
    """The firmware's own state and records; each `day` saves it takes a report and its acknowledgment, too."""

    def __init__(self, parts=2, pending=False, day=0):
        self.parts = parts
        self.pending = pending
        self.day = day
        self.state = None

    def begin(self):
        flags = faults.Faults()
        clock = Clock(lambda: 0, lambda later, earlier: later - earlier)
        counts_record = Record(bytearray(counts.RECORD_BYTES + FRAME_BYTES), counts.NAME)
        ledger_record = Record(bytearray(LEDGER_BYTES), "ledger")
        ids = list(range(1, self.parts + 1))
        self.state = State(ids, clock, flags, counts_record, ledger_record, lambda text: None)
        self.state.load(lambda: 12345)
        clock.tick(0)
        if self.pending:
            self.state.apply((events.REPLACED, 1, 0))

    def __call__(self, number):
        if self.state is None:
            self.begin()
        state = self.state
        state.ran(0, 700)
        if not state.save_counts():
            raise OSError("not saved")
        if self.day and number % self.day == 0:
            state._do(state._report, (1,))
            state.apply((events.ACKNOWLEDGED, state.numbers.epoch, state.numbers.next_sequence - 1))


def json_document(number):
    return json.dumps(
        {
            "consumables": [
                {"instance": "Sensor.DustFilter", "lifetime_ms": 700 * number, "generation": 1},
                {"instance": "Sensor.Brush", "lifetime_ms": 350 * number, "generation": 1},
            ]
        }
    )


def json_rewritten(number):
    with open("/state/counts.json", "w") as file:
        file.write(json_document(number))


def temporary_and_rename(number):
    with open("/state/counts.tmp", "w") as file:
        file.write(json_document(number))
    os.rename("/state/counts.tmp", "/state/counts.json")


def journal(number):
    if number % 4096 == 0:
        with open("/state/journal", "wb"):
            pass
    with open("/state/journal", "ab") as file:
        file.write(number.to_bytes(32, "little"))


measure("ours", Ours(), plan["saves"])
measure("ours, one replacement can be undone", Ours(pending=True), plan["saves"])
measure("ours, eight consumables", Ours(8), plan["saves"])
measure("json", json_rewritten, plan["saves"] // 4)
measure("rename", temporary_and_rename, plan["saves"] // 4)
measure("journal", journal, plan["saves"] // 4)


def write_only(self, at, data):
    """Without reading back, which wears nothing: a year is long enough."""
    with self._open(at) as file:
        file.write(data)
    return True


if plan["year"]:
    # An eighth of the year's saves on an eighth of the free blocks: as often as each would be erased in the whole.
    Record._write = write_only
    measure("year", Ours(day=plan["year"] // 365), plan["year"] // 8, USED_BLOCKS + (BLOCKS - USED_BLOCKS) // 8)
