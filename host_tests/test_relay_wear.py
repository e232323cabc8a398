"""How a part wears: its rate and what it has left, unknown rather than guessed; and its curve."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.relay.core import names, wear, wire
from tools.relay.pages import chart
from tools.relay.testing import NOW_S, replacement, report

DAY = 86400


def points(*payloads: bytes, estimated: tuple[int, ...] = ()) -> list[wear.Point]:
    """The history of the first consumable; the messages with these sequences have times that are estimated."""
    messages = []
    for payload in payloads:
        message = wire.decode_up(payload)
        assert not isinstance(message, wire.Unreadable) and message.time.not_before is not None
        messages.append((message, message.time.not_before, message.sequence in estimated))
    return wear.history(messages)[1]


def daily(days: int, use_s: int = 3600, **more: tuple[int, ...]) -> list[wear.Point]:
    reports = [report(n + 1, use_s * n, 1, use_s * n, at=NOW_S - (days - n) * DAY) for n in range(days + 1)]
    return points(*reports, **more)


def test_what_is_left_is_what_the_last_weeks_use_would_take() -> None:
    history = daily(10)
    assert wear.daily_use_s(history) == 3600
    assert wear.left(history, used_s=10 * 3600, rated_s=150 * 3600, now_s=NOW_S) == wear.Left(140)


def test_a_replacement_changes_nothing_in_the_rate() -> None:
    first = [report(n, 3600 * n, 1, 3600 * n, at=NOW_S - (10 - n) * DAY) for n in range(1, 5)]
    new = [replacement(5, 1, 2, 4 * 3600, 4 * 3600, at=NOW_S - 6 * DAY + 60)]
    then = [report(n + 1, 3600 * n, 2, 3600 * (n - 4), at=NOW_S - (10 - n) * DAY) for n in range(5, 11)]
    assert wear.daily_use_s(points(*first, *new, *then)) == 3600


def test_only_the_last_four_weeks_count() -> None:
    old = [report(n, 36000 * n, 1, 36000 * n, at=NOW_S - (100 - n) * DAY) for n in range(1, 60)]
    new = [report(n, 36000 * 60, 1, 36000 * 60, at=NOW_S - (100 - n) * DAY) for n in range(60, 101)]
    history = points(*old, *new)
    assert wear.daily_use_s(history) == 0
    assert wear.left(history, 36000 * 60, 36000 * 600, NOW_S) == wear.Left(None, "not in use")


@pytest.mark.parametrize(
    ("history", "why"),
    [
        ([], "too few reports yet"),
        (daily(2), "too few reports yet"),
        (daily(10, estimated=tuple(range(1, 10))), "too few reports yet"),
    ],
    ids=["none", "two days", "times unknown"],
)
def test_too_little_is_unknown(history: list[wear.Point], why: str) -> None:
    assert wear.left(history, 3600, 150 * 3600, NOW_S) == wear.Left(None, why)


def test_a_device_that_is_silent_for_long_is_not_extrapolated() -> None:
    assert wear.left(daily(10), 36000, 540000, NOW_S + 8 * DAY) == wear.Left(None, "silent for too long")


def test_a_part_over_its_rated_life_is_due_however_little_is_known(root: Path) -> None:
    assert wear.left([], used_s=540000, rated_s=540000, now_s=NOW_S) == wear.Left(0)
    assert wear.left([], used_s=540000, rated_s=0, now_s=NOW_S) == wear.Left(None, "no rated life")


def test_the_curve_falls_to_nothing_at_a_replacement_and_says_where_it_is_only_believed() -> None:
    told = points(
        report(1, 0, 1, 0, at=NOW_S - 9 * DAY),
        replacement(2, 1, 2, 7200, 7200, at=NOW_S - 5 * DAY),
        report(3, 9000, 2, 1800, at=NOW_S - 4 * DAY),
        report(4, 12600, 4, 900, at=NOW_S - DAY),
        estimated=(4,),
    )
    drawn = chart.curve(told, 540000, None, NOW_S)
    assert drawn is not None
    assert [(unsure, text[:10]) for _, unsure, text in drawn.changes] == [(False, "new part 2"), (True, "new part 4")]
    assert len(drawn.lines) == 3 and [hollow for _, _, hollow, _ in drawn.dots] == [False, False, False, True]
    assert drawn.rated_y is None  # far above what was ever used: the curve would be a flat line


def test_one_moment_is_no_curve() -> None:
    assert chart.curve(points(report(1, 10, 1, 10)), 540000, None, NOW_S) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 min"), (30, "30 s"), (75, "1 min"), (5400, "1 h 30 min"), (540000, "150 h")]
)
def test_times_of_use_are_told_as_people_do(seconds: int, text: str) -> None:
    assert chart.hours(seconds) == text


def test_the_words_are_the_firmwares_own(root: Path) -> None:
    source = (root / "firmware/wearmeter/state/faults.py").read_text()
    for bit, (name, means, do) in enumerate(names.FAULTS):
        assert means.endswith(".") and do.endswith(".")
        assert re.search(rf"^{name.upper()} = const\(0x{1 << bit:04X}\)", source, re.MULTILINE), name
    source = (root / "firmware/wearmeter/network/link.py").read_text()
    for number, name in enumerate(names.LINK_REASONS):
        assert re.search(rf"^_?{name.upper()} = const\({number}\)", source, re.MULTILINE), name
    assert names.link_reason(99) == "reason 99" and names.faults(1 << 20 | 8) == ["input_stuck", "bit 20"]
