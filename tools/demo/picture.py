"""Draws a Story as one HTML page that needs nothing else: inline SVG, styles, a small script for hover and zoom."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from html import escape
from pathlib import Path

from tools.demo.story import Part, Row, Span, Story, Use

HERE = Path(__file__).resolve().parent

TOTAL = 1240  # width of the drawing, in its own units
LEFT = 178  # of the lanes' names
WIDTH = TOTAL - LEFT - 14
TOP = 46  # where the lanes begin, under the dates
LANE = 22
GAP = 12
CURVE = 118
DAY_MS = 86_400_000


def lasting(milliseconds: float) -> str:
    """A duration in words: 3 h 24 min, 12 min 5 s, 6.31 s."""
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds % 1 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60:,} h {minutes % 60} min"


def exact(milliseconds: int) -> str:
    """A duration to the millisecond: 3:24:05.120 (hours, minutes, seconds); below zero: there is no figure."""
    if milliseconds < 0:
        return "unreadable"
    seconds, thousandths = divmod(milliseconds, 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{thousandths:03}"


def ordinal(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


class Lanes:
    """The drawing while it grows downwards: `y` is where the next lane begins."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.y = TOP
        self.names: list[str] = []
        self.body: list[str] = []

    def x(self, at_ms: float) -> float:
        return LEFT + at_ms / self.story.duration_ms * WIDTH

    def lane(self, name: str, under: str, height: int) -> int:
        """Begins a lane with its name at the left; returns its top."""
        top = self.y
        middle = top + min(height, 3 * LANE) / 2
        self.names.append(f'<text x="{LEFT - 14}" y="{middle - 1:.0f}" text-anchor="end">{escape(name)}</text>')
        self.names.append(
            f'<text class="sub" x="{LEFT - 14}" y="{middle + 12:.0f}" text-anchor="end">{escape(under)}</text>'
        )
        self.body.append(
            f'<line class="base" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{top + height}" y2="{top + height}"/>'
        )
        self.y += height + GAP
        return top

    def band(self, span: Span, top: float, height: float, style: str, title: str, least: float = 0) -> None:
        x, end = self.x(span.start_ms), self.x(span.end_ms)
        self.body.append(
            f'<rect class="{style}" data-a="{span.start_ms}" data-b="{span.end_ms}" data-min="{least}" x="{x:.2f}" '
            f'y="{top:.1f}" width="{max(end - x, least):.2f}" height="{height:.1f}">'
            f"<title>{escape(title)}</title></rect>"
        )

    def mark(self, at_ms: float, top: float, inside: str, title: str = "") -> None:
        self.body.append(
            f'<g data-t="{at_ms}" data-y="{top}" transform="translate({self.x(at_ms):.2f},{top})">{inside}'
            + (f"<title>{escape(title)}</title>" if title else "")
            + "</g>"
        )

    def line(self, start_ms: float, end_ms: float, start_y: float, end_y: float, style: str) -> None:
        self.body.append(
            f'<line class="{style}" data-a="{start_ms}" data-b="{end_ms}" x1="{self.x(start_ms):.2f}" '
            f'x2="{self.x(end_ms):.2f}" y1="{start_y:.1f}" y2="{end_y:.1f}"/>'
        )

    def path(self, points: list[tuple[float, float, bool]], style: str) -> None:
        """A line through (time, y) points; one with True begins anew there, without a stroke to it."""
        drawn = "".join(f"{'M' if jump else 'L'}{self.x(at):.2f},{y:.1f}" for at, y, jump in points)
        stored = " ".join(f"{at:.0f},{y:.1f}{',m' if jump else ''}" for at, y, jump in points)
        self.body.append(f'<path class="{style}" data-points="{stored}" d="{drawn}"/>')


CUT = '<path class="cut" d="M-3.5,-3.5L3.5,3.5M-3.5,3.5L3.5,-3.5"/>'
FITTED = '<path class="replaced" d="M0,-7L6,0L0,7L-6,0Z"/>'
UNDONE = '<path class="undone" d="M0,-6L5,0L0,6L-5,0Z"/>'
EVENT = '<rect class="event" x="-1" y="-7" width="2" height="14"/>'
EVENT_REPLACED = '<path class="event" d="M0,-8L5,0L0,8L-5,0Z"/>'


