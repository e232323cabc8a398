"""Whatever the clocks do, no count changes, a moment is right or open, and there is one report a day."""

import random

from house import DAY_S, START_S, House

from wearmeter.device.testing import MASK
from wearmeter.exchange import schedule, wire
from wearmeter.exchange.cbor import decode
from wearmeter.state import events, faults
from wearmeter.state.clock import NTP


def test_the_time_is_unknown_again_after_each_power_cut():
    house = House("unknown")
    house.learn_time()
    assert house.state.clock.known
    house.cut()
    assert not house.state.clock.known


def test_without_any_source_of_time_it_counts_replaces_and_says_bounds():
    house = House("never")
    house.run(1, 5000)
    house.press(1)
    house.wait(660)
    (told,) = house.queued(wire.REPLACEMENT)
    assert told[4] == [None, None] and house.queued(wire.REPORT) == []
    assert house.part(1).lifetime_ms == 5000


def test_what_happened_earlier_in_this_boot_gets_its_exact_moment():
    house = House("exact")
    pressed_s = house.true_s + 3
    house.press(1)
    house.wait(660)
    house.learn_time()
    house.go(1500)
    (told,) = house.queued(wire.REPLACEMENT)
    assert abs(told[4] - pressed_s) <= 1


def test_what_happened_in_an_earlier_boot_gets_bounds_that_hold():
    house = House("bounds")
    house.learn_time()
    house.learn_time(source=NTP)  # two that agree: the ledger notes the time
    floor_s = house.true_s
    house.cut(off_s=40 * DAY_S)
    pressed_s = house.true_s + 3
    house.press(1)
    house.cut(off_s=3 * DAY_S)
    house.wait(660)
    house.learn_time()
    house.go(1500)
    (told,) = house.queued(wire.REPLACEMENT)
    not_before, not_after = told[4]
    assert floor_s - 60 <= not_before <= floor_s < pressed_s <= not_after <= house.true_s


def test_a_relay_corrects_what_a_lying_ntp_dated():
    for error_s in (400 * DAY_S, 3600, -5000):
        house = House("lie")
        house.learn_time(error_s)
        pressed_s = house.true_s + 3
        house.press(1)
        house.wait(660)
        house.learn_time()
        house.go(1500)
        (told,) = house.queued(wire.REPLACEMENT)
        assert abs(told[4] - pressed_s) <= 1, error_s


def test_a_moment_from_a_wrong_clock_of_an_earlier_boot_is_left_open_not_told():
    house = House("future")
    house.learn_time(400 * DAY_S)
    house.press(1)
    house.wait(660)
    house.cut()
    house.learn_time()
    house.go(1500)
    (entry,) = house.entries(wire.REPLACEMENT)
    not_before, not_after = decode(wire.up(entry, house.state.clock.now()))[4]
    assert not_before is None and (not_after is None or not_after <= house.true_s)


def test_absurd_times_are_refused_and_a_fault_tells():
    house = House("absurd")
    for absurd in (0, 1, 946684800, 1767225599, 4102444800, 1 << 31, 0xFFFFFFFF):
        house.state.apply((events.TOLD_TIME, NTP, absurd))
        if absurd != 1 << 31:
            assert not house.state.clock.known, absurd
            assert house.state.faults.bits & faults.CLOCK_REFUSED
        else:
            house.cut()
    house.learn_time()
    house.state.apply((events.TOLD_TIME, NTP, 5))
    assert abs(house.state.clock.now() - house.true_s) <= 1


def test_counts_and_uptime_go_on_across_the_wrap_of_ticks_ms():
    house = House("wrap")
    house.cut(zero_ms=MASK - 3999)
    house.press(1)
    house.run(1, 10000)
    assert house.part(1).lifetime_ms == 10000
    house.wait(660)
    assert len(house.queued(wire.REPLACEMENT)) == 1


class Reports:
    """Counts the reports that are made."""

    def __init__(self, house):
        self.made = 0
        self.house = house
        make = house.state._report

        def counted(*arguments):
            self.made += 1
            return make(*arguments)

        house.state._report = counted


