"""A level input counts while the motor runs, and only then; what no motor does is noise."""

import random

from wearmeter.device.testing import MASK, Clockwork, ticks_diff
from wearmeter.inputs.level import LevelInput
from wearmeter.inputs.testing import Pin

HOURS_6 = 6 * 3600000


class Bench:
    """A level input on a pin, looked at in each tick; `prompt` is what Attention says of an edge."""

    def __init__(self, active=1, zero_ms=1000):
        self.clockwork = Clockwork(zero_ms)
        self.pin = Pin(1 - active)
        self.prompt = True
        self.source = LevelInput(
            self.pin, active, HOURS_6, self.clockwork.ticks_us, ticks_diff, lambda now_us: self.prompt
        )

    def tick(self, ms=100, late_us=0):
        self.clockwork.go(ms)
        return self.source.sample(self.clockwork.ticks_us(), late_us)


def test_counts_from_edge_to_edge_whatever_the_tick():
    bench = Bench()
    bench.tick()
    bench.clockwork.go(33)
    bench.pin.set(1)
    ran = sum([bench.tick() for _ in range(9)])
    bench.clockwork.go(7)
    bench.pin.set(0)
    assert ran + bench.tick(60) == 906


def test_a_stop_whose_callback_was_held_up_costs_the_time_since_the_last_tick():
    bench = Bench()
    bench.tick()
    bench.pin.set(1)
    ran = bench.tick() + bench.tick()
    bench.prompt = False
    bench.clockwork.go(90)
    bench.pin.set(0)
    assert ran + bench.tick(10) == 200


def test_what_ran_between_two_ticks_that_lost_callbacks_is_not_counted():
    bench = Bench()
    bench.pin.set(1)
    bench.tick()
    assert bench.tick(late_us=-1) == 0
    assert bench.tick() == 100


def test_active_low_counts_the_same():
    bench = Bench(active=0)
    bench.pin.set(0)
    ran = bench.tick()
    bench.clockwork.go(50)
    bench.pin.set(1)
    assert ran + bench.tick(50) == 149


def test_an_input_that_is_on_at_boot_counts_from_the_first_sample():
    bench = Bench()
    bench.pin.level = 1
    assert bench.tick() == 0
    assert bench.tick() == 100


def test_a_storm_of_edges_switches_the_interrupt_off_and_counts_nothing():
    bench = Bench()
    for _ in range(200):
        bench.pin.set(1)
        bench.pin.set(0)
        if bench.source.noisy:
            break
    assert bench.source.noisy and bench.pin.handler is None
    bench.pin.level = 1
    assert bench.tick() == 0 == bench.tick()
    for _ in range(60):
        bench.tick()
    assert not bench.source.noisy and bench.pin.handler is not None
    assert bench.tick() == 100


def test_mains_hum_is_noise_within_half_a_second_and_counts_no_more_than_its_level():
    """Row 9: 50 Hz of hum, 100 edges a second, counted half the time; noise was told only from 500 edges a second."""
    bench = Bench()
    ran = true_ms = 0
    for turn in range(3000):  # 30 s
        bench.pin.set(1)
        bench.clockwork.go(10)
        true_ms += 10
        bench.pin.set(0)
        ran += bench.tick(10) if turn % 5 == 4 else (bench.clockwork.go(10) and 0)
        assert bench.source.noisy or turn < 25
    assert ran <= 250, "%d of %d ms" % (ran, true_ms)


def test_noise_that_never_ends_never_counts_again_after_its_first_moments():
    bench = Bench()
    ran = 0
    for turn in range(60000):  # ten minutes
        bench.pin.set(turn & 1)
        ran += bench.tick(10) if turn % 10 == 9 else (bench.clockwork.go(10) and 0)
    assert ran <= 250


def test_a_contact_that_bounces_and_five_starts_a_second_are_no_noise():
    bench = Bench()
    for _ in range(14):
        bench.pin.set(1)
        bench.pin.set(0)
    bench.pin.set(1)
    assert not bench.source.noisy
    for _ in range(100):
        for level in (0, 1):
            bench.pin.set(level)
            bench.tick()
    assert not bench.source.noisy


def test_while_callbacks_are_on_time_it_is_the_true_time_but_for_a_millisecond_a_stop():
    for seed in range(60):
        random.seed(seed)
        bench = Bench(zero_ms=random.choice((0, MASK - 20000)))
        true_ms = counted_ms = stops = 0
        for at_ms in range(1, 30000):
            bench.clockwork.go(1)
            true_ms += bench.pin.level
            if random.random() < 0.0007:
                stops += bench.pin.level
                bench.pin.set(1 - bench.pin.level)
            if not at_ms % 100:
                counted_ms += bench.source.sample(bench.clockwork.ticks_us())
        stops += bench.pin.level
        bench.pin.set(0)
        counted_ms += bench.source.sample(bench.clockwork.ticks_us())
        assert true_ms - stops <= counted_ms <= true_ms, seed
