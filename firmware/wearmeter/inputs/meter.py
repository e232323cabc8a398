"""Turns what is seen of one input into whole milliseconds of running time.

    ran_ms = meter.see(level, now_us, SAMPLE)     # in the tick
    ran_ms = meter.see(level, now_us, PROMPT)     # in an edge's callback that has come at once

The result is the integral of the input's level, so bounces need no filter: a level that was on for 3 ms counts 3 ms.
What is not certain is not counted: never more than the truth.
"""

from micropython import const

SAMPLE = const(0)  # seen by the tick; each edge until the tick was due has been seen, too
BLIND = const(1)  # seen by the tick, and edges since the last look may have been missed
PROMPT = const(2)  # seen by the callback of an edge, which came at once
LATE = const(3)  # seen by the callback of an edge, which was held up

# How much later one edge's callback may come than another's while nothing holds them up.
EDGE_US = const(1000)
# An input without interrupts may have been off and on again unseen between two looks that far apart.
MAX_GAP_US = const(2000000)


class Meter:
    """Running time of one input. `ticks_diff(later, earlier)` is MicroPython's, so the wrap of ticks_us (18 minutes) is
    its business. After `max_on_ms` without being seen off the input is `stuck` and counts no more until it has been
    seen off. Allocates nothing.
    """

    def __init__(self, ticks_diff, max_on_ms):
        self._ticks_diff = ticks_diff
        self._max_on_ms = max_on_ms
        self._mark_us = 0  # what ran until then has been dealt with,
        self._before_us = 0  # or, after a late tick, until so long before
        self._rest_us = 0
        self._on_ms = 0
        self.on = False
        self.stuck = False

    def see(self, level, now_us, how, late_us=0):
        """The input was seen at `level`; returns the milliseconds it ran since the last call that are certain.
        `late_us`: how long ago a sample's tick was due; edges since then wait to be seen.

        One of six things has happened:
        1. It was off and is on: it has run since now at least.
        2. It was on, and a sample finds it on: it has run until the tick was due.
        3. It was on, and an edge's prompt callback finds it off: it has run until just now.
        4. It was on, and a late callback finds it off: it has stopped, who knows when.
        5. It was on, and an edge's callback finds it on: it was off in between, who knows for how long.
        6. It was on, and a sample finds it off, or edges may have been missed: the same.
        """
        ran_ms = before_us = 0
        if self.on:
            gap_us = self._ticks_diff(now_us, self._mark_us) + self._before_us
            if level and how == SAMPLE:
                if gap_us <= late_us:
                    return 0  # An edge that came late has been seen after the tick was due.
                ran_ms = self._credit(gap_us - late_us)
                before_us = late_us
            elif not level and how == PROMPT:
                ran_ms = self._credit(gap_us - EDGE_US)
        elif level:
            self._on_ms = 0
        if not level:
            self.stuck = False
        self.on = level
        self._mark_us = now_us
        self._before_us = before_us
        return ran_ms

    def start_at(self, mark_us):
        """What was just seen on has been on since `mark_us`."""
        self._mark_us = mark_us

    def _credit(self, gap_us):
        if self.stuck or not 0 < gap_us <= MAX_GAP_US:
            return 0
        gap_us += self._rest_us
        gap_ms = gap_us // 1000
        self._rest_us = gap_us - gap_ms * 1000
        left_ms = self._max_on_ms - self._on_ms
        if gap_ms >= left_ms:
            gap_ms = left_ms
            self.stuck = True
        self._on_ms += gap_ms
        return gap_ms
