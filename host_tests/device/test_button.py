"""The button tells a short, a long and a very long press from everything else."""

from wearmeter.device.testing import Clockwork, ticks_diff
from wearmeter.inputs.testing import Pin
from wearmeter.panel.button import LONG, NOTHING, SHORT, VERY_LONG, Button


class Hand:
    """Presses a button that is read every 100 ms."""

    def __init__(self, level=1):
        self.pin = Pin(level)
        self.clockwork = Clockwork(5000)
        self.button = Button(self.pin, 0, ticks_diff)

    def hold(self, level, ms):
        events = []
        for _ in range(ms // 100):
            self.pin.level = level
            event = self.button.sample(self.clockwork.go(100))
            if event != NOTHING:
                events.append(event)
        return events


def test_three_seconds_are_a_long_press_reported_once_while_still_held():
    hand = Hand()
    hand.hold(1, 500)
    assert hand.hold(0, 2900) == []
    assert hand.hold(0, 5000) == [LONG]
    assert hand.hold(1, 500) == []


def test_ten_seconds_are_a_very_long_press_after_the_long_one():
    hand = Hand()
    hand.hold(1, 500)
    assert hand.hold(0, 9900) == [LONG]
    assert hand.hold(0, 5000) == [VERY_LONG]
    assert hand.hold(1, 500) == []


def test_less_than_three_seconds_is_a_short_press():
    hand = Hand()
    hand.hold(1, 500)
    assert hand.hold(0, 2800) == []
    assert hand.hold(1, 300) == [SHORT]


def test_bounces_of_single_samples_are_no_press_and_do_not_end_one():
    hand = Hand()
    hand.hold(1, 500)
    assert hand.hold(0, 100) + hand.hold(1, 100) + hand.hold(0, 100) + hand.hold(1, 300) == []
    events = hand.hold(0, 1500) + hand.hold(1, 100) + hand.hold(0, 2000)
    assert events == [LONG]


def test_a_contact_that_chatters_evenly_changes_nothing_either_way():
    hand = Hand()
    hand.hold(1, 500)
    for _ in range(40):
        assert hand.hold(0, 100) + hand.hold(1, 100) == []
    assert not hand.button.down
    hand.hold(0, 500)
    for _ in range(5):
        assert hand.hold(1, 100) + hand.hold(0, 100) == []
    assert hand.button.down


def test_a_button_that_is_down_at_boot_does_nothing_until_released():
    hand = Hand(0)
    assert hand.hold(0, 12000) == [] and hand.hold(1, 500) == []
    assert hand.hold(0, 3500) == [LONG]


def test_a_button_held_for_a_minute_is_stuck_until_released():
    hand = Hand()
    hand.hold(1, 500)
    hand.hold(0, 59000)
    assert not hand.button.stuck
    hand.hold(0, 2000)
    assert hand.button.stuck
    hand.hold(1, 300)
    assert not hand.button.stuck


def test_a_button_that_is_up_at_boot_is_never_stuck():
    hand = Hand()
    hand.hold(1, 100)
    assert not hand.button.stuck and not hand.button.held


def test_a_press_is_held_until_it_has_become_a_long_one():
    hand = Hand()
    hand.hold(1, 500)
    hand.hold(0, 2500)
    assert hand.button.held
    hand.hold(0, 1000)
    assert not hand.button.held


def test_a_press_is_long_at_the_very_tick_that_is_three_seconds_after_its_first():
    hand = Hand()
    hand.hold(1, 500)
    assert hand.hold(0, 3000) == []
    assert hand.hold(0, 100) == [LONG]
    assert hand.hold(0, 6900) == []
    assert hand.hold(0, 100) == [VERY_LONG]