def test_one_report_a_day_when_the_clock_is_put_back_a_little_across_the_reports_minute():
    house = House("minute")
    start_s = (START_S // DAY_S + 2) * DAY_S + house.minute * 60
    house.true_ms = (start_s - 3600) * 1000
    house.learn_time()
    house.go(1500)
    house.acknowledge_all()
    reports = Reports(house)
    house.wait(3600 - 20 - 20)
    house.learn_time(error_s=45)  # before the minute, a source says it is past
    house.go(1500)
    assert reports.made == 1
    house.learn_time()
    house.wait(600)
    assert reports.made == 1
    house.wait(DAY_S)
    assert reports.made == 2


def test_no_day_goes_without_a_report_after_a_clock_was_far_ahead():
    house = House("ahead")
    house.learn_time(error_s=40 * DAY_S)
    house.go(1500)
    house.learn_time()
    house.go(1500)
    for day in range(3):
        reports = Reports(house)
        house.wait(DAY_S)
        assert reports.made == 1, day


def test_off_for_forty_days_makes_one_report_then_one_a_day():
    house = House("forty")
    house.learn_time()
    house.go(1500)
    house.cut(off_s=40 * DAY_S)
    reports = Reports(house)
    house.learn_time()
    house.go(1500)
    house.wait(120)
    assert reports.made == 1
    assert house.state.numbers.last_period == schedule.period_of(house.true_s, house.minute)


def test_off_at_the_reports_minute_reports_when_it_is_on_again_each_day():
    house = House("off")
    made = 0
    for _ in range(5):
        for off_s, on_s in ((DAY_S - 1800, 900), (900, 2)):
            house.cut(off_s=off_s)
            reports = Reports(house)
            house.learn_time()
            house.wait(on_s)
            made += reports.made
    assert made == 5


def test_a_corrected_floor_is_kept_over_power_cuts_and_a_wrong_word_is_not():
    """Row 5: a relay at 2060 for one welcome went to flash as a floor, by which TLS judged every certificate."""
    house = House("floor")
    house.learn_time(34 * 365 * DAY_S)
    house.go(1500)
    for _ in range(3):
        house.cut(off_s=3600)
        assert house.state.numbers.floor_s < START_S + DAY_S
        house.learn_time()
        house.go(1500)
    house.learn_time(source=NTP)
    house.go(1500)
    house.cut()
    assert house.true_s - 60 <= house.state.numbers.floor_s <= house.true_s


def test_a_moment_that_the_flash_refuses_to_keep_is_resolved_again_later():
    """Row 20: a resolve that the flash refused was never retried."""
    house = House("retry")
    house.press(1)
    house.wait(660)
    write = house.state._ledger._write
    house.refuse()
    house.learn_time()
    house.go(1500)
    assert house.queued(wire.REPLACEMENT)[0][4] == [None, None]
    house.state._ledger._write = write
    house.backups["ledger"].refuse = False
    house.wait(120)
    told = house.queued(wire.REPLACEMENT)[0][4]
    assert isinstance(told, int) and abs(told - (START_S + 3)) <= 2, told


def test_no_clock_fault_changes_a_count():
    random.seed(7)
    house = House("counts")
    ran_ms = [0, 0]
    for _ in range(150):
        what = random.randrange(5)
        if what == 0:
            house.learn_time(random.choice((0, 5, -5, 3600, -3600, 400 * DAY_S, -100 * DAY_S)))
        elif what == 1:
            house.state.apply((events.TOLD_TIME, NTP, random.choice((0, 12345, 1 << 33, 946684800))))
        elif what == 2:
            house.cut(random.choice((1, 3000, 90000)), random.choice((0, MASK - 2999, MASK // 2 - 999)))
        else:
            index, ms = random.randrange(2), 100 * random.randrange(1, 40)
            house.run(index + 1, ms)
            ran_ms[index] += ms
        # A cut costs what ran since the last save, and nothing else does.
        for at, lifetime_ms in enumerate(house.lifetimes()):
            assert ran_ms[at] - 800 <= lifetime_ms <= ran_ms[at]
            ran_ms[at] = lifetime_ms
        for entry in house.entries():
            assert entry.epoch == house.state.numbers.epoch
        house.acknowledge_all()
