"""The meter turns levels and edges into running time."""

from fakes import WRAP, ticks_diff

from wearmeter.meter import Meter

HOURS_6 = 6 * 3600000


def test_counts_the_exact_milliseconds_between_two_edges():
    meter = Meter(ticks_diff, True, HOURS_6)
    ran = meter.edge(True, 1003)
    for now in range(1100, 5001, 100):
        ran += meter.sample(True, now)
    ran += meter.edge(False, 5017)
    assert ran == 5017 - 1003


def test_counts_a_bouncing_start_as_the_integral_of_its_level():
    meter = Meter(ticks_diff, True, HOURS_6)
    ran = 0
    for level, now in ((True, 10), (False, 12), (True, 15), (False, 16), (True, 20)):
        ran += meter.edge(level, now)
    ran += meter.sample(True, 100)
    assert ran == 2 + 1 + 80


def test_counts_nothing_where_the_off_edge_was_missed():
    meter = Meter(ticks_diff, True, HOURS_6)
    meter.edge(True, 0)
    assert meter.sample(True, 100) == 100
    assert meter.sample(False, 200) == 0


def test_counts_nothing_before_the_first_sample_that_is_on():
    meter = Meter(ticks_diff, False, HOURS_6)
    meter.sample(False, 0)
    assert meter.sample(True, 100) == 0
    assert meter.sample(True, 200) == 100


def test_goes_on_across_the_wrap_of_ticks_ms():
    meter = Meter(ticks_diff, True, HOURS_6)
    meter.edge(True, WRAP - 50)
    assert meter.sample(True, 50) == 100


def test_does_not_count_a_long_gap_between_samples_of_an_input_without_edges():
    meter = Meter(ticks_diff, False, HOURS_6)
    meter.sample(True, 0)
    assert meter.sample(True, 2001) == 0
    assert meter.sample(True, 2101) == 100


def test_stops_counting_after_six_hours_on_until_seen_off():
    meter = Meter(ticks_diff, True, HOURS_6)
    meter.edge(True, 0)
    total = 0
    now = 0
    for _ in range(7 * 3600):
        now += 1000
        total += meter.sample(True, now)
    assert total == HOURS_6 and meter.stuck
    assert meter.edge(False, now + 10) == 0 and not meter.stuck
    meter.edge(True, now + 100)
    assert meter.sample(True, now + 200) == 100


def test_never_counts_more_than_has_elapsed_when_time_stands_still_or_goes_back():
    meter = Meter(ticks_diff, True, HOURS_6)
    meter.edge(True, 1000)
    assert meter.sample(True, 1000) == 0
    assert meter.sample(True, 900) == 0


def test_an_off_edge_that_was_held_up_is_not_counted_beyond_the_last_sample():
    meter = Meter(ticks_diff, True, HOURS_6)
    meter.edge(True, 0)
    ran = meter.sample(True, 100)
    assert ran + meter.edge(False, 5100) == 100
    meter.edge(True, 6000)
    assert meter.edge(False, 6090) == 90


def test_an_off_edge_in_a_flash_write_of_the_loop_is_not_counted_beyond_the_last_sample():
    meter = Meter(ticks_diff, True, HOURS_6)
    meter.edge(True, 0)
    assert meter.sample(True, 100) == 100
    meter.held = True
    assert meter.edge(False, 190) == 0
    meter.edge(True, 200)
    assert meter.sample(True, 250) == 50 and not meter.held
    assert meter.edge(False, 300) == 50


def test_an_edge_that_finds_the_input_on_again_does_not_count_the_unseen_gap():
    meter = Meter(ticks_diff, True, HOURS_6)
    meter.edge(True, 0)
    assert meter.edge(True, 80) == 0
    assert meter.sample(True, 100) == 20


def test_off_edges_are_not_counted_beyond_a_sample_while_callbacks_come_late_again_and_again():
    meter = Meter(ticks_diff, True, HOURS_6)
    meter.held = 2
    meter.edge(True, 0)
    assert meter.sample(True, 100) == 100
    assert meter.edge(False, 190) == 0
    meter.edge(True, 300)
    meter.sample(True, 400)
    meter.held = 1
    meter.sample(True, 500)
    assert meter.edge(False, 590) == 90
