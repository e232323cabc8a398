"""The drivers on modelled electricity: mains waveforms with noise and clipping, pulses that bounce, slow edges."""

import math

from fakes import Pin, Ticks, raises, ticks_diff

from wearmeter import checked, product
from wearmeter.drivers import level, mains, pixel, tachometer, wear

try:
    from micropython import heap_lock, heap_unlock
except ImportError:

    def heap_lock():
        pass

    def heap_unlock():
        pass


HOURS_6 = 6 * 3600000
# Amplitudes of the odd harmonics of a universal motor behind a triac, as parts of the fundamental.
HARMONICS = ((1, 1.0), (3, 0.31), (5, 0.12), (7, 0.06), (9, 0.03))
SMALL = 1 << 30  # beyond this an ESP32 allocates for an integer


class Noise:
    """The same pseudo-random numbers everywhere: -1 to 1."""

    def __init__(self, seed=1):
        self.state = seed

    def __call__(self):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return self.state / 0x3FFFFFFF - 1


class Mains:
    """An ADC that sees a current transformer: biased to `middle`, `rms` counts of current at `hz`, `noise` counts."""

    def __init__(self, hz=50, middle=2048, noise=4):
        self.hz = hz
        self.middle = middle
        self.noise = noise
        self.rms = 0
        self.at_ms = 0.0
        self._random = Noise()
        self._scale = math.sqrt(2 / sum([part * part for _, part in HARMONICS]))

    def read_u16(self):
        wave = 0.0
        for order, part in HARMONICS:
            wave += part * math.sin(2 * math.pi * order * self.hz * self.at_ms / 1000)
        raw = int(self.middle + self.rms * self._scale * wave + self.noise * self._random())
        raw = max(0, min(4095, raw))
        return raw << 4 | raw >> 8


class Bench:
    """A mains input, sampled each millisecond and looked at each tick."""

    def __init__(self, adc, on=60, off=30):
        self.adc = adc
        self.ticks = Ticks(1000)
        self.source = mains.MainsInput(adc, on, off, HOURS_6, ticks_diff)

    def run(self, ms, rms, first_ms=0):
        """So many milliseconds at so much current; returns what is counted."""
        ran = 0
        self.adc.rms = rms
        for _ in range(ms):
            self.adc.at_ms += 1
            self.source.take(None)
            now_ms = self.ticks.go(1)
            if now_ms % 100 == 0:
                ran += self.source.sample(now_ms)
        return ran


def test_the_rms_of_a_motor_is_found_at_50_and_at_60_hz_whatever_the_bias():
    for hz in (50, 60):
        for middle in (1900, 2048, 2200):
            bench = Bench(Mains(hz, middle))
            bench.run(2000, 0)
            bench.run(1000, 400)
            assert abs(bench.source.power - 400) <= 12, (hz, middle, bench.source.power)


def test_a_run_is_never_counted_long_and_at_most_300_ms_short():
    for start_ms in (0, 7, 50, 93):
        for run_ms in (250, 1000, 3217, 9999):
            bench = Bench(Mains())
            ran = bench.run(1000 + start_ms, 0) + bench.run(run_ms, 300) + bench.run(1000, 0)
            assert run_ms - 300 <= ran <= run_ms, (start_ms, run_ms, ran)


def test_noise_is_learnt_and_does_not_count():
    bench = Bench(Mains(noise=150), on=100, off=60)
    bench.run(5000, 0)
    assert bench.source.power < 40
    assert bench.run(20000, 0) == 0
    assert bench.run(2000, 400) >= 1700


def test_a_sagging_motor_stays_on_between_the_thresholds_and_a_load_below_them_is_no_motor():
    bench = Bench(Mains())
    bench.run(1000, 0)
    ran = bench.run(1000, 400) + bench.run(5000, 45) + bench.run(1000, 400)
    assert ran >= 6700
    assert bench.run(1000, 0) <= 100
    assert bench.run(5000, 45) == 0


def test_a_clipped_waveform_still_counts():
    bench = Bench(Mains())
    bench.run(1000, 0)
    assert bench.run(2000, 5000) >= 1700
    assert bench.source.power > 1000


def test_a_spike_of_one_window_counts_nothing():
    bench = Bench(Mains())
    bench.run(1000, 0)
    assert bench.run(20, 2000) + bench.run(1000, 0) == 0


def test_a_timer_that_was_held_up_joins_the_window_with_the_next():
    bench = Bench(Mains())
    bench.run(1000, 0)
    bench.run(1000, 400)
    # A flash write of 90 ms: hardly a sample in this window, so it says nothing; the next one counts for both.
    for _ in range(90):
        bench.adc.at_ms += 1
        bench.ticks.go(1)
    ran = bench.run(10, 400)
    assert ran == 0
    assert bench.run(500, 400) >= 500


def test_sums_never_leave_the_small_integers_however_long_the_tick_is_away():
    class Rail:
        def read_u16(self):
            return 65535 if self.high else 0

        high = False

    adc = Rail()
    source = mains.MainsInput(adc, 60, 30, HOURS_6, ticks_diff)
    for _ in range(5000):
        adc.high = not adc.high
        source.take(None)
        assert source._squares < SMALL


