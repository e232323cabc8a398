"""How fast a route, or one customer on it, is sent to: learnt from what the gateway refuses. Pure; `now` in seconds.

It begins gently and doubles each second, as a connection does that knows nothing of the way. A 429 sets the rate to
nine tenths of what was accepted in the second before, and keeps `Retry-After`. A quiet second later it grows again by
a tenth each second.
"""

from __future__ import annotations

from collections import deque

START_PER_S = 64.0
LEAST_PER_S = 0.2
MOST_PER_S = 5000.0
KEPT = 0.9
GROWTH = 1.1
BURST_S = 0.05
"""How far behind its rate a sender may be and catch up: the event loop's own delays."""


class Pace:
    """`wait(now)` reserves the next moment to send; `accepted` and `refused` are what the gateway said since."""

    def __init__(self, per_s: float = START_PER_S) -> None:
        self.per_s = per_s
        self._factor = 2.0
        self._next = 0.0
        self._grew_at: float | None = None
        self._refused_at = float("-inf")
        self._accepted: deque[float] = deque()

    def wait(self, now: float) -> float:
        """Return in how many seconds the caller may send, and count it as sent then."""
        self._grow(now)
        moment = max(now, self._next)
        self._next = max(self._next, now - BURST_S) + 1 / self.per_s
        return moment - now

    def room(self, now: float, within_s: float) -> int:
        """Return how many may be sent in the next `within_s`."""
        self._grow(now)
        return max(0, int((now + within_s - max(self._next, now - BURST_S)) * self.per_s) + 1) if self.open(now) else 0

    def open(self, now: float) -> bool:
        """Return whether no pause that the gateway asked for lasts for more than a second from now."""
        return self._next - now <= max(1.0, 1 / self.per_s)

    def accepted(self, now: float) -> None:
        self._accepted.append(now)
        self._trim(now)

    def refused(self, now: float, retry_after_s: float = 0.0) -> None:
        """The gateway has said 429. Refusals within a second of each other are one."""
        self._trim(now)
        if now - self._refused_at > 1.0:
            self.per_s = max(LEAST_PER_S, min(self.per_s / 2, KEPT * max(1, len(self._accepted))))
            self._factor = GROWTH
        self._refused_at = self._grew_at = now
        self._next = max(self._next, now + retry_after_s)

    def _grow(self, now: float) -> None:
        if self._grew_at is None:
            self._grew_at = now
        seconds = int(now - self._grew_at)
        if seconds > 0:
            self.per_s = min(MOST_PER_S, self.per_s * self._factor ** min(seconds, 20))
            self._grew_at += seconds

    def _trim(self, now: float) -> None:
        while self._accepted and now - self._accepted[0] > 1.0:
            self._accepted.popleft()
