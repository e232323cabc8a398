"""Whatever happens to the flash, nothing is invented, what is lost is told, and counting goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.torture import power


def damage(**wanted: Any) -> dict[str, Any]:
    failed = []
    last: dict[str, Any] = {}
    for told in power.lines(power.plan([], **wanted), "damage.py"):
        if isinstance(told, dict):
            last = told
            if "why" in told:
                failed.append(f"{told['failed']}: {told['why']}")
    assert not failed, "\n".join(failed[:20])
    return last


def test_each_kind_of_damage_to_each_copy_a_reformat_a_full_and_a_dead_flash(firmware: Path) -> None:
    """Flipped, truncated, empty, foreign, of a future version, zeros, removed: one copy or both, of counts and
    ledger, with and without their backup copies. Only with no copy of the ledger left is there a new epoch."""
    done = damage(stride=0, offset=0)
    assert done["starts"] > 80 and done["told"] > 80


def test_any_flipped_bit_of_the_flash_in_use(firmware: Path) -> None:
    done = damage(stride=67, offset=5)
    assert done["starts"] > 3000 and done["told"] > 100
