"""How a part wears: its history from accepted messages, its rate, and the days it has left. Pure.

Nothing is guessed from too little: without a few days of reports whose times are known, what is left is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from tools.relay.core import wire
from tools.relay.core.decide import Epoch

DAY_S = 86400
WINDOW_S = 28 * DAY_S
LEAST_SPAN_S = 3 * DAY_S
LEAST_POINTS = 3
SILENT_S = 7 * DAY_S
"""After this much silence nobody knows whether the present rate still holds."""


@dataclass(frozen=True)
class Point:
    """What was known of a part at `utc_s`; `estimated` where that moment is. `new` is the moment a part was fitted."""

    utc_s: int
    epoch: int
    generation: int
    used_s: int
    lifetime_s: int
    estimated: bool
    new: bool = False


@dataclass(frozen=True)
class Left:
    """Days until the rated life is over; None with the reason where that is not known."""

    days: int | None
    why: str = ""


def history(messages: Iterable[tuple[wire.Up, int, bool]]) -> dict[int, list[Point]]:
    """Return points by a consumable's id, oldest first, from (message, time of its sample, is that estimated)."""
    points: dict[int, list[Point]] = {}
    for message, utc_s, estimated in messages:
        if isinstance(message, wire.Report):
            for total in message.totals:
                known = points.setdefault(total.id, [])
                known.append(Point(utc_s, message.epoch, total.generation, total.used_s, total.lifetime_s, estimated))
        elif isinstance(message, wire.Replacement):
            before = (utc_s, message.epoch, message.generation - 1, message.used_s, message.lifetime_s, estimated)
            after = (utc_s, message.epoch, message.generation, 0, message.lifetime_s, estimated)
            points.setdefault(message.id, []).extend([Point(*before), Point(*after, new=True)])
    return points


def worst_permille(about: bytes | None, epoch: Epoch) -> int | None:
    """Return the use of the most worn part in thousandths of its rated life, at most 2^31 - 1.

    None while the device has described no part with a rated life that it also counts.
    """
    rated_s = _rated_s(about) if about else {}
    shares = [part.used_s * 1000 // rated_s[id] for id, part in epoch.parts.items() if rated_s.get(id)]
    return min(max(shares), 2**31 - 1) if shares else None


@lru_cache(maxsize=10_000)
def _rated_s(about: bytes) -> dict[int, int]:
    return {part.id: part.rated_life_h * 3600 for part in wire.decode_about(about).consumables}


def daily_use_s(points: list[Point]) -> float | None:
    """Return the seconds of use a day over the last four weeks of the newest epoch, None if that is too little."""
    known = [point for point in points if point.epoch == points[-1].epoch and not point.estimated]
    known = [point for point in known if point.utc_s > known[-1].utc_s - WINDOW_S]
    if len({point.utc_s for point in known}) < LEAST_POINTS:
        return None
    span_s = known[-1].utc_s - known[0].utc_s
    return (known[-1].lifetime_s - known[0].lifetime_s) * DAY_S / span_s if span_s >= LEAST_SPAN_S else None


def left(points: list[Point], used_s: int, rated_s: int, now_s: float) -> Left:
    """Return how many days from now the fitted part has left at the present rate."""
    if not rated_s:
        return Left(None, "no rated life")
    if used_s >= rated_s:
        return Left(0)
    rate_s = daily_use_s(points) if points else None
    if rate_s is None:
        return Left(None, "too few reports yet")
    if now_s - points[-1].utc_s > SILENT_S:
        return Left(None, "silent for too long")
    if rate_s <= 0:
        return Left(None, "not in use")
    due_s = points[-1].utc_s + (rated_s - used_s) / rate_s * DAY_S
    return Left(max(0, int((due_s - now_s) // DAY_S)))
