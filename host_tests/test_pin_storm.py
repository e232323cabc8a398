"""What comes to a motor's pin and is no motor: hum of the mains, a relay that chatters, 10 kHz for as long as you like.

The tick lives on, the other input counts, nothing is counted that had not run, and the relay is told.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from host_tests.unit_for_tests import BRUSH, Unit, clean

FAULT_INPUT_NOISY = 512
START_MS = 2_000
AFTER_MS = 8_000  # the noisy input's rest, and the last save


def programs(unit: Unit, events: list[list[object]], until_ms: int) -> int:
    before = unit.board.wear.programs
    unit.power(until_ms, events)
    return unit.board.wear.programs - before


@pytest.mark.parametrize("hertz", [50, 60])
def test_hum_of_the_mains_is_told_and_is_not_counted(tmp_path: Path, firmware: Path, hertz: int) -> None:
    """100 edges a second, of which each one would be taken for a motor's: half of the time was counted before."""
    unit = Unit(tmp_path)
    hum = [START_MS, "storm", BRUSH, hertz, 30_000]
    (run,) = unit.power(START_MS + 30_000 + AFTER_MS, [hum, *clean(3_000, 28_000)])
    filter_, brush = unit.counted()
    assert 24_900 <= filter_.lifetime_ms <= 25_000 and brush.lifetime_ms <= 250
    assert f"wm fault bits={FAULT_INPUT_NOISY} " in run.text


def test_five_changes_a_second_program_the_flash_no_oftener_than_a_steady_motor(tmp_path: Path, firmware: Path) -> None:
    steady = programs(Unit(tmp_path / "steady"), clean(START_MS, START_MS + 60_000, BRUSH), START_MS + 60_000)
    chatter = Unit(tmp_path / "chatter")
    changed = programs(chatter, [[START_MS, "storm", BRUSH, 5, 60_000]], START_MS + 60_000)
    assert changed <= 1.1 * steady <= 220, (changed, steady)
    assert 28_000 <= chatter.counted()[1].lifetime_ms <= 30_000


@pytest.mark.parametrize("minutes", [5])
def test_a_storm_of_10_khz_leaves_the_tick_alive(tmp_path: Path, firmware: Path, minutes: int) -> None:
    """An hour of it takes half a minute, and is the same 12 times over."""
    end_ms = START_MS + minutes * 60_000
    unit = Unit(tmp_path)
    storm = [START_MS, "storm", BRUSH, 10_000, end_ms - START_MS]
    events = [storm, *clean(3_000, end_ms - 3_000), *clean(end_ms + AFTER_MS, end_ms + AFTER_MS + 5_000, BRUSH)]
    runs = unit.power(end_ms + 2 * AFTER_MS, events, storm=True)
    assert [run.end["reason"] for run in runs] == ["cut"], "the watchdog has not bitten"
    filter_, brush = unit.counted()
    true_ms = end_ms - 6_000
    assert 0.95 * true_ms <= filter_.lifetime_ms <= true_ms
    assert 4_900 <= brush.lifetime_ms <= 5_000, "nothing of the storm, and all of the run after it"
    assert f"wm fault bits={FAULT_INPUT_NOISY} " in runs[0].text
