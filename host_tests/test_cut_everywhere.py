"""The power is cut at every flash operation of whole histories, torn at several bytes; the promises hold after each."""

from __future__ import annotations

from typing import Any

import pytest

from tools.torture import power


def cut(wanted: dict[str, Any], program: str = "cuts.py") -> dict[str, Any]:
    """Run a plan; fails with the replay id of each broken promise."""
    failed = []
    last: dict[str, Any] = {}
    for told in power.lines(wanted, program):
        if isinstance(told, dict):
            last = told
            if "why" in told:
                failed.append(f"make torture REPLAY=power/{told['failed']}: {told['why']}")
    assert not failed, "\n".join(failed[:20])
    return last


@pytest.mark.parametrize("history", power.NAMED)
def test_no_promise_is_broken_wherever_the_power_is_cut(history: str) -> None:
    # The drain of a full queue is 300 operations of the same kind.
    every = [7, 1] if history == "full_queue" else [2, 1]
    done = cut(power.plan([history], every=every))
    assert done["cuts"] > 20


@pytest.mark.parametrize("history", ["count", "report", "replacement", "commands"])
def test_nor_where_erasing_takes_as_long_as_the_promise_allows(history: str) -> None:
    done = cut(power.plan([history], erase_ms=power.SLOW_ERASE_MS, every=[3, 1]))
    assert done["cuts"] > 20


@pytest.mark.parametrize("erase_ms", [power.ERASE_MS, power.SLOW_ERASE_MS])
@pytest.mark.parametrize("off_ms", [1, 9, 30])
def test_a_stop_that_comes_and_goes_while_the_flash_is_written_is_not_counted(off_ms: int, erase_ms: int) -> None:
    done = cut(power.plan([], erase_ms=erase_ms, off_ms=off_ms, step_ms=7), "blinks.py")
    assert done["tried"] > 100
    assert done["over_ms"] == 0
    # A tick, a save that compacts, and what Python takes: nobody can see into a write.
    assert done["short_ms"] <= 100 + 3 * erase_ms


def test_nor_when_it_is_cut_again_in_the_recovery() -> None:
    done = cut(power.plan(["first_boot", "replacement", "undo", "commands"], 2, every=[31, 3], every_deep=41))
    assert done["cuts"] > 60


def test_nor_in_lives_drawn_at_random() -> None:
    done = cut(power.plan([f"drawn-{seed}" for seed in range(1, 9)], every=[13, 2]))
    assert done["cuts"] > 50
