"""The clock knows the time or says that it does not, and is sure only of what two sources say."""

from wearmeter.device.testing import MASK, Clockwork, ticks_diff
from wearmeter.state.clock import NTP, RELAY, Clock, floor_s

NOON = 1782907200  # 2026-07-01T12:00:00Z
DAY_S = 86400


def clock_of(zero_ms=0):
    clockwork = Clockwork(zero_ms)
    made = Clock(clockwork.ticks_ms, ticks_diff)
    made.tick(clockwork.ticks_ms())
    return made, clockwork


def test_the_time_is_unknown_until_a_source_tells_it():
    clock, _ = clock_of()
    assert clock.now() is None and not clock.known
    assert clock.learn(RELAY, NOON) and clock.now() == NOON and clock.known


def test_uptime_goes_on_across_the_wrap_of_ticks_ms():
    clock, clockwork = clock_of(MASK - 1499)
    passed = 0
    for _ in range(40):
        passed += clock.tick(clockwork.go(100))
    assert clock.uptime_s == 4 == passed


def test_twenty_days_of_ticks_lose_no_second():
    clock, clockwork = clock_of(123)
    clock.learn(RELAY, NOON)
    for _ in range(20 * 24):
        clock.tick(clockwork.go(3600000 - 1))
    clock.tick(clockwork.go(20 * 24))
    assert clock.now() == NOON + 20 * DAY_S


def test_a_time_before_the_build_or_after_2100_is_refused_and_changes_nothing():
    clock, _ = clock_of()
    for absurd in (0, 946684800, 1767225599, 4102444800, 1 << 40, -5):
        assert not clock.learn(RELAY, absurd)
    assert clock.now() is None
    clock.learn(RELAY, NOON)
    assert not clock.learn(RELAY, 946684800) and clock.now() == NOON


def test_the_relay_stands_against_ntp_whoever_comes_first():
    for order in ((RELAY, NTP), (NTP, RELAY)):
        clock, _ = clock_of()
        for source in order:
            clock.learn(source, NOON if source == RELAY else NOON + 5 * DAY_S)
        assert clock.now() == NOON and not clock.sure


def test_it_is_sure_when_both_agree_within_an_hour():
    for error_s, sure in ((0, True), (3600, True), (-3600, True), (3601, False), (-3601, False)):
        clock, clockwork = clock_of()
        clock.learn(NTP, NOON)
        assert not clock.sure, "one source alone"
        clock.tick(clockwork.go(60000))
        clock.learn(RELAY, NOON + 60 + error_s)
        assert clock.sure == sure, error_s


def test_a_corrected_source_counts_by_its_last_word():
    clock, _ = clock_of()
    clock.learn(NTP, NOON)
    clock.learn(RELAY, NOON + 40 * DAY_S)
    assert not clock.sure
    clock.learn(RELAY, NOON)
    assert clock.sure


# ---- the floor: row 5


def test_one_wrong_word_never_raises_the_floor():
    floor, claim = floor_s(NOON, NOON, NOON + 34 * 365 * DAY_S, False)
    assert floor == NOON, "2060 for one welcome"
    floor, claim = floor_s(floor, claim, NOON + DAY_S, False)
    assert floor == NOON and claim == NOON + DAY_S, "the relay is right again: a new claim"
    floor, claim = floor_s(floor, claim, NOON + 3 * DAY_S, False)
    assert floor == NOON + DAY_S


def test_two_sources_that_agree_set_the_floor_at_once_also_down():
    assert floor_s(NOON, 0, NOON + 2 * DAY_S, True) == (NOON + 2 * DAY_S, NOON + 2 * DAY_S)
    assert floor_s(NOON + 9000 * DAY_S, 5, NOON, True) == (NOON, NOON)
    assert floor_s(NOON, 7, NOON + DAY_S, True) == (NOON, 7), "no write for less than a day"


def test_one_source_sets_the_floor_when_it_has_told_the_same_over_more_than_a_day():
    floor, claim = floor_s(0, 0, NOON, False)
    assert (floor, claim) == (0, NOON)
    assert floor_s(floor, claim, NOON + DAY_S, False) == (0, NOON)
    assert floor_s(floor, claim, NOON + DAY_S + 1, False) == (NOON, NOON + DAY_S + 1)


def test_a_floor_that_was_wrong_comes_down_when_the_source_has_been_consistent():
    wrong = NOON + 9000 * DAY_S
    floor, claim = wrong, wrong
    for days in range(4):
        floor, claim = floor_s(floor, claim, NOON + days * (DAY_S + 1), False)
    assert floor < NOON + 4 * DAY_S


def test_a_claim_of_a_season_ago_proves_nothing():
    assert floor_s(0, NOON, NOON + 101 * DAY_S, False) == (0, NOON + 101 * DAY_S)


def test_certificates_are_judged_by_ntp_where_the_relay_says_nothing_else():
    clock, _ = clock_of()
    assert not clock.judges
    clock.learn(RELAY, NOON)
    assert not clock.judges, "its word comes over the connection that is to be judged"
    clock.learn(NTP, NOON + 60)
    assert clock.judges
    clock.learn(RELAY, NOON + DAY_S)
    assert not clock.judges
    clock, _ = clock_of()
    clock.learn(NTP, NOON)
    assert clock.judges
