"""Keeps the relay's threads running: one that ends with an error is logged and begun again, with growing pauses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tools.relay import logs, metrics

log = logs.logger(__name__)
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0
QUIET_S = 60.0
"""After so long without an error the pauses begin anew."""


@dataclass(frozen=True)
class Health:
    """`live`: every thread turns. `ready`: the broker and the database answer, too. `reasons` say what does not."""

    live: bool
    ready: bool
    reasons: list[str] = field(default_factory=list)


class Supervisor:
    """`start(name, work)` runs `work` in a thread until it returns by itself; `join` waits for all of them."""

    def __init__(self, stopping: threading.Event) -> None:
        self._errors: dict[str, tuple[float, str]] = {}
        self._stopping = stopping
        self._threads: list[threading.Thread] = []

    def start(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._keep, args=(name, work), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def failing(self) -> list[str]:
        """Return what failed in the last QUIET_S seconds, or has ended."""
        now = time.monotonic()
        failed = [text for at, text in self._errors.values() if now - at < QUIET_S]
        return failed + [f"{thread.name} has ended" for thread in self._threads if not thread.is_alive()]

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _keep(self, name: str, work: Callable[[], None]) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                work()
                return
            except Exception as error:
                log.exception("a thread failed and is begun again", thread=name)
                metrics.RESTARTS.labels(name).inc()
                self._errors[name] = (time.monotonic(), f"{name} failed: {type(error).__name__}")
            pause_s = FIRST_PAUSE_S if time.monotonic() - began > QUIET_S else min(pause_s * 2, MAX_PAUSE_S)
            if self._stopping.wait(pause_s):
                return
