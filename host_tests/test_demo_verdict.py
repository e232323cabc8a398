"""The demo's verdict: true - 1 s a cut <= counted <= true, and the relay has accepted all that was counted."""

from __future__ import annotations

import pytest

from tools.demo.story import Row, Story


def row(true_ms: int = 100_000, counted_ms: int = 100_000, accepted_s: int | None = 100, cuts: int = 0) -> Row:
    return Row("Sensor.Brush", 1, true_ms, counted_ms, accepted_s, cuts)


@pytest.mark.parametrize(
    ("counted_ms", "accepted_s", "cuts"),
    [(100_000, 100, 0), (99_999, 99, 1), (99_000, 99, 1), (97_000, 97, 3)],
)
def test_up_to_a_second_a_cut_may_be_lost(counted_ms: int, accepted_s: int, cuts: int) -> None:
    assert row(counted_ms=counted_ms, accepted_s=accepted_s, cuts=cuts).holds


@pytest.mark.parametrize(("counted_ms", "cuts"), [(99_999, 0), (98_999, 1), (96_999, 3)])
def test_a_millisecond_more_is_a_broken_promise(counted_ms: int, cuts: int) -> None:
    broken = row(counted_ms=counted_ms, accepted_s=counted_ms // 1000, cuts=cuts)
    assert not broken.counted_right
    assert not broken.holds


def test_a_millisecond_above_the_truth_is_a_broken_promise() -> None:
    assert not row(counted_ms=100_001, cuts=9).holds


@pytest.mark.parametrize("accepted_s", [None, 99, 101])
def test_the_relay_must_have_accepted_just_what_was_counted(accepted_s: int | None) -> None:
    assert not row(accepted_s=accepted_s).holds


def test_a_run_that_counted_nothing_at_all_proves_nothing() -> None:
    assert not Story("", 0, 1, []).holds
