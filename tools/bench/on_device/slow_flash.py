"""A motor that runs for as many saves as you like, on flash of which erasing takes long: slow_flash.py PLAN.json

The plan: {"path": where the firmware and nor.py are, "erase_ms": what erasing a block takes, "saves": how many of the
counts, "clean_s": for how long the motor runs until the power goes}. The firmware's own tick saves through the real
VfsLfs2; a report and its acknowledgment come with each clean, and a replacement with each tenth.

Prints one JSON object: "saves", "counts" and "ledger" (number of erases in a save -> how often), "worst_first_ms"
(the most that a cut at any moment of the first clean would have cost), "worst_learnt_ms" (of the others), "bound_ms"
(what the tick says of it), "told_slow" (cleans in which FLASH_SLOW stood), "cleans", "longest_ms" of a tick.
"""

import json
import sys

with open(sys.argv[1]) as _file:
    plan = json.load(_file)
sys.path[:0] = plan["path"]

import os  # noqa: E402
import vfs  # noqa: E402

import nor  # noqa: E402
from wearmeter.device.attention import Attention  # noqa: E402
from wearmeter.device.testing import ticks_add, ticks_diff  # noqa: E402
from wearmeter.device.tick import Tick  # noqa: E402
from wearmeter.flash.record import FRAME_BYTES, Record  # noqa: E402
from wearmeter.state import clock, counts, events, faults  # noqa: E402
from wearmeter.state.state import LEDGER_BYTES, State  # noqa: E402

BLOCKS = 128
PERIOD_US = 100000
PYTHON_US = 2000  # of a tick, beside its flash
BACK_UP_US = 2000


class Time:
    """Passes with each operation of the flash, and between ticks."""

    def __init__(self):
        self.us = 0
        self.erases = 0

    def ticks_us(self):
        return ticks_add(0, self.us & 0x3FFFFFFF)

    def ticks_ms(self):
        return ticks_add(0, self.us // 1000 & 0x3FFFFFFF)

    def sleep_ms(self, ms):
        self.us += ms * 1000

    def operation(self, kind, at, data, cost_us):
        self.us += cost_us
        self.erases += kind == nor.ERASE

    def spend(self, cost_us):
        self.us += cost_us


class Motor:
    """An input that is on all the time."""

    on = True
    stuck = noisy = False
    error = None

    def __init__(self, time):
        self._time = time
        self._seen_ms = time.us // 1000

    def sample(self, now_us, late_us):
        ran_ms = self._time.us // 1000 - self._seen_ms
        self._seen_ms += ran_ms
        return ran_ms


class Backup:
    def __init__(self, time):
        self._time = time

    def load_into(self, buffer):
        return 0

    def save(self, data):
        self._time.us += BACK_UP_US
        return True


class Watched(Record):
    """A record that tells what each of its saves has erased, and that it is in flash now."""

    def __init__(self, size, name, time, told):
        super().__init__(bytearray(size), name, Backup(time))
        self._name, self._time, self._told = name, time, told

    def save(self, size, backup=False, again=False):
        before = self._time.erases
        super().save(size, backup, again)
        self._told(self._name, self._time.erases - before)


class Clean:
    """From power-on until it goes, with the motor on."""

    def __init__(self, time, told):
        self.time = time
        self.told = told
        self.state = State(
            [1, 2],
            clock.Clock(time.ticks_ms, ticks_diff),
            faults.Faults(),
            Watched(counts.RECORD_BYTES + FRAME_BYTES, counts.NAME, time, self.kept),
            Watched(LEDGER_BYTES, "ledger", time, self.kept),
            lambda line: None,
        )
        self.state.load(lambda: 7)
        attention = Attention(time.sleep_ms, time.ticks_us, ticks_diff)
        self.sampled_us = self.kept_us = time.us
        self.tick = Tick(
            self.state,
            [(Motor(time), (0,))],
            None,
            attention,
            time.ticks_ms,
            time.ticks_us,
            ticks_diff,
            lambda room, action, argument, leave_out=True: action(argument),
        )
        attention.start_beat()
        self.worst_us = self.longest_us = 0

    def kept(self, which, erases):
        told = self.told[which.split("/")[0]]
        told[erases] = told.get(erases, 0) + 1
        self.worst_us = max(self.worst_us, self.time.us - self.kept_us)
        self.kept_us = self.sampled_us

    def run(self, seconds, number):
        time = self.time
        end_us = time.us + seconds * 1000000
        due_us = time.us + PERIOD_US
        tell_us = time.us + seconds * 500000
        while time.us < end_us:
            time.us = max(time.us, due_us)
            due_us += PERIOD_US
            began_us = time.us
            if began_us > tell_us:
                tell_us = end_us
                self.state._do(self.state._report, (number,))
                self.tick.post((events.ACKNOWLEDGED, self.state.numbers.epoch, self.state.numbers.next_sequence - 1))
                if number % 10 == 9:
                    self.tick.post((events.REPLACED, 2, 0))
            self.sampled_us = began_us
            time.us += PYTHON_US
            self.tick()
            self.longest_us = max(self.longest_us, time.us - began_us)


def main():
    nor.erase_us = plan["erase_ms"] * 1000
    time = Time()
    image = nor.flash(BLOCKS)
    device = nor.Nor(image, time.operation, time.spend)
    vfs.VfsLfs2.mkfs(device)
    try:
        vfs.umount("/")
    except OSError:
        pass  # Nothing was mounted there.
    vfs.mount(vfs.VfsLfs2(device), "/")
    os.mkdir("/state")
    told = {"counts": {}, "ledger": {}, "told_slow": 0, "longest_ms": 0}
    cleans = 0
    while sum(told["counts"].values()) < plan["saves"]:
        clean = Clean(time, told)
        clean.run(plan["clean_s"], cleans)
        worst_ms = clean.worst_us // 1000
        which = "worst_learnt_ms" if cleans else "worst_first_ms"
        told[which] = max(told.get(which, 0), worst_ms)
        told["longest_ms"] = max(told["longest_ms"], clean.longest_us // 1000)
        told["told_slow"] += bool(clean.state.faults.bits & faults.FLASH_SLOW)
        cleans += 1
        time.us += 60000000
    told["cleans"], told["saves"] = cleans, sum(told["counts"].values())
    told["bound_ms"], told["pause_ms"] = clean.tick.bound_ms, clean.tick.pause_ms
    told["save_ms"] = clean.state.numbers.save_ms
    print(json.dumps(told))


main()
