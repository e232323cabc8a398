"""The clock knows the time or says that it does not; the schedule makes one report a period."""

from fakes import Ticks, ticks_diff

from wearmeter import schedule
from wearmeter.clock import Clock

NOON = 1782907200  # 2026-07-01T12:00:00Z


def test_the_time_is_unknown_until_a_source_tells_it():
    clock = Clock(ticks_diff)
    assert clock.now() is None and not clock.known
    assert clock.set(NOON) and clock.now() == NOON


def test_uptime_goes_on_across_the_wrap_of_ticks_ms():
    ticks = Ticks((1 << 30) - 1500)
    clock = Clock(ticks_diff)
    clock.tick(ticks())
    for _ in range(40):
        clock.tick(ticks.go(100))
    assert clock.uptime_s == 4


def test_twenty_days_of_ticks_lose_no_second():
    ticks = Ticks(123)
    clock = Clock(ticks_diff)
    clock.set(NOON)
    clock.tick(ticks())
    for _ in range(20 * 24):
        clock.tick(ticks.go(3600000 - 1))
    clock.tick(ticks.go(20 * 24))
    assert clock.now() == NOON + 20 * 86400


def test_a_time_before_the_build_or_after_2100_is_refused_and_changes_nothing():
    clock = Clock(ticks_diff)
    for absurd in (0, 946684800, 1767225599, 4102444800, 1 << 40, -5, None):
        assert not clock.set(absurd)
    assert clock.now() is None
    clock.set(NOON)
    assert not clock.set(946684800) and clock.now() == NOON


def test_the_report_minute_is_spread_evenly_over_a_fleet():
    hours = [0] * 24
    for number in range(4800):
        hours[schedule.report_minute("%012x" % (number * 7919)) // 60] += 1
    assert min(hours) > 150 and max(hours) < 250


def test_there_is_one_report_in_each_period_whenever_the_device_is_on():
    minute = 600  # 10:00
    last = schedule.period_of(NOON - 86400, minute)
    made = []
    # On for half an hour at odd times of ten days, some days not at all.
    for start in (NOON, NOON + 7200, NOON + 79000, NOON + 90000, NOON + 400000, NOON + 401000):
        for second in range(start, start + 1800, 60):
            if schedule.due(second, minute, last):
                last = schedule.period_of(second, minute)
                made.append(second)
    assert made == [NOON, NOON + 79200 + 40, NOON + 400000]


def test_a_device_that_was_off_for_forty_days_makes_one_report_not_forty():
    minute = 600
    last = schedule.period_of(NOON, minute)
    now = NOON + 40 * 86400
    assert schedule.due(now, minute, last)
    assert not schedule.due(now + 60, minute, schedule.period_of(now, minute))
