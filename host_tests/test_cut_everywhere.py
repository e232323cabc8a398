"""The power is cut at every flash operation of whole histories, torn at several bytes; the promises hold after each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tools.torture import power


def cut(wanted: dict[str, Any]) -> dict[str, Any]:
    """Run a plan; fails with the replay id of each broken promise."""
    failed = []
    last: dict[str, Any] = {}
    for told in power.lines(wanted):
        if isinstance(told, dict):
            last = told
            if "why" in told:
                failed.append(f"make torture REPLAY=power/{told['failed']}: {told['why']}")
    assert not failed, "\n".join(failed[:20])
    return last


@pytest.mark.parametrize("history", power.NAMED)
def test_no_promise_is_broken_wherever_the_power_is_cut(history: str, firmware: Path) -> None:
    # The drain of a full queue is 300 operations of the same kind.
    every = [3, 1] if history == "full_outbox" else [1, 0]
    done = cut(power.plan([history], every=every))
    assert done["cuts"] > 20
    assert done["loss_max_ms"] <= 1000


def test_nor_when_it_is_cut_again_in_the_recovery(firmware: Path) -> None:
    done = cut(power.plan(["first_boot", "replacement", "undo", "commands"], 2, every=[17, 3], every_deep=41))
    assert done["cuts"] > 100


def test_nor_in_lives_drawn_at_random(firmware: Path) -> None:
    done = cut(power.plan([f"drawn-{seed}" for seed in range(1, 9)], every=[13, 2]))
    assert done["cuts"] > 50
