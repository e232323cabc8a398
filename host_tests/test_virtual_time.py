"""The virtual board's time is the ESP32's: ticks that wrap, an epoch of 2000, sleeps that cost nothing real."""

import time
from pathlib import Path

import pytest

from tools.simulator.testing import START_UTC_MS, Board


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


def test_a_day_of_sleep_takes_no_real_time(board: Board) -> None:
    began = time.monotonic()
    run = board.power("import time\ntime.sleep(86400)\nprint(time.ticks_ms())", end_ms=90_000_000)
    assert run.lines[0] == "86400000"
    assert time.monotonic() - began < 10


def test_ticks_ms_wrap_at_2_to_the_30(board: Board) -> None:
    run = board.power(
        "import time\n"
        "before = time.ticks_ms()\n"
        "time.sleep_ms(2000)\n"
        "after = time.ticks_ms()\n"
        "print(before, after, time.ticks_diff(after, before), time.ticks_add(before, 2000) == after)\n",
        ticks_ms_start=(1 << 30) - 1000,
    )
    assert run.lines[0] == f"{(1 << 30) - 1000} 1000 2000 True"


def test_ticks_us_wrap_at_2_to_the_30(board: Board) -> None:
    run = board.power("import time\ntime.sleep(1074)\nprint(time.ticks_us() < 1000000)", end_ms=2_000_000)
    assert run.lines[0] == "True"


def test_ticks_differences_are_valid_to_half_the_period_only(board: Board) -> None:
    run = board.power(
        "import time\n"
        "print(time.ticks_diff((1 << 29) - 1, 0), time.ticks_diff(1 << 29, 0))\n"
        "try:\n    time.ticks_add(0, 1 << 29)\nexcept OverflowError:\n    print('overflow')\n"
    )
    assert run.lines[:2] == [f"{(1 << 29) - 1} {-(1 << 29)}", "overflow"]


def test_the_epoch_is_2000_and_the_rtc_begins_there_at_power_on(board: Board) -> None:
    run = board.power("import time\ntime.sleep(5)\nprint(time.time(), time.gmtime(), time.gmtime(0)[:3])")
    assert run.lines[0] == "5 (2000, 1, 1, 0, 0, 5, 5, 1) (2000, 1, 1)"


def test_the_rtc_goes_on_from_where_it_was_set(board: Board) -> None:
    run = board.power(
        "import time, machine\n"
        "machine.RTC().datetime((2026, 2, 28, 0, 23, 59, 58, 0))\n"
        "time.sleep(3)\n"
        "print(machine.RTC().datetime()[:7], time.localtime(), time.time() == time.mktime(time.gmtime()))\n"
    )
    assert run.lines[0] == "(2026, 3, 1, 6, 0, 0, 1) (2026, 3, 1, 0, 0, 1, 6, 60) True"


def test_dates_are_right_over_leap_years(board: Board) -> None:
    run = board.power(
        "import time\n"
        "for day in (59, 60, 366, 1520, 9556, 36524, 36525, 36583, 36584):\n"
        "    fields = time.gmtime(day * 86400)\n"
        "    assert time.mktime(fields) == day * 86400\n"
        "    print(fields[:3], fields[6], fields[7])\n"
    )
    assert run.lines[:9] == [
        "(2000, 2, 29) 1 60",
        "(2000, 3, 1) 2 61",
        "(2001, 1, 1) 0 1",
        "(2004, 2, 29) 6 60",
        "(2026, 3, 1) 6 60",
        "(2099, 12, 31) 3 365",
        "(2100, 1, 1) 4 1",
        "(2100, 2, 28) 6 59",
        "(2100, 3, 1) 0 60",
    ]


def test_a_loop_that_only_looks_at_the_clock_ends(board: Board) -> None:
    run = board.power(
        "import time\n"
        "began = time.ticks_ms()\n"
        "while time.ticks_diff(time.ticks_ms(), began) < 500:\n    pass\n"
        "print('done', time.ticks_ms())\n"
    )
    assert run.lines[0] == "done 500"


def test_boot_takes_its_time_and_console_lines_carry_the_true_time(board: Board) -> None:
    run = board.power("import time\nprint('up', time.ticks_ms())\ntime.sleep(2)\nprint('later')", boot_ms=700)
    assert run.lines[:2] == ["up 700", "later"]
    assert run.stamps_ms[:2] == [700, 2700]


def test_the_host_can_read_the_true_time(board: Board) -> None:
    board.power("import time\nwhile True: time.sleep(1)", end_ms=7_300)
    assert board.clock_utc_ms() == START_UTC_MS + 7_300


def test_a_jump_of_the_clock_moves_the_rtc_not_the_ticks(board: Board) -> None:
    run = board.power(
        "import time\ntime.sleep(5)\nprint(time.time(), time.ticks_ms())", events=[[3000, "rtc_jump", -3600_000]]
    )
    assert run.lines[0] == "-3595 5000"


def test_main_that_ends_leaves_a_board_that_stays_on(board: Board) -> None:
    run = board.power("raise ValueError('x')", end_ms=5_000)
    assert "ValueError: x" in run.text
    assert run.end["reason"] == "cut"
    assert run.end["now_us"] == 5_000_000
