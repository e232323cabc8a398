"""Turns the levels and edges of one input into whole milliseconds of running time.

    meter = Meter()
    ran_ms = meter.edge(level, now_ms)      # from the interrupt, at each change
    ran_ms = meter.sample(level, now_ms)    # from the tick

The result is the integral of the input's level, so bounces need no filter: a level that was on for 3 ms counts 3 ms.
Where an edge was missed, or its interrupt came late because something held up all callbacks (a flash write, a name
look-up), the time since the last sample is not counted: never more than the truth. Who holds up callbacks for less than
LATE_EDGE_MS sets `held` before; the next sample clears it, unless it is 2.
"""

from micropython import const

# Between two samples that far apart the input may have been off and on again unseen, unless its edges are watched.
MAX_GAP_MS = const(2000)
# An edge that comes this long after the last tick (100 ms) was held up, who knows for how long.
LATE_EDGE_MS = const(150)


class Meter:
    """Running time of one input.

    `ticks_diff(later, earlier)` is MicroPython's, so the wrap of `ticks_ms` is its business. `edges` says that the
    input's edges are watched by an interrupt. After `max_on_ms` without being seen off the input is `stuck` and
    counts no more until it has been seen off. `held` is 1 where callbacks are held up until the next sample, 2 for as
    long as it stays: an off edge is then not counted beyond the last sample. Allocates nothing.
    """

    def __init__(self, ticks_diff, edges, max_on_ms):
        self._ticks_diff = ticks_diff
        self._edges = edges
        self._max_on_ms = max_on_ms
        self._mark_ms = 0
        self._on_ms = 0
        self.on = False
        self.stuck = False
        self.held = 0

    def edge(self, level, now_ms):
        """The input changed to `level` at `now_ms`; returns the milliseconds it ran since the last call."""
        return self._advance(level, now_ms, True)

    def sample(self, level, now_ms):
        """The input was seen at `level`; returns the milliseconds it ran since the last call."""
        return self._advance(level, now_ms, False)

    def _advance(self, level, now_ms, at_edge):
        ran_ms = 0
        if self.on:
            gap_ms = self._ticks_diff(now_ms, self._mark_ms)
            # An edge that finds the input still on means that it was off in between, unseen.
            if level != at_edge and (level or (gap_ms <= LATE_EDGE_MS and not self.held)):
                ran_ms = self._credit(gap_ms)
            if not level:
                self.on = False
        elif level:
            self.on = True
            self._on_ms = 0
        if not level:
            self.stuck = False
        if not at_edge and self.held == 1:
            self.held = 0
        self._mark_ms = now_ms
        return ran_ms

    def _credit(self, gap_ms):
        if self.stuck or gap_ms <= 0 or (gap_ms > MAX_GAP_MS and not self._edges):
            return 0
        left_ms = self._max_on_ms - self._on_ms
        if gap_ms >= left_ms:
            gap_ms = left_ms
            self.stuck = True
        self._on_ms += gap_ms
        return gap_ms
