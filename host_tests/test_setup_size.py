"""`make size` weighs every bundle of the firmware and its heap, and lets none past its ceiling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.setup import size

CEILINGS = {"wm_count": 500, "wm_state": 900}


def test_bundles_and_heap_keep_below_their_ceilings_and_all_are_printed(
    firmware: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MICROPYTHON32", raising=False)
    assert size.main([]) == 0
    out, told = capsys.readouterr()
    lines = out.splitlines()
    weights = [int(line.split()[0].replace(",", "")) for line in lines]
    assert len(lines) == len(list(firmware.glob("wm_*.mpy"))) + 1
    assert "SKIPPED" in told
    assert weights == sorted(weights, reverse=True)


def test_what_is_too_heavy_or_unknown_or_gone_is_named() -> None:
    assert size.complaints({"wm_count": 400, "wm_state": 900}, CEILINGS) == []
    assert size.complaints({"wm_count": 501, "new": 5}, CEILINGS) == [
        "new: no ceiling in size_ceilings.json",
        "wm_state: has a ceiling, and is no more",
        "wm_count: 501 bytes, 1 over its ceiling",
    ]


def test_ceilings_are_only_lowered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size, "CEILINGS", tmp_path / "ceilings.json")
    size.lower({"wm_count": 400, "wm_state": 5000}, dict(CEILINGS))
    assert json.loads((tmp_path / "ceilings.json").read_text()) == {"wm_count": 400, "wm_state": 900}
