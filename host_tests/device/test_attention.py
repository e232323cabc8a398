"""Attention knows which callbacks come at once, and when others may have been lost."""

from helpers import locked

from wearmeter.device.attention import Attention
from wearmeter.device.testing import Clockwork, ticks_diff


class Bench:
    def __init__(self, zero_ms=5000):
        self.clockwork = Clockwork(zero_ms)
        self.attention = Attention(self.clockwork.sleep_ms, self.clockwork.ticks_us, ticks_diff)
        self.found = []

    def look(self):
        self.found.append(self.attention.prompt(self.clockwork.ticks_us()))

    def edge_in(self, ms):
        """An edge so many milliseconds from now, whatever goes on then."""
        self.clockwork.at(self.clockwork.passed_ms + ms, self.look)


def test_an_edge_while_the_loop_rests_comes_at_once():
    bench = Bench()
    bench.attention.rest(20)
    bench.edge_in(5)
    bench.attention.rest(20)
    assert bench.found == [True]


def test_an_edge_soon_after_something_long_comes_late():
    bench = Bench()
    bench.attention.rest(20)
    bench.clockwork.block(30)  # a flash write
    bench.edge_in(1)
    bench.edge_in(10)
    bench.attention.rest(20)
    assert bench.found == [False, True]


def test_an_edge_while_the_loop_works_comes_late():
    bench = Bench()
    bench.attention.rest(20)
    bench.clockwork.block(2)
    bench.look()
    assert bench.found == [False]


def test_an_edge_in_the_glance_after_a_rest_comes_at_once():
    bench = Bench()
    bench.attention.rest(20)
    bench.clockwork.sleep_us(500)
    bench.look()
    assert bench.found == [True]


def test_an_edge_soon_after_the_tick_comes_late_even_while_the_loop_rests():
    bench = Bench()
    bench.attention.rest(20)
    bench.clockwork.at(bench.clockwork.passed_ms + 5, lambda: bench.attention.done(bench.clockwork.ticks_us()))
    bench.edge_in(6)
    bench.edge_in(15)
    bench.attention.rest(20)
    assert bench.found == [False, True]


def test_who_waits_behind_a_late_callback_is_late_too():
    bench = Bench()
    bench.attention.rest(20)
    bench.clockwork.block(30)
    for _ in range(3):
        bench.look()
        bench.clockwork.sleep_us(900)
    assert bench.found == [False, False, False]


def beats(bench, ticks, ms=100):
    found = []
    for _ in range(ticks):
        bench.attention.rest(ms)
        found.append(bench.attention.beat(bench.clockwork.ticks_us()))
    return found


def test_a_tick_is_late_by_how_far_it_is_behind_its_beat():
    bench = Bench()
    assert beats(bench, 20) == [0] * 20
    assert beats(bench, 1, 130) + beats(bench, 1, 70) == [30000, 0]
    # Four that waited in the queue together: the first was due 300 ms ago.
    bench.clockwork.go(400)
    assert [bench.attention.beat(bench.clockwork.ticks_us()) for _ in range(4)] == [300000, 200000, 100000, 0]


def test_a_tick_that_was_lost_is_caught_up_with_within_eight():
    bench = Bench()
    beats(bench, 8)
    found = beats(bench, 1, 200) + beats(bench, 15)
    assert found[0] == 100000 and found[-1] == 0


def test_a_beat_that_begins_later_than_the_first_tick_is_found():
    bench = Bench()
    beats(bench, 1)
    assert beats(bench, 1, 137)[0] == 37000
    assert beats(bench, 8)[-1] == 0


def test_a_timer_that_starts_anew_begins_a_new_beat():
    """The firmware's timer takes over from the one of the start, at a moment of its own."""
    bench = Bench()
    beats(bench, 3)
    bench.clockwork.go(273)
    bench.attention.start_beat()
    assert beats(bench, 10) == [0] * 10


def late_edges(bench, count):
    """Callbacks that begin now, one after the other, none of which has come at once."""
    for _ in range(count):
        bench.attention.prompt(bench.clockwork.ticks_us())