def test_interrupt_handlers_and_samplers_allocate_nothing():
    class Rail:
        def read_u16(self):
            return 40000

    sampler = mains.MainsInput(Rail(), 60, 30, HOURS_6, ticks_diff)
    pin, pulse = Pin(0), Pin(0)
    ticks = Ticks(1000)
    watched = level.LevelInput(pin, 1, HOURS_6, ticks, ticks_diff)
    speed = tachometer.Tachometer(None, pulse, 50, 30, HOURS_6, ticks_diff)
    for source in (watched, sampler, speed):
        source.sample(ticks())
    sampler.take(None)
    heap_lock()
    try:
        for _ in range(50):
            pin.set(1)
            sampler.take(None)
            pulse.set(1)
            pin.set(0)
        now_ms = ticks.go(100)
        watched.sample(now_ms)
        sampler.sample(now_ms)
        speed.sample(now_ms)
    finally:
        heap_unlock()
    assert speed.power == 500


class Wheel:
    """Drives a tachometer: `hz` pulses a second, each edge with `bounces` more."""

    def __init__(self, counter=False, bounces=0):
        self.pin = Pin(0)
        self.ticks = Ticks(1000)
        self.bounces = bounces
        self.counted = 0
        self.part = 0.0
        self.source = tachometer.Tachometer(
            self.count if counter else None, None if counter else self.pin, 50, 30, HOURS_6, ticks_diff
        )
        self.by_counter = counter

    def count(self):
        counted, self.counted = self.counted, 0
        return counted

    def run(self, ms, hz):
        ran = 0
        for _ in range(ms):
            self.part += hz / 1000
            while self.part >= 1:
                self.part -= 1
                for _ in range(1 + self.bounces):
                    self.counted += 1
                    if not self.by_counter:
                        self.pin.set(1)
            now_ms = self.ticks.go(1)
            if now_ms % 100 == 0:
                ran += self.source.sample(now_ms)
        return ran


def test_a_tachometer_counts_while_the_motor_turns_by_interrupt_and_by_counter():
    for counter in (False, True):
        wheel = Wheel(counter)
        ran = wheel.run(1037, 0) + wheel.run(10000, 600) + wheel.run(1000, 0)
        assert 9700 <= ran <= 10000, (counter, ran)


def test_the_speed_has_hysteresis_and_a_slow_turn_by_hand_is_no_run():
    wheel = Wheel(True)
    assert wheel.run(5000, 40) == 0
    assert wheel.run(2000, 100) >= 1700
    assert wheel.run(5000, 40) >= 4900
    assert wheel.run(5000, 20) <= 100


def test_a_fast_motor_is_counted_by_the_hardware():
    wheel = Wheel(True)
    wheel.run(100, 20000)
    assert wheel.run(60000, 20000) >= 59500
    assert 19000 <= wheel.source.power <= 21000


def test_edges_that_bounce_do_not_make_a_run_of_a_crawl():
    wheel = Wheel(False, bounces=3)
    assert wheel.run(5000, 5) == 0


def test_more_pulses_than_an_interrupt_can_bear_are_noise_until_they_end():
    wheel = Wheel(False)
    wheel.run(1000, 0)
    assert wheel.run(3000, 20000) <= 300 and wheel.source.noisy and wheel.pin.handler is None
    wheel.run(6000, 0)
    assert not wheel.source.noisy and wheel.pin.handler is not None
    assert wheel.run(2000, 600) >= 1700


def parse(**entry):
    entry["name"] = "motor"
    return product.Input(checked.Fields(entry, "/p.json: inputs[0]"), ("motor_current", "motor_speed"))


def test_turbo_counts_more_only_where_the_product_says_so():
    levels = [(0, 1000), (300, 1300)]
    bench = Bench(Mains())
    bench.source = wear.WeightedInput(bench.source, levels)
    bench.source.take = bench.source._source.take
    bench.run(1000, 0)
    assert 1700 <= bench.run(2000, 200) <= 2000
    assert 12700 <= bench.run(10000, 500) <= 13000


def test_thousandths_are_not_lost():
    class Steady:
        power = 5
        meter = noisy = None

        def sample(self, now_ms):
            return 1

    weighted = wear.WeightedInput(Steady(), [(0, 1333)])
    assert sum([weighted.sample(at) for at in range(3000)]) == 3999


def test_each_driver_names_the_mistakes_in_its_own_fields():
    for entry, words in (
        ({"driver": "mains", "signal": "motor_current"}, ("on_rms", "missing", "1 to 2047")),
        ({"driver": "mains", "signal": "motor_current", "on_rms": 50, "off_rms": 50}, ("off_rms", "50", "0 to 49")),
        ({"driver": "tachometer", "signal": "motor_speed", "on_hz": 0}, ("on_hz", "1 to 100000")),
        ({"driver": "tachometer", "signal": "motor_speed", "on_hz": 9, "off_hz": 5, "rpm": 1}, ("rpm", "unknown")),
        ({"driver": "current", "signal": "motor_current", "on_raw": 9, "off_raw": 5, "wear": 1}, ("wear", "a list")),
        (
            {
                "driver": "current",
                "signal": "motor_current",
                "on_raw": 9,
                "off_raw": 5,
                "wear": [{"from": 5, "permille": 1300}],
            },
            ("wear", "ascending"),
        ),
        ({"driver": "level", "signal": "motor_speed", "wear": [{"from": 0, "permille": 1}]}, ("wear", "unknown")),
        ({"driver": "steam", "signal": "motor_speed"}, ("driver", '"tachometer"')),
    ):
        line = raises(checked.FileError, parse, **entry)
        for word in ("/p.json: inputs[0]",) + words:
            assert word in line, line


def test_a_pixel_stands_in_for_an_leds_pin():
    shown = []
    light = pixel.Pixel(shown.append, [0, 40, 0])
    light.value(1)
    light.value(0)
    assert shown == [[0, 40, 0], (0, 0, 0)]
