"""What the inputs have in common that judge the motor by what came in between two ticks.

A window that the motor ran for only a part of may look like one that it ran all through. So a window counts once the
next one is on, too: the last one of a run never does. Each run comes out short, by 0 to 300 ms, and never long.
"""

from wearmeter.meter import Meter


class WindowInput:
    """The class of an input says in `_measure(gap_ms)` how hard the motor ran in the window of the last `gap_ms`
    milliseconds, or None where it cannot say; it is on from `on` until it falls below `off`."""

    noisy = False

    def __init__(self, on, off, max_on_ms, ticks_diff):
        self._on = on
        self._off = off
        self._ticks_diff = ticks_diff
        self._last_ms = None
        self._held_ms = 0
        self.power = 0
        self.meter = Meter(ticks_diff, False, max_on_ms)

    def _measure(self, gap_ms):
        raise NotImplementedError

    def sample(self, now_ms):
        """Return the whole milliseconds that the motor ran and that count now."""
        last_ms, self._last_ms = self._last_ms, now_ms
        gap_ms = 0 if last_ms is None else self._ticks_diff(now_ms, last_ms)
        power = self._measure(gap_ms)
        if gap_ms <= 0 or power is None:
            return 0
        self.power = power
        meter = self.meter
        # _held_ms: what ran in the window before.
        ran_ms = meter.sample(power >= (self._off if meter.on else self._on), now_ms)
        held_ms, self._held_ms = self._held_ms, ran_ms
        return held_ms if meter.on else 0


def thresholds(fields, on, off, high):
    """The fields `on` and `off` of a product: whole numbers up to `high`, `off` below `on`."""
    on = fields.whole(on, 1, high)
    return on, fields.whole(off, 0, on - 1)