class Page:
    """Writes the page for one story."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.start = datetime.fromtimestamp(story.start_utc_s, timezone.utc)
        self.parts = {part.instance: part for part in story.parts}
        names = list(story.inputs) or sorted({part.input for part in story.parts})
        self.colour = {name: index % 2 for index, name in enumerate(names)}

    # ---- words
    def moment(self, at_ms: float, seconds: bool = False) -> str:
        at = self.start + timedelta(milliseconds=at_ms)
        return f"{at:%a} {at.day} {at:%b} {at:%H:%M:%S}" if seconds else f"{at:%a} {at.day} {at:%b} {at:%H:%M}"

    def part_name(self, instance: str | None) -> str:
        part = self.parts.get(instance or "")
        return part.name if part else (instance or "part")

    def row_name(self, row: Row) -> str:
        return self.part_name(row.instance)

    def verdict(self) -> str:
        rows = self.story.rows
        true_ms, counted_ms = sum(row.true_ms for row in rows), sum(row.counted_ms for row in rows)
        cuts = sum(1 for mark in self.story.marks if mark.kind == "cut")
        if self.story.holds:
            lost = "not a millisecond was lost"
            if true_ms != counted_ms:
                lost = f"{lasting(true_ms - counted_ms)} of {lasting(true_ms)} was lost in all"
            return (
                "<p class='verdict'><b>The promise held.</b> Nothing was counted that had not run; "
                f"at {cuts} power cuts {lost} (up to 1 s a cut is allowed); "
                "and the maker's relay accepted every counted second once.</p>"
            )
        wrong = ", ".join(f"{self.row_name(row)} no. {row.generation}" for row in rows if not row.holds)
        wrong = escape(wrong or "every part")
        return f"<p class='verdict bad'><b>The promise was broken</b> for {wrong}: see the table.</p>"

    def tiles(self) -> str:
        story = self.story
        cleans = sum(len(spans) for spans in story.inputs.values())
        true_ms = sum(row.true_ms for row in story.rows)
        lost_ms = sum(row.lost_ms for row in story.rows)
        events = sum(1 for mark in story.marks if mark.kind.startswith("event"))
        tiles = [
            (f"{story.duration_ms / DAY_MS:.1f}".rstrip("0").rstrip("."), "days of a vacuum"),
            (f"{cleans:,}", "motor runs"),
            (f"{sum(1 for mark in story.marks if mark.kind == 'cut'):,}", "power cuts"),
            (lasting(true_ms), "of use, all parts"),
            (lasting(lost_ms), "of it not counted"),
            (f"{story.messages:,}", "messages from the device"),
            (f"{story.payload_bytes_max} bytes", "the largest of them"),
            (f"{events:,}", "events Alexa accepted"),
        ]
        cells = "".join(f"<li><b>{escape(value)}</b><span>{escape(name)}</span></li>" for value, name in tiles)
        return f"<ul class='tiles'>{cells}</ul>"

    # ---- the drawing
    def drawing(self) -> str:
        story, lanes = self.story, Lanes(self.story)
        self.draw_power(lanes)
        for name, spans in story.inputs.items():
            top = lanes.lane(f"{name.capitalize()} motor", f"{len(spans)} runs", LANE)
            for span in spans:
                title = f"{name} motor ran {lasting(span.end_ms - span.start_ms)}, {self.moment(span.start_ms)}"
                lanes.band(span, top + 2, LANE - 2, f"motor{self.colour.get(name, 0)}", title, 1.6)
        self.draw_trouble(lanes)
        self.draw_reports(lanes)
        for part in story.parts:
            self.draw_part(lanes, part)
        bottom = lanes.y - GAP
        shades: list[str] = []
        for span in story.outages:
            x, end = lanes.x(span.start_ms), lanes.x(span.end_ms)
            shades.append(
                f'<rect class="shade" data-a="{span.start_ms}" data-b="{span.end_ms}" x="{x:.2f}" y="{TOP}" '
                f'width="{end - x:.2f}" height="{bottom - TOP}"/>'
            )
        height = bottom + 14
        described = escape(self.description())
        return (
            f'<svg class="run" viewBox="0 0 {TOTAL} {height}" role="img" aria-labelledby="t d" tabindex="0">'
            f'<title id="t">{escape(story.title)}</title><desc id="d">{described}</desc>'
            '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><rect class="hatchback" width="6" height="6"/>'
            '<line class="hatchline" x1="0" y1="0" x2="0" y2="6"/></pattern>'
            '<pattern id="dots" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="dotback" width="6" '
            'height="6"/><circle class="dot" cx="2" cy="2" r="1.1"/></pattern>'
            f'<clipPath id="plot"><rect x="{LEFT - 1}" y="0" width="{WIDTH + 5}" height="{height}"/></clipPath></defs>'
            f'<g id="days">{self.days(lanes, bottom)}</g><g id="ticks"></g><g clip-path="url(#plot)">'
            + "".join(shades)
            + "".join(lanes.body)
            + "</g>"
            + "".join(lanes.names)
            + f'<line class="cross" y1="{TOP - 2}" y2="{bottom}" style="display:none"/></svg>'
            + self.data(bottom)
        )

    def days(self, lanes: Lanes, bottom: int) -> str:
        """The dates along the top, as many as there is room for, and a line at each midnight (UTC)."""
        duration = self.story.duration_ms
        midnight = self.start.replace(hour=0, minute=0, second=0, microsecond=0)
        first = round((midnight - self.start).total_seconds() * 1000)
        count = -(-(duration - first) // DAY_MS)
        step = next((n for n in (1, 2, 7, 14, 30, 60, 120) if WIDTH / max(count, 1) * n >= 78), 240)
        out: list[str] = []
        for number in range(int(count)):
            at = first + number * DAY_MS
            start, end = max(at, 0), min(at + DAY_MS, duration)
            if end <= start:
                continue
            if WIDTH / max(count, 1) > 4:
                out.append(
                    f'<rect class="dayband" x="{lanes.x(start):.2f}" y="4" width="{lanes.x(end) - lanes.x(start):.2f}" '
                    f'height="{bottom - 4}"/>'
                )
            if number % step:
                continue
            if at > 0:
                x = lanes.x(at)
                out.append(f'<line class="grid" x1="{x:.2f}" x2="{x:.2f}" y1="{TOP - 22}" y2="{bottom}"/>')
            wide = lanes.x(min(at + step * DAY_MS, duration)) - lanes.x(start)
            if wide < 44:
                continue
            day = midnight + timedelta(days=number)
            x = lanes.x(start) + wide / 2 if step == 1 else lanes.x(start) + 30
            number_of = f"day {number + 1}"
            out.append(f'<text class="day pick" x="{x:.2f}" y="{TOP - 26}">{day:%a} {day.day} {day:%b}</text>')
            out.append(f'<text class="day sub" x="{x:.2f}" y="{TOP - 12}">{number_of}</text>')
        return "".join(out)

    def draw_power(self, lanes: Lanes) -> None:
        cuts = [mark for mark in self.story.marks if mark.kind == "cut"]
        top = lanes.lane("Plugged in", f"{len(cuts)} power cuts", LANE)
        for span in self.story.powered:
            title = f"plugged in for {lasting(span.end_ms - span.start_ms)}"
            lanes.band(span, top + 8, LANE - 8, "power", title, 1)
        for mark in cuts:
            lanes.mark(mark.at_ms, top + 3.5, CUT, f"power cut, {self.moment(mark.at_ms, True)} {mark.note}".strip())

    def draw_trouble(self, lanes: Lanes) -> None:
        if self.story.outages:
            top = lanes.lane("No way out", "network outages", LANE)
            for span in self.story.outages:
                title = f"{span.note}, {lasting(span.end_ms - span.start_ms)}"
                lanes.band(span, top + 3, LANE - 4, "outage", title, 2)
        if self.story.clock_unknown:
            top = lanes.lane("Time unknown", "no one to ask", LANE)
            for span in self.story.clock_unknown:
                title = f"the device does not know the time, {lasting(span.end_ms - span.start_ms)}"
                lanes.band(span, top + 3, LANE - 4, "unknown", title, 2)

    def draw_reports(self, lanes: Lanes) -> None:
        story = self.story
        height = 46
        top = lanes.lane("Reports", "made / accepted", height)
        made_y, accepted_y = top + 10, top + height - 9
        for report in story.reports:
            lanes.line(report.made_ms, report.accepted_ms, made_y, accepted_y, "wait")
        for report in story.reports:
            what = {"report": "report", "replacement": "replacement message"}.get(report.kind, report.kind)
            number = f"{what} no. {report.sequence}"
            merged = f" (stands for {report.merged} earlier ones too)" if report.merged else ""
            title = f"{number}{merged} made {self.moment(report.made_ms)}"
            lanes.mark(report.made_ms, made_y, '<circle class="made" r="3.6"/>', title)
            waited = lasting(max(0, report.accepted_ms - report.made_ms))
            title = f"{number} accepted by the relay {self.moment(report.accepted_ms)}, after {waited}"
            lanes.mark(report.accepted_ms, accepted_y, '<circle class="accepted" r="3.6"/>', title)
        events = [mark for mark in story.marks if mark.kind.startswith("event")]
        top = lanes.lane("Alexa events", f"{len(events)} accepted", LANE)
        for mark in events:
            shape = EVENT_REPLACED if mark.kind == "event-replaced" else EVENT
            lanes.mark(mark.at_ms, top + LANE / 2, shape, f"{mark.note}, {self.moment(mark.at_ms)}")

    def draw_part(self, lanes: Lanes, part: Part) -> None:
        story = self.story
        used, known = story.used.get(part.instance, []), story.known.get(part.instance, [])
        rated_ms = part.rated_life_h * 3_600_000
        peak = max([corner.used_ms for corner in used] + [corner.used_ms for corner in known] + [60_000])
        highest, step = scale(rated_ms * 1.08 if peak > rated_ms / 3 else peak * 1.08)
        share = f"{peak / rated_ms:.1%}" if rated_ms else "-"
        top = lanes.lane(part.name, f"used, of {part.rated_life_h} h", CURVE)
        lanes.names.append(
            f'<text class="sub" x="{LEFT - 14}" y="{top + 62}" text-anchor="end">at most {share} worn</text>'
        )

        def y(used_ms: float) -> float:
            return round(top + CURVE - used_ms / highest * (CURVE - 14), 1)

        level = step
        while level <= highest:
            lanes.body.append(
                f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(level)}" y2="{y(level)}"/>'
                f'<text class="sub" x="{LEFT + 5}" y="{y(level) - 3}">{lasting(level).removesuffix(" 0 min")}</text>'
            )
            level += step
        if rated_ms <= highest:
            lanes.body.append(
                f'<line class="rated" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(rated_ms)}" y2="{y(rated_ms)}"/>'
                f'<text class="flag" style="fill:var(--bad)" x="{LEFT + WIDTH - 4}" y="{y(rated_ms) - 4}" '
                f'text-anchor="end">rated life, {part.rated_life_h} h</text>'
            )
        colour = self.colour.get(part.input, 0)
        for start, end in generations(used):
            corners = used[start:end]
            last = used[end].at_ms if end < len(used) else story.duration_ms
            line = [(float(corner.at_ms), y(corner.used_ms), index == 0) for index, corner in enumerate(corners)]
            line.append((float(max(last, corners[-1].at_ms)), y(corners[-1].used_ms), False))
            floor = [(line[-1][0], y(0), False), (line[0][0], y(0), False)]
            lanes.path(line + floor, f"area fill{colour}")
            if start:  # the drop at a replacement, or the rise at an undo
                line[:0] = [(line[0][0], y(used[start - 1].used_ms), True)]
                line[1] = (line[1][0], line[1][1], False)
            lanes.path(line, f"curve curve{colour}")
        stairs: list[tuple[float, float, bool]] = []
        for index, corner in enumerate(known):
            if index:
                stairs.append((corner.at_ms, y(known[index - 1].used_ms), False))
            stairs.append((corner.at_ms, y(corner.used_ms), index == 0))
        if stairs:
            stairs.append((story.duration_ms, y(known[-1].used_ms), False))
            lanes.path(stairs, "knownline")
        for mark in story.marks:
            if mark.instance != part.instance or mark.kind not in ("replaced", "undone"):
                continue
            shape = FITTED if mark.kind == "replaced" else UNDONE
            late = mark.at_ms > 0.8 * story.duration_ms
            # An undo comes within minutes of the replacement: its words go on the next line.
            words, down = ("new one fitted", 8) if mark.kind == "replaced" else ("taken back", 22)
            lanes.line(mark.at_ms, mark.at_ms, top + 4, top + CURVE, "replacedline")
            place = 'x="-10" text-anchor="end"' if late else 'x="10"'
            label = f'<text class="flag" y="4" {place}>{words}</text>'
            lanes.mark(mark.at_ms, top + down, shape + label, f"{mark.note}, {self.moment(mark.at_ms)}")

    def data(self, bottom: int) -> str:
        """What the script needs to answer a pointer; no name in it can end the script."""
        story = self.story
        described = {
            "start": story.start_utc_s,
            "duration": story.duration_ms,
            "left": LEFT,
            "width": WIDTH,
            "total": TOTAL,
            "top": TOP,
            "bottom": bottom,
            "powered": [[span.start_ms, span.end_ms] for span in story.powered],
            "inputs": [[name, [[s.start_ms, s.end_ms] for s in spans]] for name, spans in story.inputs.items()],
            "outages": [[span.start_ms, span.end_ms, span.note] for span in story.outages],
            "unknown": [[span.start_ms, span.end_ms] for span in story.clock_unknown],
            "marks": [[mark.at_ms, mark.note or mark.kind] for mark in story.marks if mark.kind != "event"],
            "parts": [
                {"name": part.name, "used": corners(story.used, part), "known": corners(story.known, part)}
                for part in story.parts
            ],
        }
        text = json.dumps(described, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
        return f'<script type="application/json" id="data">{text}</script>'

    def description(self) -> str:
        rows = "; ".join(
            f"{self.row_name(row)} number {row.generation} ran {lasting(row.true_ms)}, "
            f"{lasting(row.counted_ms)} were counted"
            for row in self.story.rows
        )
        return f"From {self.moment(0)} to {self.moment(self.story.duration_ms)} UTC. {rows}."

    # ---- around it
    def legend(self) -> str:
        entries = [
            ('<rect class="power" x="2" y="6" width="30" height="8"/>', "Plugged in", "the vacuum has power"),
            (f'<g transform="translate(17,9)">{CUT}</g>', "Power cut", "the plug is pulled, also in mid-clean"),
            (
                '<rect class="motor0" x="4" y="2" width="7" height="14"/><rect class="motor1" x="20" y="2" width="7" '
                'height="14"/>',
                "A motor runs",
                "its part wears",
            ),
            (
                '<circle class="made" cx="6" cy="5" r="3.6"/><line class="wait" x1="6" x2="28" y1="5" y2="13"/>'
                '<circle class="accepted" cx="28" cy="13" r="3.6"/>',
                "A report",
                "made in the device, and later accepted by the maker's relay; in between it waits in flash",
            ),
            (
                '<g transform="translate(10,9)"><rect class="event" x="-1" y="-7" width="2" height="14"/></g>'
                '<g transform="translate(24,9)"><path class="event" d="M0,-8L5,0L0,8L-5,0Z"/></g>',
                "Alexa is told",
                "how much is used; the diamond: a part was replaced",
            ),
            (
                '<path class="curve curve0" d="M2,16L12,10L18,10L32,3"/>',
                "Used time of the part",
                "rises while its motor runs, drops to zero when a new one is fitted",
            ),
            ('<path class="knownline" d="M2,15H14V9H24V4H32"/>', "What the relay knows", "one step at each report"),
            (f'<g transform="translate(17,9)">{FITTED}</g>', "New part fitted", "the owner held the button for 3 s"),
        ]
        kinds = {mark.kind for mark in self.story.marks}
        if "undone" in kinds:
            entries.append((f'<g transform="translate(17,9)">{UNDONE}</g>', "Taken back", "the owner undid it in time"))
        if self.story.outages:
            entries.append(
                ('<rect class="outage" x="2" y="2" width="30" height="13"/>', "No way out", "no Wi-Fi, or no broker")
            )
        if self.story.clock_unknown:
            swatch = '<rect class="unknown" x="2" y="2" width="30" height="13"/>'
            entries.append((swatch, "Time unknown", "the clock is not yet set"))
        items = "".join(
            f'<li><svg viewBox="0 0 34 18" aria-hidden="true">{shape}</svg>'
            f"<span><b>{escape(name)}</b>: {escape(text)}</span></li>"
            for shape, name, text in entries
        )
        return f"<ul class='legend'>{items}</ul>"

    def table(self) -> str:
        lines: list[str] = []
        for row in self.story.rows:
            accepted = "none" if row.accepted_s is None else exact(row.accepted_s * 1000).removesuffix(".000")
            if row.holds:
                verdict = '<td class="good">\u2713 as promised</td>'
            elif row.counted_ms > row.true_ms:
                verdict = f'<td class="bad">\u2717 {lasting(-row.lost_ms)} more than the truth</td>'
            elif not row.counted_right:
                verdict = '<td class="bad">\u2717 lost more than 1 s a cut</td>'
            else:
                verdict = '<td class="bad">\u2717 the relay has not accepted it all</td>'
            lines.append(
                f"<tr><td>{escape(self.row_name(row))}</td><td>{ordinal(row.generation)}</td><td>{exact(row.true_ms)}</td>"
                f"<td>{exact(row.counted_ms)}</td><td>{row.lost_ms / 1000:.3f} s</td><td>{row.cuts} s</td>"
                f"<td>{accepted}</td>{verdict}</tr>"
            )
        heads = (
            "<th scope='col'>Part</th><th scope='col'>Which one</th><th scope='col'>Its motor really ran</th>"
            "<th scope='col'>The device counted</th><th scope='col'>Lost</th>"
            "<th scope='col'>Allowed to lose<br>(1 s a power cut)</th>"
            "<th scope='col'>The relay accepted<br>(whole seconds)</th><th scope='col'>Verdict</th>"
        )
        return (
            f"<div class='scroll'><table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
            "<p style='font-size:13.5px;color:var(--soft);margin-top:8px'>Times are hours:minutes:seconds.</p>"
        )

    def words(self) -> str:
        """The run as a list, for who would rather read: everything but the routine."""
        told: list[tuple[int, str]] = [
            (mark.at_ms, mark.note or mark.kind)
            for mark in self.story.marks
            if mark.kind in ("replaced", "undone", "released", "fault", "event-replaced")
        ]
        told += [(span.start_ms, f"{span.note} begins") for span in self.story.outages]
        told += [(span.end_ms, f"{span.note} ends") for span in self.story.outages]
        told += [(s.end_ms, "the device learns the time") for s in self.story.clock_unknown if s.end_ms > s.start_ms]
        told.sort(key=lambda item: item[0])
        if not told:
            return ""
        items = "".join(f"<li><time>{self.moment(at, True)}</time>{escape(text)}</li>" for at, text in told[:400])
        summary = "<summary>What happened besides cleaning</summary>"
        return f"<details open>{summary}<ul class='words'>{items}</ul></details>"

    def html(self) -> str:
        story = self.story
        seed = "" if story.seed is None else f", seed {story.seed}"
        made_from = f"Scenario: {escape(story.scenario)}{seed}. " if story.scenario else ""
        return (
            "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
            "<meta name='viewport' content='width=device-width, initial-scale=1'>"
            f"<meta name='color-scheme' content='light dark'><title>{escape(story.title)}</title>"
            f"<style>{(HERE / 'timeline.css').read_text()}</style></head><body><main>"
            f"<h1>{escape(story.title)}</h1>"
            "<p>A vacuum cleaner counts how long each wearing part has been in use and reports it to its maker, who "
            "tells Alexa, so that a new part is ordered in time and never too early. Here is everything one simulated "
            "vacuum went through, and what became of its count.</p>"
            + self.verdict()
            + self.tiles()
            + "<div class='frame'><div class='bar' hidden><button type='button' class='whole' hidden>Whole run</button>"
            "<button type='button' class='before' hidden aria-label='earlier'>\u2190</button>"
            "<button type='button' class='after' hidden aria-label='later'>\u2192</button><span></span></div>"
            f"<div class='scroll'>{self.drawing()}</div><div class='tip' hidden></div></div>"
            + self.legend()
            + "<h2>The count, part by part</h2>"
            + self.table()
            + self.words()
            + f"<footer>{made_from}Dates and hours are the simulated vacuum's, in UTC.</footer>"
            f"</main><script>{(HERE / 'timeline.js').read_text()}</script></body></html>\n"
        )


def scale(highest: float) -> tuple[float, float]:
    """The top of an axis of milliseconds and the step of its grid: two to four lines at round durations."""
    minute = 60_000
    for step in [minute * n for n in (1, 2, 5, 10, 15, 30)] + [
        60 * minute * n for n in (1, 2, 3, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 2000)
    ]:
        if highest / step <= 4:
            return max(highest, float(step)), float(step)
    return highest, highest / 2


def generations(corners: list[Use]) -> list[tuple[int, int]]:
    """Start and end indices of the stretches of one fitted part."""
    out: list[tuple[int, int]] = []
    start = 0
    for index in range(1, len(corners) + 1):
        if index == len(corners) or corners[index].generation != corners[start].generation:
            out.append((start, index))
            start = index
    return out


def corners(curves: dict[str, list[Use]], part: Part) -> list[list[int]]:
    return [[corner.at_ms, corner.generation, corner.used_ms] for corner in curves.get(part.instance, [])]


def html(story: Story) -> str:
    """The whole page."""
    return Page(story).html()
