"""The meter turns what is seen of an input into running time, and counts only what is certain."""

from wearmeter.device.testing import MASK, Clockwork, ticks_diff
from wearmeter.inputs.meter import BLIND, EDGE_US, LATE, MAX_GAP_US, PROMPT, SAMPLE, Meter

HOURS_6 = 6 * 3600000


def meter():
    return Meter(ticks_diff, HOURS_6)


def test_counts_the_milliseconds_between_two_prompt_edges_but_for_one():
    seen = meter()
    ran = seen.see(True, 1003000, PROMPT)
    for now in range(1100000, 5000001, 100000):
        ran += seen.see(True, now, SAMPLE)
    ran += seen.see(False, 5017000, PROMPT)
    assert ran == 5017 - 1003 - EDGE_US // 1000


def test_counts_a_bouncing_start_as_the_integral_of_its_level_less_a_millisecond_a_stop():
    seen = meter()
    ran = 0
    for level, now in ((True, 10), (False, 12), (True, 15), (False, 16), (True, 20)):
        ran += seen.see(level, now * 1000, PROMPT)
    assert ran + seen.see(True, 100000, SAMPLE) == 1 + 0 + 80


def test_parts_of_milliseconds_are_not_lost():
    seen = meter()
    seen.see(True, 0, SAMPLE)
    ran = 0
    for turn in range(1, 1001):
        ran += seen.see(True, turn * 700, SAMPLE)
    assert ran == 700


def test_counts_nothing_of_an_interval_that_a_sample_finds_off():
    seen = meter()
    seen.see(True, 0, PROMPT)
    assert seen.see(True, 100000, SAMPLE) == 100
    assert seen.see(False, 200000, SAMPLE) == 0


def test_counts_nothing_of_an_interval_in_which_edges_may_have_been_missed():
    seen = meter()
    seen.see(True, 0, SAMPLE)
    assert seen.see(True, 100000, BLIND) == 0
    assert seen.see(True, 200000, SAMPLE) == 100


def test_an_off_edge_that_was_held_up_is_not_counted_beyond_the_last_sample():
    seen = meter()
    seen.see(True, 0, PROMPT)
    ran = seen.see(True, 100000, SAMPLE)
    assert ran + seen.see(False, 190000, LATE) == 100
    seen.see(True, 300000, LATE)
    assert seen.see(True, 350000, SAMPLE) == 50


def test_an_edge_that_finds_the_input_on_again_does_not_count_the_unseen_gap():
    for how in (PROMPT, LATE):
        seen = meter()
        seen.see(True, 0, PROMPT)
        assert seen.see(True, 80000, how) == 0
        assert seen.see(True, 100000, SAMPLE) == 20


def test_counts_nothing_before_the_first_sample_that_is_on():
    seen = meter()
    seen.see(False, 0, SAMPLE)
    assert seen.see(True, 100000, SAMPLE) == 0
    assert seen.see(True, 200000, SAMPLE) == 100


def test_goes_on_across_the_wrap_of_ticks_us():
    seen = meter()
    seen.see(True, MASK - 49999, PROMPT)
    assert seen.see(True, 50000, SAMPLE) == 100


def test_does_not_count_a_long_gap_between_samples():
    seen = meter()
    seen.see(True, 0, SAMPLE)
    assert seen.see(True, MAX_GAP_US + 1, SAMPLE) == 0
    assert seen.see(True, MAX_GAP_US + 100001, SAMPLE) == 100
    assert seen.see(True, 2 * MAX_GAP_US + 100001, SAMPLE) == MAX_GAP_US // 1000


def test_stops_counting_after_six_hours_on_until_seen_off():
    seen = meter()
    clockwork = Clockwork()
    seen.see(True, clockwork.ticks_us(), PROMPT)
    total = 0
    for _ in range(7 * 3600):
        clockwork.go(1000)
        total += seen.see(True, clockwork.ticks_us(), SAMPLE)
    assert total == HOURS_6 and seen.stuck
    clockwork.go(10)
    assert seen.see(False, clockwork.ticks_us(), PROMPT) == 0 and not seen.stuck
    seen.see(True, clockwork.ticks_us(), PROMPT)
    clockwork.go(100)
    assert seen.see(True, clockwork.ticks_us(), SAMPLE) == 100


def test_counts_nothing_when_time_stands_still_or_goes_back():
    seen = meter()
    seen.see(True, 1000000, PROMPT)
    assert seen.see(True, 1000000, SAMPLE) == 0
    assert seen.see(True, 900000, SAMPLE) == 0


def test_a_late_tick_counts_until_it_was_due_and_the_next_one_the_rest():
    seen = meter()
    seen.see(True, 0, SAMPLE)
    assert seen.see(True, 150000, SAMPLE, 50000) == 100
    assert seen.see(True, 200000, SAMPLE) == 100


def test_an_edge_that_waited_behind_a_late_tick_takes_what_the_tick_could_not_know():
    seen = meter()
    seen.see(True, 0, SAMPLE)
    ran = seen.see(True, 250000, SAMPLE, 150000)  # off at 120, on at 200: their callbacks come now
    ran += seen.see(True, 250100, LATE) + seen.see(True, 250200, LATE)
    assert ran + seen.see(True, 350200, SAMPLE) == 200


def test_a_tick_that_was_due_before_an_edge_that_has_been_seen_counts_nothing_twice():
    seen = meter()
    seen.see(True, 0, SAMPLE)
    seen.see(True, 240000, LATE)
    assert seen.see(True, 250000, SAMPLE, 150000) == 0
    assert seen.see(True, 300000, SAMPLE) == 60
