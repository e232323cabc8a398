"""Knows when Python has been held up: the one place that says whether what a callback sees is of now.

    attention.rest(5)               # the only way in which the loop waits
    attention.prompt(now_us)        # in an edge's callback: whether it has come at once
    attention.done(now_us)          # at the end of the tick

MicroPython runs the callbacks of timers and pins between bytecodes and while it sleeps, one at a time; a flash write, a
TLS record, a garbage collection or another callback holds them up, nobody tells for how long. A callback has come at
once if nothing of that kind has gone on for some moments before it. While the loop rests, or has done no more than a
glance since, that is so.
"""

from micropython import const

# What runs for longer holds callbacks up.
_WORK_US = const(1000)
# A callback that comes this soon after something long may have waited for its end.
_SOON_US = const(2000)
# MicroPython's queue takes 8 callbacks: so many late ones in a row may have filled it, and others are lost.
_QUEUE = const(7)


class Attention:
    """`sleep_ms`, `ticks_us` and `ticks_diff` are those of the module time."""

    def __init__(self, sleep_ms, ticks_us, ticks_diff):
        self._sleep_ms = sleep_ms
        self._ticks_us = ticks_us
        self._ticks_diff = ticks_diff
        self._resting = False
        self._woke_us = self._free_us = ticks_us()
        self._late = 0

    def rest(self, duration_ms):
        """Let the device wait, and callbacks run, for `duration_ms`; in the loop only."""
        now_us = self._ticks_us()
        if self._ticks_diff(now_us, self._woke_us) > _WORK_US:
            self._free_us = now_us
        self._resting = True
        try:
            self._sleep_ms(duration_ms)
        finally:
            self._resting = False
            self._woke_us = self._ticks_us()

    def prompt(self, now_us):
        """Whether the callback that begins at `now_us` (of ticks_us) has come at once. Counts those that have not."""
        diff = self._ticks_diff
        idle = self._resting or 0 <= diff(now_us, self._woke_us) < _WORK_US
        if idle and diff(now_us, self._free_us) > _SOON_US:
            return True
        self._late += 1
        self._free_us = now_us  # Whoever waits behind it comes late, too.
        return False

    def done(self, now_us):
        """A long callback ends at `now_us`: what came meanwhile comes late."""
        self._free_us = now_us

    def lost_some(self):
        """Whether callbacks may have been lost since the last call; the tick asks, once each time."""
        late, self._late = self._late, 0
        return late >= _QUEUE
