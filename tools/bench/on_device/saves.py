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
from wearmeter import ledger, outbox, store, wire  # noqa: E402

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


def book(count=2):
    made = ledger.Ledger(count)
    made.epoch = 12345
    return made


class Ours:
    """The firmware's own ledger and store; each `day` saves the outbox takes a report and its acknowledgment, too."""

    def __init__(self, parts=2, pending=0, day=0):
        self.ledger = book(parts)
        for index in range(pending):
            self.ledger.replace(index, 0, 1782900000, 1782900000, None)
        self.store = self.outbox = None
        self.day = day

    def __call__(self, number):
        if self.store is None:
            self.store = store.Store("/state/ledger")
            self.outbox = outbox.Outbox(store.Store("/state/outbox"), 2)
            self.outbox.load(self.ledger.epoch, 1, [1, 1])
        self.ledger.add(0, 700)
        if not self.store.save(self.ledger.encode()):
            raise OSError("not saved")
        self.ledger.saved()
        if self.day and number % self.day == 0:
            sequence = self.outbox.add(wire.REPORT, [[1, 1, 1, 1, 2, 2, 1, 2]], 1782900000, 1782900000, 0)
            self.outbox.acknowledge(self.ledger.epoch, sequence)


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
measure("ours, one replacement can be undone", Ours(pending=1), plan["saves"])
measure("ours, eight consumables", Ours(8), plan["saves"])
measure("json", json_rewritten, plan["saves"] // 4)
measure("rename", temporary_and_rename, plan["saves"] // 4)
measure("journal", journal, plan["saves"] // 4)


def write_only(self, at, data):
    """Without reading back, which wears nothing: a year is long enough."""
    with open(self._paths[at], "wb") as file:
        file.write(data)
    return True


if plan["year"]:
    # An eighth of the year's saves on an eighth of the free blocks: as often as each would be erased in the whole.
    store.Store._write = write_only
    measure("year", Ours(day=plan["year"] // 365), plan["year"] // 8, USED_BLOCKS + (BLOCKS - USED_BLOCKS) // 8)
