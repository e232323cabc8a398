"""The drivers on modelled electricity: mains waveforms with noise and clipping, pulses, slow edges."""

import math

from helpers import locked

from wearmeter.device.testing import Board, Clockwork, ticks_diff
from wearmeter.inputs import drivers
from wearmeter.inputs.hardware import HardwareInput
from wearmeter.inputs.mains import Mains
from wearmeter.inputs.sampled import SampledInput
from wearmeter.inputs.tachometer import Counted, Timed
from wearmeter.inputs.testing import Adc, Pin
from wearmeter.inputs.weight import WeightedInput

HOURS_6 = 6 * 3600000
# Amplitudes of the odd harmonics of a universal motor behind a triac, as parts of the fundamental.
HARMONICS = ((1, 1.0), (3, 0.31), (5, 0.12), (7, 0.06), (9, 0.03))


class Noise:
    """The same pseudo-random numbers everywhere: -1 to 1."""

    def __init__(self, seed=1):
        self.state = seed

    def __call__(self):
        self.state = (self.state * 75 + 74) % 65537
        return self.state / 32768 - 1


class Transformer:
    """An ADC that sees a current transformer: biased to `middle`, `rms` counts of current at `hz`, `noise` counts."""

    def __init__(self, clockwork, hz=50, middle=2048, noise=4):
        self.clockwork = clockwork
        self.hz = hz
        self.middle = middle
        self.noise = noise
        self.rms = 0
        self.us = 0
        self._random = Noise()
        self._scale = math.sqrt(2 / sum([part * part for _, part in HARMONICS]))

    def read_u16(self):
        at_s = (self.clockwork.passed_ms % 1000) / 1000 + self.clockwork._rest_us / 1000000
        wave = 0.0
        for order, part in HARMONICS:
            wave += part * math.sin(2 * math.pi * order * self.hz * at_s)
        raw = int(self.middle + self.rms * self._scale * wave + self.noise * self._random())
        raw = max(0, min(4095, raw))
        return raw << 4 | raw >> 8


class Bench:
    """A mains input that is looked at in each tick; the look takes its 20 ms."""

    def __init__(self, on=60, off=30, **adc):
        self.clockwork = clockwork = Clockwork(1000)
        self.adc = Transformer(clockwork, **adc)
        mains = Mains(self.adc.read_u16, on, off, clockwork.ticks_us, ticks_diff, clockwork.sleep_us)
        self.source = SampledInput(mains.measure, on, off, HOURS_6, clockwork.ticks_us, ticks_diff)
        self.due_ms = 100

    def run(self, ms, rms):
        """So many milliseconds at so much current; returns what is counted."""
        ran = 0
        self.adc.rms = rms
        end_ms = self.clockwork.passed_ms + ms
        while self.clockwork.passed_ms < end_ms:
            self.clockwork.go(max(0, min(self.due_ms, end_ms) - self.clockwork.passed_ms))
            if self.clockwork.passed_ms >= self.due_ms:
                self.due_ms += 100
                ran += self.source.sample(self.clockwork.ticks_us())
        return ran


def test_the_rms_of_a_motor_is_found_at_50_and_within_a_tenth_at_60_hz_whatever_the_bias():
    for hz, within in ((50, 12), (60, 40)):
        for middle in (1900, 2048, 2200):
            bench = Bench(hz=hz, middle=middle)
            bench.run(2000, 0)
            bench.run(1000, 400)
            assert abs(bench.source.power - 400) <= within, (hz, middle, bench.source.power)


def test_a_run_is_never_counted_long_and_at_most_300_ms_short():
    for start_ms in (0, 7, 50, 93):
        for run_ms in (250, 1000, 3217, 9999):
            bench = Bench()
            ran = bench.run(1000 + start_ms, 0) + bench.run(run_ms, 300) + bench.run(1000, 0)
            assert run_ms - 300 <= ran <= run_ms, (start_ms, run_ms, ran)


def test_noise_is_learnt_and_does_not_count():
    bench = Bench(noise=150, on=100, off=60)
    bench.run(5000, 0)
    assert bench.source.power < 60
    assert bench.run(20000, 0) == 0
    assert bench.run(2000, 400) >= 1700


def test_a_sagging_motor_stays_on_between_the_thresholds_and_a_load_below_them_is_no_motor():
    bench = Bench()
    bench.run(1000, 0)
    ran = bench.run(1000, 400) + bench.run(5000, 45) + bench.run(1000, 400)
    assert ran >= 6700
    assert bench.run(1000, 0) <= 100
    assert bench.run(5000, 45) == 0


def test_a_clipped_waveform_still_counts():
    bench = Bench()
    bench.run(1000, 0)
    assert bench.run(2000, 5000) >= 1700
    assert bench.source.power > 1000


