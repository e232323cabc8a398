"""The virtual board in real time, on a pseudo-terminal: the real mpremote takes it for a board on a USB port."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.simulator.real_board import RealBoard

MPREMOTE = Path(sys.executable).parent / "mpremote"
MAIN = """
import time, board
print("main is up after", board.reset_cause())
while True:
    time.sleep(1)
"""


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[RealBoard]:
    with RealBoard(tmp_path / "flash.bin", tmp_path / "tty") as board:
        yield board


def mpremote(unit: RealBoard, *arguments: str) -> str:
    command = [str(MPREMOTE), "connect", str(unit.link), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_mpremote_copies_files_and_runs_code(unit: RealBoard, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(bytes(range(256)) * 20)
    mpremote(unit, "resume", "fs", "cp", str(tmp_path / "data.bin"), ":data.bin")
    mpremote(unit, "resume", "fs", "cp", ":data.bin", str(tmp_path / "back.bin"))
    assert (tmp_path / "back.bin").read_bytes() == (tmp_path / "data.bin").read_bytes()
    assert mpremote(unit, "resume", "exec", "import machine; print(machine.unique_id().hex())") == "246f28a1b2c3\n"


def test_main_runs_after_resets_and_after_the_plug_was_pulled(unit: RealBoard, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(MAIN)
    mpremote(unit, "resume", "fs", "cp", str(tmp_path / "main.py"), ":main.py")
    mpremote(unit, "resume", "reset")
    assert unit.wait_for("main is up after hard")
    unit.unplug()
    assert unit.link is not None and not unit.link.exists()
    unit.plug_in()
    assert unit.wait_for("main is up after power")
    assert "main.py" in mpremote(unit, "resume", "fs", "ls")


def test_a_soft_reset_from_mpremote_leaves_main_alone_and_ctrl_d_at_the_prompt_runs_it(
    unit: RealBoard, tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text(MAIN)
    mpremote(unit, "fs", "cp", str(tmp_path / "main.py"), ":main.py")  # without resume: a soft reset first
    assert "main is up" not in unit.console.decode("latin-1")
    assert unit.boots == 2
    with open(unit.port, "wb", buffering=0) as terminal:
        terminal.write(b"\x02\x04")
    assert unit.wait_for("main is up after soft")


def test_the_watchdog_bites_at_the_prompt_too(unit: RealBoard) -> None:
    mpremote(unit, "resume", "exec", "import machine; machine.WDT(timeout=1000)")
    for _ in range(100):
        if unit.boots == 2:
            break
        unit.wait_for("never", 0.1)
    assert mpremote(unit, "resume", "exec", "import machine; print(machine.reset_cause())") == "3\n"


def test_timers_run_in_real_time_while_main_sleeps(unit: RealBoard) -> None:
    code = (
        "import time, machine; beats = []; "
        "t = machine.Timer(0, period=50, callback=lambda t: beats.append(time.ticks_ms())); "
        "time.sleep(1); t.deinit(); print(len(beats))"
    )
    assert 15 <= int(mpremote(unit, "resume", "exec", code)) <= 20
