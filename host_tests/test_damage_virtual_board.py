"""The files and the flash image of a virtual board, damaged between two starts of the real firmware."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from host_tests.unit_for_tests import Unit, clean
from tools.simulator import counts
from tools.simulator.testing import BoardRun
from wearmeter.exchange import wire
from wearmeter.state import faults

COUNTS, LEDGER = counts.COUNTS, counts.LEDGER
COPIES = COUNTS + LEDGER
RAN_MS = 9000
UNTIL_MS = 14_000
# Of a run with two edges, each of which is certain to the millisecond before it.
LEAST_MS = RAN_MS - 2


def cleaned(folder: Path) -> Unit:
    """A unit that has counted nine seconds, and was unplugged."""
    unit = Unit(folder)
    unit.power(UNTIL_MS, clean(4000, 4000 + RAN_MS))
    assert LEAST_MS <= unit.counted()[0].lifetime_ms <= RAN_MS
    return unit


def epoch_of(run: BoardRun) -> str:
    (boot,) = [line for line in run.lines if line.startswith("wm boot")]
    return next(word for word in boot.split() if word.startswith("epoch="))


def told(unit: Unit) -> int:
    """The faults that wait for the relay."""
    bits = 0
    for entry in unit.queue():
        if entry.kind == wire.FAULT:
            bits |= int(entry.faults)
    return bits


def flip(content: bytes) -> bytes:
    return content[:20] + bytes([content[20] ^ 4]) + content[21:]


def damage(unit: Unit, change: Callable[[bytes], bytes], copies: tuple[str, ...] = COPIES) -> None:
    """Of those that are there: a young unit has written its ledger but once."""
    found = {copy: content for copy in copies if (content := unit.read(copy))}
    assert len(found) >= min(len(copies), len(COUNTS))
    for copy, content in found.items():
        unit.write(copy, change(content))


def newest(unit: Unit) -> str:
    return max(COUNTS, key=lambda copy: int.from_bytes((unit.read(copy) or b"")[2:6], "little"))


@pytest.mark.parametrize("change", [flip, lambda content: content[:-1], lambda content: b"", lambda content: b"{}"])
def test_a_damaged_newest_copy_costs_less_than_a_second_and_is_told(
    change: Callable[[bytes], bytes], tmp_path: Path, firmware: Path
) -> None:
    unit = cleaned(tmp_path)
    damage(unit, change, (newest(unit),))
    unit.power(6000)
    assert LEAST_MS - 1000 <= unit.counted()[0].lifetime_ms <= RAN_MS
    assert told(unit) & faults.COPY_DAMAGED


def test_with_both_copies_damaged_the_backup_copy_goes_on_in_the_same_epoch(tmp_path: Path, firmware: Path) -> None:
    unit = cleaned(tmp_path)
    (before,) = unit.power(6000)  # each start writes the backup copy
    damage(unit, flip)
    (after,) = unit.power(6000)
    assert epoch_of(after) == epoch_of(before)
    assert LEAST_MS <= unit.counted()[0].lifetime_ms <= RAN_MS
    assert told(unit) & faults.COPY_DAMAGED


def test_with_every_copy_gone_there_is_a_new_epoch_from_zero_and_it_is_told(tmp_path: Path, firmware: Path) -> None:
    unit = cleaned(tmp_path)
    (before,) = unit.power(6000)
    damage(unit, flip)
    nvs = unit.board.directory / "nvs.json"
    nvs.write_bytes(b" " * nvs.stat().st_size)
    (after,) = unit.power(6000)
    assert epoch_of(after) != epoch_of(before)
    assert unit.counted()[0].lifetime_ms == 0
    assert told(unit) & faults.COUNTS_LOST


def test_a_flipped_bit_anywhere_in_the_folders_of_the_record_never_adds_and_never_stops(
    tmp_path: Path, firmware: Path
) -> None:
    unit = cleaned(tmp_path)
    image = unit.board.flash.read_bytes()
    nvs = (unit.board.directory / "nvs.json").read_bytes()
    # The folders of the two copies, by what is in them; the firmware's own files are another matter (slots, or frozen).
    records = [content for content in map(unit.read, COPIES) if content]
    blocks = [at for at in range(0, len(image), 4096) if any(record in image[at : at + 4096] for record in records)]
    assert len(blocks) >= 2
    draw = random.Random(5)
    for _ in range(12):
        at = draw.choice(blocks) + draw.randrange(1500)
        changed = bytearray(image)
        changed[at] ^= 1 << draw.randrange(8)
        unit.board.flash.write_bytes(changed)
        (unit.board.directory / "nvs.json").write_bytes(nvs)
        (run,) = unit.power(8000, clean(4000, 6000))
        assert "wm boot" in run.text and "Traceback" not in run.text, at
        counted_ms = unit.counted()[0].lifetime_ms
        assert counted_ms <= RAN_MS + 2000, at
        assert counted_ms >= LEAST_MS + 2000 - 1002 or told(unit) & (faults.COPY_DAMAGED | faults.COUNTS_LOST), at
