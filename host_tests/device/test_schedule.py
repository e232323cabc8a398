"""The schedule makes one report a period, and spreads a fleet over the day."""

from wearmeter.exchange import schedule

NOON = 1782907200  # 2026-07-01T12:00:00Z


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
