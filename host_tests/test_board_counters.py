"""The chip's pulse counters as boards/esp32.py uses them, on the virtual board, whose pins behave as the chip's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.setup import boards
from tools.simulator.testing import Board


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


def run(board: Board, work: str, events: list[list[object]]) -> list[str]:
    """What `work` prints, where `board` is the module of the virtual board."""
    main = boards.source("virtual") + work
    return board.power(main, events, pcnt=True, end_ms=30_000).lines


METERED = (
    "counter = gated_clock('suction_motor', {active})\npin = level_input('suction_motor', '{pull}')\n"
    "print(pin.value() == {active})\nran = 0\n"
    "while time.ticks_ms() < 20000:\n    time.sleep_ms(100)\n    ran += counter()\nprint(ran)\n"
)


@pytest.mark.parametrize(("active", "pull"), [(1, "down"), (0, "up")])
def test_the_hardware_meter_counts_the_motor_and_nothing_else(board: Board, active: int, pull: str) -> None:
    on, off = active, 1 - active
    runs = [[2000, "pin", 4, on], [5000, "pin", 4, off], [7000, "pin", 4, on], [7777, "pin", 4, off]]
    lines = run(board, METERED.format(active=active, pull=pull), runs)
    assert lines[0] == "False"  # nothing drives the pin yet: its own pull says that the motor is off
    assert abs(int(lines[1]) - 3777) <= 2


def test_two_counters_do_not_share_a_unit(board: Board) -> None:
    lines = run(
        board,
        "brush = gated_clock('brush_motor', 1)\nlevel_input('brush_motor', 'down')\n"
        "speed = pulse_counter('motor_speed')\ntime.sleep(5)\nprint(speed(), brush())\n",
        [[1000, "storm", 21, 50, 2000], [1000, "pin", 5, 1], [2500, "pin", 5, 0]],
    )
    pulses, ran_ms = (int(word) for word in lines[0].split())
    assert pulses == 100 and abs(ran_ms - 1500) <= 2


def test_no_pulse_is_lost_between_two_looks_nor_at_the_counters_limit(board: Board) -> None:
    lines = run(
        board,
        "speed = pulse_counter('motor_speed')\nlooks = 0\ntotal = 0\n"
        "while time.ticks_ms() < 12000:\n    time.sleep_ms(1)\n    looks += 1\n    total += speed()\n"
        "print(looks > 5000, total)\n",
        [[1000, "storm", 21, 5000, 10_000]],
    )
    assert lines[0] == "True 50000"
