"""`make size` weighs every module of the firmware, and lets none past its ceiling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.setup import size

CEILINGS = {"always": {"meter": 500, "clock": 500}, "optional": {"drivers/mains": 900}, "sum": {"always": 900}}


def test_each_module_and_the_sum_are_printed(firmware: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size.main([])
    lines = capsys.readouterr().out.splitlines()
    weights = [int(line.split()[0].replace(",", "")) for line in lines]
    assert len(lines) == len(list(firmware.glob("wearmeter/**/*.mpy"))) + 1
    always = [weight for weight, line in zip(weights[:-1], lines[:-1], strict=True) if not line.endswith("optional")]
    assert weights[-1] == sum(always)
    assert weights[:-1] == sorted(weights[:-1], reverse=True)


def test_the_firmware_keeps_below_its_ceilings(firmware: Path) -> None:
    assert size.complaints(size.sizes(firmware), json.loads(size.CEILINGS.read_text())) == []


def test_what_is_too_heavy_or_unknown_or_gone_is_named() -> None:
    assert size.complaints({"meter": 400, "clock": 500, "drivers/mains": 900}, CEILINGS) == []
    found = {"meter": 501, "drivers/mains": 900, "new": 5}
    assert size.complaints(found, CEILINGS) == [
        "new: no ceiling in size_ceilings.json",
        "clock: has a ceiling, and is no more",
        "meter: 501 bytes, 1 over its ceiling",
    ]
    heavy = size.complaints({"meter": 500, "clock": 500, "drivers/mains": 900}, CEILINGS)
    assert heavy == ["all that is always there: 1,000 bytes, ceiling 900"]


def test_ceilings_are_only_lowered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size, "CEILINGS", tmp_path / "ceilings.json")
    size.lower({"meter": 400, "clock": 501, "drivers/mains": 5000}, json.loads(json.dumps(CEILINGS)))
    kept = json.loads((tmp_path / "ceilings.json").read_text())
    assert kept["always"] == {"meter": 400, "clock": 500} and kept["optional"] == {"drivers/mains": 900}
    assert kept["sum"] == {"always": 900}