def test_seven_late_callbacks_in_a_row_may_have_filled_the_queue_of_eight():
    for late, lost in ((0, 0), (6, 0), (7, -1), (8, -1)):
        bench = Bench()
        beats(bench, 8)
        bench.clockwork.go(100)
        late_edges(bench, late)
        assert bench.attention.beat(bench.clockwork.ticks_us()) == lost, late
        assert beats(bench, 1) == [0], "told once"


def test_late_callbacks_with_a_rest_between_them_have_not_filled_the_queue():
    bench = Bench()
    beats(bench, 8)
    for _ in range(3):
        bench.clockwork.block(20)
        late_edges(bench, 4)
        bench.attention.rest(10)
    bench.attention.rest(10)
    assert bench.attention.beat(bench.clockwork.ticks_us()) == 0


def test_a_tick_in_the_midst_of_late_callbacks_is_one_of_them():
    bench = Bench()
    beats(bench, 8)
    bench.clockwork.go(150)
    late_edges(bench, 3)
    assert bench.attention.beat(bench.clockwork.ticks_us()) == 50000
    late_edges(bench, 3)
    assert beats(bench, 1, 50) == [-1]


def test_after_a_lost_callback_no_edge_is_prompt_until_the_next_tick():
    bench = Bench()
    beats(bench, 8)
    bench.clockwork.block(30)
    late_edges(bench, 7)
    bench.edge_in(20)
    bench.attention.rest(70)
    assert bench.attention.beat(bench.clockwork.ticks_us()) == -1
    bench.edge_in(20)
    bench.attention.rest(50)
    assert bench.found == [False, True]


def test_in_callbacks_it_allocates_nothing():
    bench = Bench()
    bench.attention.rest(20)
    now_us = bench.clockwork.ticks_us()
    for action in (bench.attention.prompt, bench.attention.beat, bench.attention.done):
        for _ in range(20):
            locked(action, now_us)


def test_after_hours_without_a_rest_or_a_tick_it_still_judges_by_the_present():
    bench = Bench()
    for _ in range(9):  # ticks_us wraps at 18 minutes
        bench.clockwork.go(300000)
        bench.attention.rest(5)
    bench.edge_in(3)
    bench.attention.rest(20)
    assert bench.found == [True]


def test_ticks_behind_their_beat_with_nothing_waiting_lose_nothing_in_one_long_rest():
    bench = Bench()
    beats(bench, 8)
    found = []

    def tick():
        found.append(bench.attention.beat(bench.clockwork.ticks_us()))
        bench.attention.done(bench.clockwork.ticks_us())

    for number in range(10):  # One tick was lost, and the loop rests all the while.
        bench.clockwork.at(bench.clockwork.passed_ms + 200 + 100 * number, tick)
    bench.attention.rest(1200)
    assert found[:7] == [100000] * 7 and found[-1] == 0


def test_a_callback_that_comes_at_once_shows_that_the_queue_was_empty():
    bench = Bench()
    beats(bench, 8)
    start_ms = bench.clockwork.passed_ms
    for at_ms in (10, 40):  # four late ones, and after the first four one that comes at once
        bench.clockwork.at(start_ms + at_ms, lambda: bench.attention.done(bench.clockwork.ticks_us()))
        for _ in range(4):
            bench.clockwork.at(start_ms + at_ms, bench.look)
    bench.clockwork.at(start_ms + 30, bench.look)
    bench.attention.rest(100)
    assert bench.found == [False] * 4 + [True] + [False] * 4
    assert bench.attention.beat(bench.clockwork.ticks_us()) == 0


def test_a_glance_after_a_rest_is_shorter_than_a_millisecond():
    for glance_us, prompt in ((0, True), (999, True), (1000, False)):
        bench = Bench()
        bench.attention.rest(20)
        bench.clockwork.sleep_us(glance_us)
        bench.look()
        assert bench.found == [prompt], glance_us
