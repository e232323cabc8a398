"""What a run of `make torture` has tried and found; for people while it runs, and for the exit status at its end."""

from __future__ import annotations

import threading
import time
from collections import Counter

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Report:
    """Any thread may tell it of something. Use as a context: the bar is there within."""

    def __init__(self, seconds: float, seed: int, jobs: int) -> None:
        self.seconds = seconds
        self.seed = seed
        self.jobs = jobs
        self.counts: Counter[str] = Counter()
        self.failures: dict[str, str] = {}
        self.console = Console()
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[counts]}"),
            TextColumn("[dim]{task.fields[now]}"),
            console=self.console,
        )
        self._task = self._progress.add_task("torture", total=seconds, counts="", now="")

    def __enter__(self) -> Report:
        if self.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def count(self, what: str, number: int = 1) -> None:
        """So many more of these were tried."""
        with self._lock:
            self.counts[what] += number
        self.say(None)

    def say(self, now: str | None) -> None:
        """What is being tried."""
        failed = f", [red]{len(self.failures)} failed" if self.failures else ""
        counts = ", ".join(f"{number} {what}" for what, number in self.counts.items()) + failed
        fields = {"counts": counts} if now is None else {"counts": counts, "now": now}
        self._progress.update(self._task, completed=time.monotonic() - self._began, **fields)  # type: ignore[arg-type]

    def fail(self, replay_id: str, why: str) -> None:
        """Something failed; `replay_id` brings it back."""
        with self._lock:
            self.failures[replay_id] = why
        self.console.print(f"FAILED {replay_id}: {why}", markup=False, highlight=False, soft_wrap=True)

    def print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def summary(self) -> str:
        """One line for the end."""
        tried = ", ".join(f"{number} {what}" for what, number in self.counts.items()) or "nothing"
        return f"torture: tried {tried}; {len(self.failures)} failed (seed {self.seed})"
