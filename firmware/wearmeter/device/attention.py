"""Knows when Python has been held up: the one place that says whether what a callback sees is of now.

    attention.rest(5)               # the only way in which the loop waits
    attention.prompt(now_us)        # in an edge's callback: whether it has come at once
    attention.beat(now_us)          # at the begin of the tick: how late it has come
    attention.done(now_us)          # at its end

MicroPython runs the callbacks of timers and pins between bytecodes and while it sleeps, one at a time, in the order of
their events; a flash write, a TLS record, a garbage collection or another callback holds them up, nobody tells for how
long. A callback has come at once if nothing of that kind has gone on for some moments before it. While the loop rests,
or has done no more than a glance since, that is so.

A tick that was held up has edges waiting behind it. What it sees is certain up to the moment it was due: all edges
before that had their callbacks before it. Its timer never drifts, so it is late by how far it is behind the beat.
"""

from micropython import const

# What runs for longer holds callbacks up.
_WORK_US = const(1000)
# A callback that comes this soon after something long may have waited for its end.
_SOON_US = const(2000)
# MicroPython's queue takes 8 callbacks: so many late ones in a row may have filled it, and others are lost.
_QUEUE = const(7)
_PERIOD_US = const(100000)
# The beat is that of the promptest tick in so many; a tick that was lost from the queue is caught up with by then.
_BEATS = const(8)
_NEVER_US = const(0x1FFFFFFF)


class Attention:
    """`sleep_ms`, `ticks_us` and `ticks_diff` are those of the module time."""

    def __init__(self, sleep_ms, ticks_us, ticks_diff):
        self._sleep_ms = sleep_ms
        self._ticks_us = ticks_us
        self._ticks_diff = ticks_diff
        self._resting = False
        self._woke_us = self._free_us = ticks_us()
        self._late = 0  # callbacks in a row that came late
        self._lost = False
        self._beat_us = None
        self._behind_us = 0
        self._least_us = _NEVER_US
        self._beats = 0

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
            self._late = 0  # The queue is empty now.
            self._woke_us = self._ticks_us()

    def prompt(self, now_us):
        """Whether the edge's callback that begins at `now_us` (of ticks_us) has come at once, and none before it was
        lost since the last tick."""
        if self._free(now_us):
            self._late = 0
            return not self._lost
        self._count_late()
        self._free_us = now_us  # Whoever waits behind it comes late, too.
        return False

    def _free(self, now_us):
        """Whether nothing has run for some moments before the callback that begins now: the queue was empty."""
        diff = self._ticks_diff
        idle = self._resting or 0 <= diff(now_us, self._woke_us) < _WORK_US
        return idle and diff(now_us, self._free_us) > _SOON_US

    def _count_late(self):
        self._late += 1
        self._lost = self._lost or self._late >= _QUEUE

    def start_beat(self):
        """The tick's timer starts now: its first tick is due in a period. Without this the time between two timers is
        taken for a delay, and what runs in the next eight ticks is lost as unseen."""
        self._beat_us = self._ticks_us()
        self._behind_us = self._beats = self._late = 0
        self._least_us = _NEVER_US

    def beat(self, now_us):
        """A tick begins at `now_us`: return by how many microseconds it is late, -1 where callbacks of edges may have
        been lost since the last one."""
        if self._beat_us is None:
            self._beat_us = now_us
            return 0
        behind_us = max(0, self._behind_us + self._ticks_diff(now_us, self._beat_us) - _PERIOD_US)
        self._beat_us = now_us
        self._least_us = min(self._least_us, behind_us)
        self._beats += 1
        if self._beats >= _BEATS:
            behind_us -= self._least_us
            self._least_us = _NEVER_US
            self._beats = 0
        self._behind_us = behind_us
        if behind_us > _SOON_US and not self._free(now_us):
            self._count_late()  # It waited in the queue itself, and others may be behind it.
        else:
            self._late = 0
        lost, self._lost = self._lost, False
        return -1 if lost else behind_us

    def done(self, now_us):
        """A long callback ends at `now_us`: what came meanwhile comes late."""
        self._free_us = now_us
