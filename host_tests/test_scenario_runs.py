"""A scenario run on the virtual board: sessions one after the other, resets survived, console and truth told."""

from pathlib import Path

import pytest

from tools.simulator import Scenario, Simulator, scenario
from tools.simulator.vacuum import Progress, SimulatorError

TWO_CLEANS = """
product = "vacuum"
start = 2026-03-02T00:00:00Z
days = 1
boot_ms = 500
[[clean]]
at = "09:00"
duration = "1 min"
[[clean]]
at = "10:00"
duration = "2 min"
ended_by = "switch"
"""

COUNT = b"""
import time, board
pin = board.level_input("suction_motor", "down")
pin.irq(lambda p: print("wm edge level=%d" % p.value()))
print("wm boot reason=" + board.reset_cause())
try:
    with open("/boots") as file:
        boots = int(file.read())
except OSError:
    boots = 0
with open("/boots", "w") as file:
    file.write(str(boots + 1))
while True:
    time.sleep(1)
"""


def simulator(text: str, folder: Path, main: bytes, **keywords: object) -> Simulator:
    return Simulator(Scenario.parse(text, folder / "mine.toml"), out_dir=folder, main=main, **keywords)  # type: ignore[arg-type]


def test_each_time_with_power_is_a_boot_and_the_flash_goes_on(tmp_path: Path) -> None:
    run = simulator(TWO_CLEANS, tmp_path, COUNT)
    result = run.run()
    assert [boot.cause for boot in result.boots] == ["power", "power"]
    assert [boot.ended for boot in result.boots] == ["cut", "cut"]
    assert result.power_cuts == 2
    assert run.read_file("boots") == b"2"
    assert result.flash.programs > 0


def test_console_lines_carry_the_scenarios_time(tmp_path: Path) -> None:
    result = simulator(TWO_CLEANS, tmp_path, COUNT).run()
    nine = 9 * scenario.HOUR
    assert [(line.at_ms, line.values["level"]) for line in result.lines("edge")] == [
        (nine, "1"),
        (nine + scenario.HOUR, "1"),
        (nine + scenario.HOUR + 2 * scenario.MINUTE, "0"),
    ]
    importing_ms = result.lines("boot")[0].at_ms - (nine - 5000 + 500)
    assert 60 < importing_ms < 200  # board.py and esp32_common.py are read from the flash


def test_the_truth_is_told_for_each_part_that_was_fitted(tmp_path: Path) -> None:
    main = (
        b"import time\n"
        b"if time.sleep(35) is None:\n"
        b"    print('wm replaced id=1 generation=2 fitted_at_ms=29950 ago_ms=0')\n"
        b"while True: time.sleep(1)\n"
    )
    text = TWO_CLEANS.replace('at = "10:00"', 'at = "10:00"\ninputs = ["brush"]')
    result = simulator(text, tmp_path, main).run()
    parts = [(part.instance, part.generation, part.true_ms, part.counted_ms) for part in result.generations]
    assert parts[0] == ("Sensor.DustFilter", 1, 30_500, 29_950)
    assert parts[1][:3] == ("Sensor.DustFilter", 2, 29_500)
    assert parts[-1] == ("Sensor.Brush", 1, 180_000, None)


def test_a_watchdog_reset_is_a_boot_within_the_same_time_with_power(tmp_path: Path) -> None:
    main = (
        b"import time, machine, board\n"
        b"print('wm boot reason=' + board.reset_cause())\n"
        b"machine.WDT(timeout=20000)\ntime.sleep(1000)\n"
    )
    result = simulator(TWO_CLEANS, tmp_path, main).run()
    first = [boot for boot in result.boots if boot.session == 1]
    assert [boot.cause for boot in first] == ["power", "watchdog", "watchdog", "watchdog"]
    assert first[-1].ended == "cut"
    assert [line.values["reason"] for line in result.console[:2]] == ["power", "watchdog"]
    assert 20_500 <= result.console[1].at_ms - result.console[0].at_ms <= 20_700  # and board.py is read again
    assert result.power_cuts == 2


def test_progress_is_told_line_by_line(tmp_path: Path) -> None:
    seen: list[Progress] = []
    simulator(TWO_CLEANS, tmp_path, COUNT, on_progress=seen.append).run()
    assert [one.session for one in seen if one.line is None] == [1, 2]
    assert any(one.running == ("suction", "brush") for one in seen)
    assert all(0 <= one.at_ms <= one.duration_ms for one in seen)


def test_the_units_time_can_be_read_by_the_host(tmp_path: Path) -> None:
    seen: list[int] = []
    run = simulator(TWO_CLEANS, tmp_path, COUNT)
    run.on_progress = lambda progress: seen.append(run.virtual_utc_s()) if progress.line else None
    run.run()
    start_s = run.scenario.start_utc_ms // 1000
    assert all(start_s + 9 * 3600 - 5 <= utc_s <= start_s + 10 * 3600 + 130 for utc_s in seen)
    assert run.virtual_utc_s() == start_s + 86_400


def test_a_program_that_hangs_does_so_until_the_power_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.simulator.process.HUNG_CPU_S", 1)
    result = simulator(TWO_CLEANS, tmp_path, b"while True: pass\n").run()
    assert [boot.ended for boot in result.boots] == ["hung", "hung"]


def test_a_folder_without_firmware_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="holds no firmware"):
        Simulator(Scenario.parse(TWO_CLEANS), out_dir=tmp_path, firmware_dir=tmp_path)
