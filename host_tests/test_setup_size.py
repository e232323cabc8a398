"""`make size` weighs every module of the firmware."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.setup import size


def test_each_module_and_the_sum_are_printed(firmware: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert size.main() == 0
    lines = capsys.readouterr().out.splitlines()
    weights = [int(line.split()[0].replace(",", "")) for line in lines]
    assert len(lines) == len(list(firmware.glob("wearmeter/**/*.mpy"))) + 1
    assert weights[-1] == sum(weights[:-1])
    assert weights[:-1] == sorted(weights[:-1], reverse=True)
