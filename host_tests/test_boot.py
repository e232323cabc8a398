"""From main.py's first line to the first look at a motor, and what a damaged slot does to that."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_tests.unit_for_tests import Unit, clean
from tools.simulator import flash_image

FIRST_SAMPLE_US = 300_000


def test_the_first_sample_comes_within_300_ms_of_main_pys_first_line(tmp_path: Path) -> None:
    """Row 9: with the board's costs of Python, flash reads and module loading."""
    for run in (Unit(tmp_path).power(5_000)[0], Unit(tmp_path / "again").power(5_000)[0]):
        assert run.end["first_sample_us"] - run.end["main_us"] <= FIRST_SAMPLE_US


def test_a_motor_that_runs_while_the_rest_is_imported_is_counted(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.power(6_000, clean(0, 5_000))
    counted = unit.counted()[0].lifetime_ms
    assert 5_000 - FIRST_SAMPLE_US // 1000 - 100 <= counted <= 5_000


def test_a_product_powered_with_its_motor_counts_the_time_before_the_first_sample(tmp_path: Path) -> None:
    """Row 10: one switch powers motor and board, so the motor has run as long as the chip."""
    unit = Unit(tmp_path)
    unit.product["powered_with_motor"] = True
    unit = Unit(tmp_path / "unit", product=unit.product)
    unit.power(6_000, clean(0, 5_000))
    assert 4_900 <= unit.counted()[0].lifetime_ms <= 5_000


def slot_files(unit: Unit) -> list[str]:
    return sorted(flash_image.read_tree(unit.board.flash, "fw_a"))


@pytest.mark.parametrize("damage", ["cut to a third", "empty", "a bit", "gone"])
def test_whatever_is_wrong_with_a_file_of_a_slot_the_unit_counts_from_the_other(tmp_path: Path, damage: str) -> None:
    """Row 17: a truncated .mpy would keep MicroPython's loader busy for ever."""
    for number, name in enumerate(slot_files(Unit(tmp_path / "files"))):
        unit = Unit(tmp_path / str(number))
        content = unit.read(f"fw_a/{name}")
        assert content
        if damage == "gone":
            flash_image.remove_file(unit.board.flash, f"fw_a/{name}")
        else:
            middle = len(content) // 2
            flipped = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
            changed = {"cut to a third": content[: len(content) // 3], "empty": b"", "a bit": flipped}[damage]
            unit.write(f"fw_a/{name}", changed)
        runs = unit.power(30_000, clean(15_000, 25_000))
        assert runs[-1].end["reason"] == "cut", name
        assert 9_000 <= unit.counted()[0].lifetime_ms <= 10_000, name
        assert (unit.read("slot") or b"").split()[:1] == [b"fw_b"], name
        assert "slot=fw_b" in runs[-1].text, name
