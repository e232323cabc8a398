"""The run-time inputs count while the motor runs, and only then."""

from fakes import Pin, Ticks, ticks_diff

from wearmeter.drivers.current import CurrentInput
from wearmeter.drivers.level import LevelInput

HOURS_6 = 6 * 3600000


class Adc:
    def __init__(self):
        self.raw = 0

    def read_u16(self):
        return self.raw


def level_input(active=1):
    pin = Pin(1 - active)
    ticks = Ticks(1000)
    return pin, ticks, LevelInput(pin, active, HOURS_6, ticks, ticks_diff)


def test_a_level_input_counts_from_edge_to_edge_whatever_the_tick():
    pin, ticks, source = level_input()
    source.sample(ticks.go(100))
    ticks.go(33)
    pin.set(1)
    ran = 0
    for _ in range(9):
        ran += source.sample(ticks.go(100))
    ticks.go(7)
    pin.set(0)
    ran += source.sample(ticks.go(60))
    assert ran == 907


def test_a_level_input_that_is_active_low_counts_the_same():
    pin, ticks, source = level_input(0)
    pin.set(0)
    ran = source.sample(ticks.go(100))
    ticks.go(50)
    pin.set(1)
    assert ran + source.sample(ticks.go(50)) == 150


def test_an_input_that_is_on_at_boot_counts_from_the_first_sample():
    pin, ticks, source = level_input()
    pin.level = 1
    assert source.sample(ticks.go(100)) == 0
    assert source.sample(ticks.go(100)) == 100


def test_a_storm_of_edges_switches_the_interrupt_off_and_counts_nothing():
    pin, ticks, source = level_input()
    for _ in range(200):
        pin.set(1)
        pin.set(0)
    assert source.noisy and pin.handler is None
    pin.level = 1
    assert source.sample(ticks.go(100)) == 0 == source.sample(ticks.go(100))
    for _ in range(60):
        source.sample(ticks.go(100))
    assert not source.noisy and pin.handler is not None
    assert source.sample(ticks.go(100)) == 100


def test_a_current_input_switches_with_hysteresis():
    adc = Adc()
    ticks = Ticks()
    source = CurrentInput(adc, 3000, 1500, HOURS_6, ticks_diff)
    ran = 0
    for raw in (0, 2000, 2900, 3000, 1600, 2000, 1499, 2000, 2900):
        adc.raw = raw
        ran += source.sample(ticks.go(100))
    # On at 3000, still on at 1600 and 2000, off below 1500: three samples on are two intervals.
    assert ran == 200
