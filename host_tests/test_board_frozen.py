"""An image with the firmware frozen in counts on, whatever has become of the file system."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from host_tests.unit_for_tests import ROOT, Unit, clean
from tools.setup import firmware as firmware_build

COPY_DAMAGED, CONFIG_BAD = 0x0001, 0x0020


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What boards/frozen/manifest.py freezes, as a folder."""
    firmware_build.build()
    folder = tmp_path_factory.mktemp("image") / "frozen"
    shutil.copytree(firmware_build.OUT, folder)
    shutil.copytree(folder / "lib" / "umqtt", folder / "umqtt")
    shutil.rmtree(folder / "lib")
    shutil.copy(ROOT / "boards" / "frozen" / "_boot.py", folder)
    shutil.copy(firmware_build.BUILD / "boards" / "virtual" / "board.mpy", folder)
    return folder


def test_with_nothing_but_its_own_files_on_the_flash(tmp_path: Path, frozen: Path) -> None:
    unit = Unit(tmp_path, firmware=False)
    run = unit.power(60_000, clean(10_000, 50_000), frozen=str(frozen))[0]
    assert "wm boot" in run.text
    assert 39_000 <= unit.counted()[0].lifetime_ms <= 40_000


def damage_all(image: bytearray) -> None:
    image[:] = b"\x5a" * len(image)


def damage_superblock(image: bytearray) -> None:
    image[0:8192] = bytes(8192)


def erase_all(image: bytearray) -> None:
    image[:] = b"\xff" * len(image)


@pytest.mark.parametrize("damage", [damage_all, damage_superblock, erase_all])
def test_a_damaged_file_system_is_made_anew_and_the_counts_come_from_the_backup_copy(
    tmp_path: Path, frozen: Path, damage: object
) -> None:
    unit = Unit(tmp_path, firmware=False)
    unit.power(60_000, clean(10_000, 50_000), frozen=str(frozen))
    # A replacement writes the backup copy, too, so that knows the 40 s.
    unit.power(30_000, [[5_000, "pin", 18, 0], [9_000, "pin", 18, 1]], frozen=str(frozen))
    image = bytearray(unit.board.flash.read_bytes())
    damage(image)  # type: ignore[operator]
    unit.board.flash.write_bytes(image)
    run = unit.power(60_000, clean(10_000, 50_000), frozen=str(frozen))[0]
    assert "wm boot" in run.text, run.text
    assert 78_000 <= unit.counted()[0].lifetime_ms <= 80_000
    assert unit.counted()[0].generation == 2
    told = [entry for entry in unit.queue() if entry.faults & CONFIG_BAD]
    assert told and b"a copy of the product was damaged" in told[0].tail, run.text
    assert any(entry.faults & COPY_DAMAGED for entry in unit.queue()), run.text


def test_the_stock_image_has_no_such_luck(tmp_path: Path) -> None:
    """Why the boot path is frozen: with MicroPython's own, main.py never runs again."""
    unit = Unit(tmp_path)
    unit.board.flash.write_bytes(b"\x5a" * unit.board.flash.stat().st_size)
    run = unit.power(30_000)[0]
    assert "corrupted" in run.text and "wm boot" not in run.text
