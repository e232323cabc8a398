"""The guard remembers crashes, leaves out what crashes, and ends safe mode by power in sum."""

import sys

from helpers import ON_MICROPYTHON

from wearmeter.device.guard import RECORD_BYTES, Guard
from wearmeter.device.testing import Clockwork, ticks_diff
from wearmeter.flash.record import FRAME_BYTES
from wearmeter.flash.testing import MemoryRecord

if not ON_MICROPYTHON:
    import traceback

    def print_exception(error, file):
        traceback.print_exception(type(error), error, error.__traceback__, file=file)

    sys.print_exception = print_exception


class Unit:
    """A guard over one record, through power cuts."""

    def __init__(self):
        self.kept = b""
        self.on()

    def on(self):
        self.clockwork = Clockwork()
        self.record = MemoryRecord(RECORD_BYTES + FRAME_BYTES, self.kept)
        self.lines = []
        self.guard = Guard(self.record, self.clockwork.ticks_ms, ticks_diff, self.lines.append)

    def cut(self):
        self.kept = self.record.kept
        self.on()
        return self.guard

    def crash(self, uptime_s=5):
        self.guard.note("loop", "broken", uptime_s)
        return self.cut()


def failing(argument):
    raise ValueError("broken thing")


def test_an_error_outside_safe_mode_is_kept_for_the_loop_to_end_with():
    unit = Unit()
    assert unit.guard.run("panel", failing, 1) is None
    assert isinstance(unit.guard.error, ValueError) and unit.guard.room == "panel"
    assert unit.guard.run("link", lambda argument: argument + 1, 1) == 2


def test_a_crash_is_kept_with_the_end_of_its_traceback_until_it_is_told():
    unit = Unit()
    try:
        failing(1)
    except ValueError as error:
        unit.guard.note("panel", error, 5)
    guard = unit.cut()
    assert not guard.told and "broken thing" in guard.text and len(guard.text) <= 200
    guard.tell()
    assert unit.cut().told


def test_three_crashes_in_ten_minutes_of_power_are_many_however_short_each_power_on_is():
    unit = Unit()
    for uptime_s, many in ((5, False), (100, False), (200, True)):
        assert unit.crash(uptime_s).many == many
    unit = Unit()
    for uptime_s in (5, 300, 400):  # the third is more than ten minutes after the second, with what came between
        for _ in range(5):
            unit.guard.settle(60 * 5)
            unit.cut()
        unit.crash(uptime_s)
    assert not unit.guard.many


def test_safe_mode_ends_after_ten_minutes_of_power_in_sum():
    """Row 3: where no power-on lasted ten minutes safe mode never ended."""
    unit = Unit()
    for _ in range(3):
        unit.crash()
    unit.guard.enter_safe_mode()
    assert unit.cut().safe
    ended = []
    for _ in range(2):  # two cleans of eight minutes
        for second in range(481):
            ended += [second] * bool(unit.guard.settle(second))
        unit.cut()
    assert len(ended) == 1 and not unit.guard.safe and not unit.guard.many


def test_what_crashes_in_safe_mode_is_left_out_for_a_minute_and_the_rest_goes_on():
    unit = Unit()
    unit.guard.safe = True
    tries = []

    def failing_too(argument):
        tries.append(argument)
        raise ValueError("again")

    for _ in range(1250):
        unit.guard.run("report", failing_too, 1)
        assert unit.guard.run("link", lambda argument: argument, 7) == 7
        unit.clockwork.go(100)
    assert len(tries) == 3 and unit.guard.error is None


def test_another_firmware_begins_with_a_clean_record_and_keeps_what_is_still_to_be_told():
    unit = Unit()
    for _ in range(3):
        unit.crash()
    unit.guard.begin_anew()
    guard = unit.cut()
    assert not guard.many and not guard.told and "broken" in guard.text


def test_a_record_that_cannot_be_kept_or_read_stops_nothing():
    unit = Unit()
    unit.record.refuse = True
    assert unit.guard.note("loop", "broken", 5) == 1
    assert "wm crash unsaved" in unit.lines
    for kept in (b"\0", b"\xff" * 5, b"\1\1\0\0\3\xff\xfe", bytes(200)):
        unit.kept = kept
        unit.on()
        unit.guard.settle(100)


def test_the_text_of_a_crash_is_the_room_and_the_last_hundred_characters_at_most():
    unit = Unit()
    unit.guard.note("panel", "-" * 500 + "the end", 5)
    assert unit.guard.text == "panel: " + "-" * 86 + "the end"


def test_the_passing_of_calm_time_is_written_once_a_minute():
    unit = Unit()
    unit.crash()
    saves = unit.record.saves
    for tenth in range(5990):
        unit.guard.settle(tenth // 10)
    assert unit.record.saves - saves == 9
