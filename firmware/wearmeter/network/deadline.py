"""One deadline for one operation, and the only way to wait under it.

    deadline = Deadline(rest, ticks_ms, ticks_diff)
    deadline.begin(10000)             # everything until the next `begin` must be done in 10 s
    deadline.wait_for(poller)         # OSError(ETIMEDOUT) when it is over

Nothing waits in C: a poll that takes no time, and a rest in which callbacks run.
"""

import errno

from micropython import const

_SLICE_MS = const(5)
NO_NAME = const(-2)  # what a look-up that fails raises, as getaddrinfo on the ESP32


class Deadline:
    """`rest(ms)` is the device's Attention.rest; `ticks_ms`, `ticks_diff` are those of the module time."""

    def __init__(self, rest, ticks_ms, ticks_diff):
        self._rest = rest
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._begun_ms = 0
        self._allowed_ms = 0

    def begin(self, allowed_ms):
        """Begin an operation that must be done in `allowed_ms` milliseconds."""
        self._begun_ms = self._ticks_ms()
        self._allowed_ms = allowed_ms

    def left_ms(self):
        """Milliseconds, at least 1, that the operation has left. Raises OSError(ETIMEDOUT) when there are none."""
        left_ms = self._allowed_ms - self._ticks_diff(self._ticks_ms(), self._begun_ms)
        if left_ms <= 0:
            raise OSError(errno.ETIMEDOUT)
        return left_ms

    def wait_for(self, poller):
        """Rest until the poller has something, and return what. Rests at least once. Raises OSError(ETIMEDOUT)."""
        while True:
            self._rest(min(self.left_ms(), _SLICE_MS))
            found = poller.poll(0)
            if found:
                return found
