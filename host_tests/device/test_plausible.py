"""Counted time never exceeds elapsed time, and an input that is on for longer than any clean is a fault."""

import random

from fakes import WRAP, Pin, Ticks, ticks_diff
from house import HOURS_6, House

from wearmeter import faults, wire
from wearmeter.drivers.level import LevelInput
from wearmeter.meter import Meter


def test_counted_never_exceeds_elapsed_nor_the_true_time_on_whatever_edges_are_lost_or_late():
    for seed in range(300):
        random.seed(seed)
        meter = Meter(ticks_diff, True, HOURS_6)
        now_ms = start_ms = random.choice((0, WRAP - 5000))
        level = False
        true_ms = counted_ms = 0
        waiting = []  # edges whose interrupt has not run
        for _ in range(120):
            step_ms = random.choice((0, 1, 7, 50, 100, 149, 151, 900))
            now_ms += step_ms
            true_ms += step_ms if level else 0
            if random.random() < 0.4:
                level = not level
                if random.random() < 0.8:
                    waiting.append(level)
            held_up = random.random() < 0.3
            if held_up:
                meter.held = True
            if not held_up:
                # Interrupts run in their order, and find the level of now.
                while waiting:
                    waiting.pop()
                    counted_ms += meter.edge(level, now_ms % WRAP)
                if random.random() < 0.5:
                    counted_ms += meter.sample(level, now_ms % WRAP)
            assert 0 <= counted_ms <= now_ms - start_ms


def test_while_interrupts_are_on_time_it_is_the_true_time_to_the_millisecond():
    for seed in range(100):
        random.seed(seed)
        pin, ticks = Pin(0), Ticks(random.choice((0, WRAP - 20000)))
        source = LevelInput(pin, 1, HOURS_6, ticks, ticks_diff)
        true_ms = counted_ms = 0
        for at_ms in range(1, 60000):
            ticks.go(1)
            true_ms += pin.level
            if random.random() < 0.0007:
                pin.set(1 - pin.level)
            if not at_ms % 100:
                counted_ms += source.sample(ticks())
        pin.set(0)
        assert counted_ms + source.sample(ticks()) == true_ms


def test_six_hours_on_are_a_fault_that_is_told_and_count_no_further_until_seen_off():
    house = House("six")
    house.motors[0].set(1)
    house.go(7 * 3600 * 1000, 10000)
    assert house.ledger.consumables[0].lifetime_ms == HOURS_6
    assert house.ledger.consumables[1].lifetime_ms == 0
    assert house.faults.bits & faults.INPUT_STUCK
    assert house.queued(wire.FAULT)[-1][5] & faults.INPUT_STUCK
    house.motors[0].set(0)
    house.go(61000, 1000)
    assert not house.faults.bits & faults.INPUT_STUCK
    assert not house.queued(wire.FAULT)[-1][5] & faults.INPUT_STUCK
    house.run(0, 5000)
    assert house.ledger.consumables[0].lifetime_ms == HOURS_6 + 5000


def test_the_other_input_counts_on_beside_a_stuck_one():
    house = House("beside")
    house.motors[0].set(1)
    house.go(6 * 3600 * 1000 + 60000, 10000)
    house.run(1, 3000)
    assert house.ledger.consumables[1].lifetime_ms == 3000