def test_a_burst_that_was_held_up_says_nothing_and_the_next_counts_for_both():
    clockwork = Clockwork()
    adc = Transformer(clockwork)
    adc.rms = 400
    held = [False]

    def sleep_us(us):
        clockwork.sleep_us(us)
        if held[0]:
            clockwork.block(90)

    source = SampledInput(
        Mains(adc.read_u16, 60, 30, clockwork.ticks_us, ticks_diff, sleep_us).measure,
        60,
        30,
        HOURS_6,
        clockwork.ticks_us,
        ticks_diff,
    )
    for _ in range(5):
        clockwork.go(80)
        source.sample(clockwork.ticks_us())
    held[0] = True
    assert source.sample(clockwork.ticks_us()) == 0
    held[0] = False
    clockwork.go(80)
    assert source.sample(clockwork.ticks_us()) >= 170


def test_a_current_input_switches_with_hysteresis():
    clockwork, adc = Clockwork(), Adc()
    source = SampledInput(adc.read_u16, 3000, 1500, HOURS_6, clockwork.ticks_us, ticks_diff)
    ran = 0
    for raw in (0, 2000, 2900, 3000, 1600, 2000, 1499, 2000, 2900):
        adc.raw = raw
        clockwork.go(100)
        ran += source.sample(clockwork.ticks_us())
    # On at 3000, still on at 1600 and 2000, off below 1500: three samples on are two intervals.
    assert ran == 200


def wheel(counted, hz_by_s, on=50, off=30):
    """What a tachometer counts of a motor that turns at so many pulses in each second; its powers."""
    clockwork = Clockwork(1000)
    hz = [0]
    part = [0.0]

    def pulses():
        whole = int(part[0])
        part[0] -= whole
        return whole

    def pulse_us(level, longest_us):
        half_us = 500000 // hz[0] if hz[0] else longest_us + 1
        return half_us if half_us <= longest_us else -2

    measure = Counted(pulses, clockwork.ticks_us, ticks_diff).measure if counted else Timed(pulse_us).measure
    source = SampledInput(measure, on, off, HOURS_6, clockwork.ticks_us, ticks_diff, counted)
    ran, powers = 0, []
    for speed in hz_by_s:
        hz[0] = speed
        for _ in range(10):
            clockwork.go(100)
            part[0] += speed / 10
            ran += source.sample(clockwork.ticks_us())
        powers.append(source.power)
    return ran, powers


def test_a_tachometer_counts_while_the_motor_turns_by_counter_and_by_timed_periods():
    for counted in (True, False):
        ran, powers = wheel(counted, [0] + [600] * 10 + [0])
        assert 9700 <= ran <= 10000 and 590 <= powers[5] <= 610, (counted, ran, powers)


def counted_run_ms(start_ms, lasts_ms):
    """What a tachometer on the chip's counter makes of one run, at 1000 pulses a second."""
    clockwork = Clockwork(1000)
    begun_ms = clockwork.passed_ms + start_ms
    seen = [0]

    def pulses():
        total = max(0, min(clockwork.passed_ms - begun_ms, lasts_ms))
        new, seen[0] = total - seen[0], total
        return new

    measure = Counted(pulses, clockwork.ticks_us, ticks_diff).measure
    source = SampledInput(measure, 20, 10, HOURS_6, clockwork.ticks_us, ticks_diff, True)
    ran_ms = 0
    for _ in range(20):
        clockwork.go(100)
        ran_ms += source.sample(clockwork.ticks_us())
    return ran_ms


def test_a_run_that_begins_and_ends_between_two_looks_at_the_counter_never_comes_out_long():
    """Pulses of a motor that stopped just after a look were taken for another tenth of a second of it."""
    for start_ms in range(205, 300, 10):
        for lasts_ms in range(50, 1000, 30):
            ran_ms = counted_run_ms(start_ms, lasts_ms)
            assert lasts_ms - 200 <= ran_ms <= lasts_ms, (start_ms, lasts_ms, ran_ms)


def test_a_fast_motor_is_counted():
    for counted in (True, False):
        ran, powers = wheel(counted, [20000] * 20)
        assert ran >= 19700 and 19000 <= powers[9] <= 21000


def test_the_speed_has_hysteresis_and_a_slow_turn_by_hand_is_no_run():
    assert wheel(True, [40] * 5)[0] == 0
    assert wheel(True, [100] * 2 + [40] * 5)[0] >= 6700
    assert wheel(False, [100] * 2 + [20] * 5)[0] <= 2000


