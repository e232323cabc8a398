"""The curve of a part's use over time, as the coordinates of an SVG of WIDTH by HEIGHT. Pure."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

from tools.relay.core.wear import DAY_S, Point

WIDTH, HEIGHT = 1000, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 26
MOST_DOTS = 120
_STEPS_S = (60, 300, 600, 1800, 3600, 7200, 18000, 36000, 72000, 180000, 360000, 720000, 1800000, 3600000)
_STEPS_D = (1, 2, 7, 14, 30, 61, 91, 182, 365, 730, 1825)


@dataclass
class Curve:
    """`lines` are paths, one for each part fitted; dots and changes are (x, y, hollow, what to say)."""

    lines: list[str] = field(default_factory=list)
    ahead: str = ""
    dots: list[tuple[float, float, bool, str]] = field(default_factory=list)
    changes: list[tuple[float, bool, str]] = field(default_factory=list)
    rated_y: float | None = None
    y_ticks: list[tuple[float, str]] = field(default_factory=list)
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    now_x: float = 0.0


def curve(points: list[Point], rated_s: int, rate_s: float | None, now_s: float) -> Curve | None:
    """Return the curve of use, None where there are not yet two moments. `rate_s` is the use a day, drawn ahead."""
    if len({point.utc_s for point in points}) < 2:
        return None
    first_s = min(point.utc_s for point in points)
    last_s = max(now_s, *(point.utc_s for point in points))
    most_s = max(point.used_s for point in points)
    top_s = max(most_s * 1.15, rated_s * 1.08 if rated_s and most_s > rated_s * 0.15 else 0, 60)
    end_s = last_s + (last_s - first_s) * (0.2 if rate_s else 0.02)

    def x(utc_s: float) -> float:
        return round(LEFT + (utc_s - first_s) / (end_s - first_s) * (WIDTH - LEFT - RIGHT), 1)

    def y(used_s: float) -> float:
        return round(HEIGHT - BOTTOM - used_s / top_s * (HEIGHT - TOP - BOTTOM), 1)

    drawn = Curve(now_x=x(now_s))
    part: tuple[int, int] | None = None
    for point in points:
        if (point.epoch, point.generation) != part:
            if part is not None:
                label = f"new part {point.generation}" if part[0] == point.epoch else "counting began anew"
                drawn.changes.append((x(point.utc_s), point.estimated or not point.new, f"{label}, {day(point.utc_s)}"))
                if not point.new and part[0] == point.epoch:
                    drawn.lines.append(f"M{x(point.utc_s)} {y(0)}")
            if part is None or point.new or part[0] != point.epoch:
                drawn.lines.append("")
            part = (point.epoch, point.generation)
        drawn.lines[-1] += f"{'L' if drawn.lines[-1] else 'M'}{x(point.utc_s)} {y(point.used_s)}"
        if not point.new and (len(points) <= MOST_DOTS or point.estimated or point is points[-1]):
            about = "about " if point.estimated else ""
            text = f"{hours(point.used_s)}, {about}{day(point.utc_s)}"
            drawn.dots.append((x(point.utc_s), y(point.used_s), point.estimated, text))
    if rate_s:
        newest = points[-1]
        until_s = min(end_s, newest.utc_s + max(0, top_s - newest.used_s) / rate_s * DAY_S)
        used_s = newest.used_s + rate_s * (until_s - newest.utc_s) / DAY_S
        drawn.ahead = f"M{x(newest.utc_s)} {y(newest.used_s)}L{x(until_s)} {y(used_s)}"
    drawn.rated_y = y(rated_s) if rated_s and rated_s <= top_s else None
    step = next((step for step in _STEPS_S if top_s / step <= 5), _STEPS_S[-1])
    drawn.y_ticks = [(y(mark), hours(mark) if mark else "0") for mark in range(0, int(top_s) + 1, step)]
    days = next((days for days in _STEPS_D if (end_s - first_s) / DAY_S / days <= 7), _STEPS_D[-1])
    start = (first_s + DAY_S - 1) // DAY_S * DAY_S
    drawn.x_ticks = [(x(mark), day(mark)) for mark in range(start, int(end_s), days * DAY_S)]
    return drawn


def hours(seconds: float) -> str:
    """Return 5400 as 1 h 30 min, 540000 as 150 h, 75 as 1 min."""
    minutes = int(seconds) // 60
    if minutes < 60:
        return f"{minutes} min" if minutes or not seconds else f"{int(seconds)} s"
    return f"{minutes // 60:,} h".replace(",", "\u2009") + (
        f" {minutes % 60} min" if minutes % 60 and minutes < 1200 else ""
    )


def day(utc_s: float) -> str:
    """Return the UTC day, as 7 Jun 2026."""
    when = datetime.datetime.fromtimestamp(utc_s, datetime.timezone.utc)
    return f"{when.day} {when.strftime('%b %Y')}"
