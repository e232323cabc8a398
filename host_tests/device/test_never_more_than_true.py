"""Counted time never exceeds the true running time, whatever holds up callbacks: with MicroPython's queue of eight.

Rows 1 and 2: two inputs that toggle every 20 to 600 ms, saves and TLS records that block for up to 400 ms.
"""

import random

from helpers import ON_MICROPYTHON

from wearmeter.device.attention import Attention
from wearmeter.device.testing import MASK, Clockwork, ticks_diff
from wearmeter.device.tick import Tick
from wearmeter.flash.record import FRAME_BYTES
from wearmeter.flash.testing import MemoryRecord
from wearmeter.inputs.guarded import Guarded
from wearmeter.inputs.level import LevelInput
from wearmeter.inputs.testing import Wave
from wearmeter.state.clock import Clock
from wearmeter.state.counts import RECORD_BYTES
from wearmeter.state.faults import Faults
from wearmeter.state.state import LEDGER_BYTES, State

HOURS_6 = 6 * 3600000
RUN_MS = 20000
SEEDS = 5 if ON_MICROPYTHON else 25


class SlowRecord(MemoryRecord):
    """A record whose saves take as long as on flash, in which no callback runs."""

    def __init__(self, clockwork, longest_ms):
        super().__init__(RECORD_BYTES + FRAME_BYTES)
        self.clockwork = clockwork
        self.longest_ms = longest_ms

    def save(self, size, backup=False, again=False):
        self.clockwork.block(random.choice((17, 25, 31, self.longest_ms)))
        super().save(size, backup, again)


class Unit:
    """Two level inputs on waves, a tick, and a loop that rests, works and blocks in turn."""

    def __init__(self, shortest_ms, longest_ms, save_ms, block_ms):
        self.clockwork = clockwork = Clockwork(random.choice((0, MASK - 5000)))
        self.attention = Attention(clockwork.sleep_ms, clockwork.ticks_us, ticks_diff)
        self.block_ms = block_ms
        self.waves = []
        inputs = []
        for place in (0, 1):
            changes = []
            at_ms = random.randint(50, 600)
            while at_ms < RUN_MS:
                changes.append(at_ms)
                at_ms += random.randint(shortest_ms, longest_ms)
            self.waves.append(Wave(clockwork, changes))
            source = LevelInput(self.waves[-1], 1, HOURS_6, clockwork.ticks_us, ticks_diff, self.attention.prompt)
            inputs.append((Guarded("motor", lambda made: made, source), (place,)))
        self.state = State(
            [1, 2],
            Clock(clockwork.ticks_ms, ticks_diff),
            Faults(),
            SlowRecord(clockwork, save_ms),
            MemoryRecord(LEDGER_BYTES),
            lambda line: None,
        )
        self.state.load(lambda: 7)
        self.tick = Tick(
            self.state,
            inputs,
            None,
            self.attention,
            clockwork.ticks_ms,
            clockwork.ticks_us,
            ticks_diff,
            lambda room, action, argument, leave_out=True: action(argument),
        )
        self.tick()
        clockwork.start_timer(100, self.tick)

    def live(self):
        clockwork = self.clockwork
        while clockwork.passed_ms < RUN_MS:
            what = random.random()
            if what < 0.7:
                self.attention.rest(random.choice((5, 100, 500)))
            elif what < 0.9:
                for _ in range(random.randint(1, 5)):  # Python that works: callbacks run between its bytecodes
                    clockwork.go(random.randint(1, 3))
            elif self.block_ms:
                clockwork.block(random.randint(1, self.block_ms))
        self.attention.rest(300)

    def excess_ms(self, place):
        """By how much what was counted is more than what was true."""
        return self.state.parts[place].lifetime_ms - self.waves[place].on_ms(self.clockwork.passed_ms)


def test_two_inputs_that_toggle_beside_saves_and_blocks_are_never_counted_above_the_truth():
    for seed in range(SEEDS):
        for shortest_ms, longest_ms in ((20, 600), (5, 60), (200, 5000)):
            for save_ms, block_ms in ((31, 0), (219, 0), (219, 400), (635, 100)):
                random.seed(seed)
                unit = Unit(shortest_ms, longest_ms, save_ms, block_ms)
                unit.live()
                for place in (0, 1):
                    case = seed, shortest_ms, longest_ms, save_ms, block_ms, place
                    assert unit.excess_ms(place) <= 0, (case, unit.excess_ms(place))


def test_a_motor_in_quiet_loses_no_more_than_a_tenth_of_a_second_a_stop():
    for seed in range(SEEDS):
        random.seed(seed)
        unit = Unit(3000, 9000, 31, 0)
        unit.live()
        for place in (0, 1):
            wave = unit.waves[place]
            assert -100 * len(wave.changes) <= unit.excess_ms(place) <= 0, (seed, unit.excess_ms(place))