class Gated:
    """A HardwareInput on a gated clock that a test moves by what a tick brings."""

    def __init__(self):
        self.clockwork, self.pin, self.step = Clockwork(), Pin(1), 0
        self.source = HardwareInput(lambda: self.step, self.pin, 1, 10000, self.clockwork.ticks_us, ticks_diff)

    def look(self, step, gap_ms=100):
        self.clockwork.go(gap_ms)
        self.step = step % 32000
        return self.source.sample(self.clockwork.ticks_us())


def test_the_chips_own_meter_is_taken_as_it_is_and_bounded():
    unit = Gated()
    assert [unit.look(step) for step in (37, 100, 0)] == [37, 100, 0] and unit.source.on
    assert unit.look(500, 16000) == 0, "nobody has looked for so long that it may have wrapped"
    assert unit.look(14000, 14000) == 10000 - 137 and unit.source.stuck
    assert unit.look(100) == 0
    unit.pin.level = 0
    assert unit.look(0) == 0 and not unit.source.stuck
    unit.pin.level = 1
    assert unit.look(100) == 100


def test_a_run_owes_the_millisecond_of_its_start_to_the_chips_own_meter_and_no_more():
    unit = Gated()
    assert unit.look(-1) == 0 and unit.look(3) == 2, "it began between the clock's edge and the look"
    assert unit.look(-5) == 0 and unit.look(100) == 99, "five runs of less than a millisecond"


def test_turbo_counts_more_only_where_the_product_says_so():
    bench = Bench()
    bench.source = WeightedInput(bench.source, [(0, 1000), (300, 1300)])
    bench.run(1000, 0)
    assert 1700 <= bench.run(2000, 200) <= 2000
    assert 12700 <= bench.run(10000, 500) <= 13000


def test_thousandths_are_not_lost():
    class Steady:
        power = 5

        def sample(self, now_us, late_us):
            return 1

    weighted = WeightedInput(Steady(), [(0, 1333)])
    assert sum([weighted.sample(at) for at in range(3000)]) == 3999


def test_each_driver_is_made_of_what_the_board_has():
    clockwork = Clockwork()
    board = Board(clockwork)
    board.counter = lambda: 0
    for driver, on, off in (("current", 9, 5), ("tachometer", 50, 30), ("hardware", 1, 0)):
        if driver == "tachometer":
            continue  # It reads the module time of the chip; on the virtual board it runs whole.
        source = drivers.make(board, HOURS_6, clockwork, driver, "motor_1_" + driver, on, off)
        clockwork.go(100)
        assert source.sample(clockwork.ticks_us()) == 0 and not source.on


def test_looks_allocate_nothing():
    class Rail:
        def __init__(self):
            self.high = False

        def read_u16(self):
            self.high = not self.high
            return 65535 if self.high else 0

    clockwork = Clockwork()
    mains = Mains(Rail().read_u16, 60, 30, clockwork.ticks_us, ticks_diff, clockwork.sleep_us)
    source = SampledInput(mains.measure, 60, 30, HOURS_6, clockwork.ticks_us, ticks_diff)
    speed = SampledInput(Timed(lambda level, longest_us: 900).measure, 50, 30, HOURS_6, clockwork.ticks_us, ticks_diff)
    for look in (source.sample, speed.sample):
        for _ in range(5):
            locked(look, clockwork.ticks_us())
    assert speed.power == 555 and source.power > 1000


def test_an_input_that_knows_only_on_and_off_runs_at_a_thousand():
    clockwork = Clockwork()
    made = HardwareInput(lambda: 50, Pin(1), 1, HOURS_6, clockwork.ticks_us, ticks_diff)
    weighted = WeightedInput(made, [(0, 1000), (1000, 2000), (1001, 0)])
    clockwork.go(100)
    assert weighted.sample(clockwork.ticks_us()) == 100


def test_the_chips_own_meter_is_not_believed_after_more_than_fifteen_seconds():
    for gap_ms, ran_ms in ((15000, 14000), (15001, 0)):
        clockwork = Clockwork()
        made = HardwareInput(lambda: 14000, Pin(1), 1, HOURS_6, clockwork.ticks_us, ticks_diff)
        clockwork.go(100)
        made.sample(clockwork.ticks_us())
        clockwork.go(gap_ms)
        assert made.sample(clockwork.ticks_us()) == ran_ms


def test_a_pulse_that_is_not_there_is_no_speed_and_one_too_short_to_time_is():
    for low_us, high_us, hz in ((-1, 50, 0), (50, -2, 0), (0, 50, 20000), (50, 0, 20000), (0, 0, 1000000)):
        found = [300, low_us, high_us]
        measure = Timed(lambda level, longest_us: found.pop(0)).measure
        assert measure() == hz, (low_us, high_us)
    assert Timed(lambda level, longest_us: -2).measure() == 0
