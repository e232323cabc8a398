"""A route that does not work is left alone for a while, then tried with one event. Pure; `now` in seconds."""

from __future__ import annotations

FAILURES = 8
LEAST_S, MOST_S = 1.0, 60.0


class Breaker:
    """Opens after FAILURES without a success between; each probe that fails doubles the pause, up to a minute."""

    def __init__(self) -> None:
        self._failures = 0
        self._pause_s = LEAST_S
        self._until = 0.0

    @property
    def closed(self) -> bool:
        return self._failures < FAILURES

    def probing(self, now: float) -> bool:
        """Return whether it is open, and one event may find out whether that is still right."""
        return not self.closed and now >= self._until

    def succeeded(self) -> None:
        self._failures, self._pause_s = 0, LEAST_S

    def failed(self, now: float) -> bool:
        """Note a failure. Returns whether the breaker has opened with it."""
        self._failures += 1
        if self.closed or now < self._until:
            return False
        self._until = now + self._pause_s
        self._pause_s = min(MOST_S, self._pause_s * 2)
        return self._failures == FAILURES
