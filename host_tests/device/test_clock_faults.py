"""Whatever the clocks do, no count changes, a moment is right or open, and there is one report a day."""

import random

from fakes import WRAP
from house import EPOCH, START_S, House

from wearmeter import faults, outbox, schedule, wire
from wearmeter.cbor import decode

DAY_S = 86400


def acknowledge_all(house):
    for entry in list(house.outbox.entries):
        house.say(wire.ACK, entry[outbox.EPOCH], entry[outbox.SEQUENCE])


def test_the_time_is_unknown_again_after_each_power_cut():
    house = House("unknown")
    house.learn_time()
    assert house.clock.known
    house.cut()
    assert not house.clock.known


def test_without_any_source_of_time_it_counts_replaces_and_says_bounds():
    house = House("never")
    house.run(0, 5000)
    house.press(0)
    house.wait(660)
    house.link.online = True
    (told,) = house.queued(wire.REPLACEMENT)
    assert told[4] == [None, None] and house.queued(wire.REPORT) == []
    assert house.ledger.consumables[0].lifetime_ms == 5000


def test_what_happened_earlier_in_this_boot_gets_its_exact_moment():
    house = House("exact")
    pressed_s = house.true_s + 3
    house.press(0)
    house.wait(660)
    house.learn_time()
    house.go(300)
    (told,) = house.queued(wire.REPLACEMENT)
    assert abs(told[4] - pressed_s) <= 1


def test_what_happened_in_an_earlier_boot_gets_bounds_that_hold():
    house = House("bounds")
    house.learn_time()
    house.run(0, 1000)  # the ledger notes the time
    floor_s = house.true_s
    house.cut(off_s=40 * DAY_S)
    pressed_s = house.true_s + 3
    house.press(0)
    house.cut(off_s=3 * DAY_S)
    house.wait(660)
    house.learn_time()
    house.go(300)
    (told,) = house.queued(wire.REPLACEMENT)
    not_before, not_after = told[4]
    assert floor_s - 60 <= not_before <= floor_s < pressed_s <= not_after <= house.true_s


def test_a_relay_corrects_what_a_lying_ntp_dated():
    for error_s in (400 * DAY_S, 3600, -5000):
        house = House("lie")
        house.learn_time(error_s)
        pressed_s = house.true_s + 3
        house.press(0)
        house.wait(660)
        house.learn_time()
        house.go(300)
        (told,) = house.queued(wire.REPLACEMENT)
        assert abs(told[4] - pressed_s) <= 1, error_s


def test_a_moment_from_a_wrong_clock_of_an_earlier_boot_is_left_open_not_told():
    house = House("future")
    house.learn_time(400 * DAY_S)
    house.press(0)
    house.wait(660)
    house.cut()
    house.learn_time()
    house.go(300)
    entry = [entry for entry in house.outbox.entries if entry[outbox.KIND] == wire.REPLACEMENT][0]
    not_before, not_after = decode(outbox.message(entry, house.clock.now()))[4]
    assert not_before is None and (not_after is None or not_after <= house.true_s)


def test_absurd_times_are_refused_and_a_fault_tells():
    house = House("absurd")
    for absurd in (0, 1, 946684800, 1767225599, 4102444800, 1 << 31, 0xFFFFFFFF):
        house.reporter.set_time(absurd)
        if absurd != 1 << 31:
            assert not house.clock.known, absurd
            assert house.faults.bits & faults.CLOCK_REFUSED
        else:
            house.cut()
    house.learn_time()
    house.reporter.set_time(5)
    assert abs(house.clock.now() - house.true_s) <= 1


def test_counts_and_uptime_go_on_across_the_wrap_of_ticks_ms():
    house = House("wrap")
    house.cut(zero_ms=WRAP - 4000)
    house.press(0)
    house.run(0, 10000)
    assert house.ledger.consumables[0].lifetime_ms == 10000
    house.wait(660)
    assert len(house.queued(wire.REPLACEMENT)) == 1


def periods(house):
    """Of the reports made so far."""
    return [line for line in house.lines if line.startswith("wm report")]


def test_one_report_a_day_when_the_clock_is_put_back_a_little_across_the_reports_minute():
    house = House("minute")
    start_s = (START_S // DAY_S + 2) * DAY_S + house.minute * 60
    house.true_ms = (start_s - 3600) * 1000
    house.learn_time()
    house.go(300)
    acknowledge_all(house)
    house.wait(3600 - 20)
    made = len(periods(house))
    house.learn_time(error_s=30)  # 20 s before the minute, a source says it is past
    house.go(500)
    assert len(periods(house)) == made + 1
    house.learn_time()
    house.wait(600)
    assert len(periods(house)) == made + 1
    house.wait(DAY_S)
    assert len(periods(house)) == made + 2


def test_no_day_goes_without_a_report_after_a_clock_was_far_ahead():
    house = House("ahead")
    house.learn_time(error_s=40 * DAY_S)
    house.go(500)
    house.learn_time()
    house.go(500)
    for day in range(3):
        before = len(periods(house))
        house.wait(DAY_S)
        assert len(periods(house)) == before + 1, day


def test_off_for_forty_days_makes_one_report_then_one_a_day():
    house = House("forty")
    house.learn_time()
    house.go(300)
    house.cut(off_s=40 * DAY_S)
    house.learn_time()
    house.go(300)
    house.wait(120)
    assert len(periods(house)) == 1
    period = house.outbox.last_period
    assert period == schedule.period_of(house.true_s, house.minute)


def test_off_at_the_reports_minute_reports_when_it_is_on_again_each_day():
    house = House("off")
    made = 0
    for _ in range(5):
        house.cut(off_s=DAY_S - 1800)
        house.learn_time()
        house.wait(900)
        made += len(periods(house))
        house.cut(off_s=900)
        house.learn_time()
        house.go(500)
        made += len(periods(house))
    assert made == 5


def test_no_clock_fault_changes_a_count():
    random.seed(7)
    house = House("counts")
    ran_ms = [0, 0]
    for _ in range(150):
        what = random.randrange(5)
        if what == 0:
            house.learn_time(random.choice((0, 5, -5, 3600, -3600, 400 * DAY_S, -100 * DAY_S)))
        elif what == 1:
            house.reporter.set_time(random.choice((0, 12345, 1 << 33, 946684800)))
        elif what == 2:
            house.cut(random.choice((1, 3000, 90000)), random.choice((0, WRAP - 3000, WRAP // 2 - 1000)))
        else:
            index, ms = random.randrange(2), 100 * random.randrange(1, 40)
            house.run(index, ms)
            ran_ms[index] += ms
        assert [part.lifetime_ms for part in house.ledger.consumables] == ran_ms
        for kind in (wire.REPORT, wire.FAULT):
            for entry in house.queued(kind):
                assert entry[2] == EPOCH
        acknowledge_all(house)
