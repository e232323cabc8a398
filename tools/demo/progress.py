"""What a person sees while the demo runs: a live panel on a terminal, one line for each day anywhere else."""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tools.demo.picture import exact, lasting, ordinal
from tools.demo.story import Row

DAY_MS = 86_400_000
NOTES = 6


@dataclass
class Counted:
    """One part, as it stands: what its motor truly ran, and what the relay has accepted so far."""

    name: str
    generation: int
    true_ms: int
    accepted_s: int | None


@dataclass
class Now:
    """The run at one moment."""

    at_ms: int = 0
    duration_ms: int = 1
    utc_ms: int = 0
    powered: bool = False
    motors: dict[str, bool] = field(default_factory=dict)
    parts: list[Counted] = field(default_factory=list)
    cuts: int = 0
    messages: int = 0
    events: int = 0
    rejected: int = 0
    trouble: str = ""

    @property
    def day(self) -> int:
        return min(self.at_ms // DAY_MS + 1, -(-self.duration_ms // DAY_MS))

    @property
    def days(self) -> int:
        return -(-self.duration_ms // DAY_MS)


class Progress:
    """`with Progress(console) as progress: progress.show(now); progress.note(now, "no Wi-Fi")`. Any thread may call."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stdout)
        self.live: Live | None = None
        self.now = Now()
        self.notes: deque[str] = deque(maxlen=NOTES)
        self.last_day = 0

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self.live = Live(console=self.console, refresh_per_second=8, get_renderable=self.render, transient=True)
            self.live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.live is not None:
            self.live.__exit__(kind, error, at)
            self.live = None

    def show(self, now: Now) -> None:
        self.now = now
        if self.live is None and now.day > self.last_day:
            self.last_day = now.day
            parts = ", ".join(f"{part.name} {lasting(part.true_ms // 1000 * 1000)}" for part in now.parts)
            self.console.print(
                f"day {now.day} of {now.days}: {parts}; power cuts {now.cuts}, messages {now.messages}, "
                f"events {now.events}",
                highlight=False,
                soft_wrap=True,
            )

    def note(self, utc_ms: int, text: str) -> None:
        """Something worth a line of its own."""
        at = datetime.fromtimestamp(utc_ms / 1000, timezone.utc)
        self.notes.append(f"{at:%a} {at.day} {at:%b} {at:%H:%M:%S}  {text}")
        if self.live is None:
            self.console.print(f"  {self.notes[-1]}", highlight=False, soft_wrap=True)

    def render(self) -> Group:
        now = self.now
        at = datetime.fromtimestamp(now.utc_ms / 1000, timezone.utc)
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(f"day {now.day} of {now.days}", style="bold"),
            Text(f"{at:%a} {at.day} {at:%b} {at:%H:%M}"),
            ProgressBar(total=max(now.duration_ms, 1), completed=min(now.at_ms, now.duration_ms), width=36),
        )
        lamps = Text()
        lamps.append("● plugged in   " if now.powered else "○ unplugged   ", style="green" if now.powered else "dim")
        for name, on in now.motors.items():
            lamps.append(f"● {name}   " if on else f"○ {name}   ", style="bold cyan" if on else "dim")
        if now.trouble:
            lamps.append(f"▲ {now.trouble}", style="yellow")
        table = Table(box=None, padding=(0, 2), header_style="dim")
        table.add_column("part")
        table.add_column("really ran", justify="right")
        table.add_column("relay has accepted", justify="right")
        for part in now.parts:
            accepted = "-" if part.accepted_s is None else exact(part.accepted_s * 1000)[:-4]
            name = part.name if part.generation == 1 else f"{part.name} ({ordinal(part.generation)})"
            table.add_row(name, exact(part.true_ms)[:-4], accepted)
        counts = Text(f"power cuts {now.cuts}   messages {now.messages}   Alexa events {now.events}", style="")
        if now.rejected:
            counts.append(f"   refused {now.rejected}", style="red")
        return Group(head, lamps, table, counts, *[Text(f"  {note}", style="dim") for note in self.notes])


def final_table(rows: list[Row]) -> Table:
    """True, counted and accepted for each consumable and generation."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("consumable", no_wrap=True)
    for head in ("true", "counted", "lost (allowed)", "accepted", ""):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"{row.instance} {ordinal(row.generation)}",
            exact(row.true_ms),
            exact(row.counted_ms),
            f"{row.lost_ms / 1000:.3f} ({row.cuts} s)",
            "-" if row.accepted_s is None else exact(row.accepted_s * 1000)[:-4],
            Text("ok", style="green") if row.holds else Text("NO", style="bold red"),
        )
    return table
