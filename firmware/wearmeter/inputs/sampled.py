"""What the inputs have in common that are looked at in each tick, without interrupts.

A look takes some milliseconds (`measure` says when it began and ended by taking that long), and the motor may have
started or stopped within it: a run counts from the end of the first look that finds it on to the beginning of the last.
It comes out short by the time to the next look at each end, 0 to 200 ms, and never long.

What a counter measures is not of the look but of the time since the one before, somewhere in which the motor ran: such
a run counts from the end of the first of these times on, and to the beginning of the last.
"""

from wearmeter.inputs.meter import SAMPLE, Meter


class SampledInput:
    """`measure()` returns how hard the motor runs, or None where it cannot say; it is on from `on` until it falls below
    `off`. Between the two it stays as it was: a sagging or rippling motor does not count as stopped. `since_last`:
    `measure` speaks of the time since its last call."""

    noisy = False

    def __init__(self, measure, on, off, max_on_ms, ticks_us, ticks_diff, since_last=False):
        self._measure = measure
        self._since_last = since_last
        self._looked_us = ticks_us()
        self._on = on
        self._off = off
        self._ticks_us = ticks_us
        self._meter = Meter(ticks_diff, max_on_ms)
        self.power = 0

    @property
    def on(self):
        return self._meter.on

    @property
    def stuck(self):
        return self._meter.stuck

    def sample(self, now_us, late_us=0):
        """Return the whole milliseconds that the motor ran since the last call."""
        began_us = self._ticks_us()
        power = self._measure()
        if power is None:
            return 0
        self.power = power
        meter = self._meter
        was_on = meter.on
        certain_us = self._looked_us if self._since_last else began_us
        self._looked_us = began_us
        ran_ms = meter.see(power >= (self._off if was_on else self._on), certain_us, SAMPLE)
        if meter.on and not was_on:
            meter.start_at(began_us if self._since_last else self._ticks_us())
        return ran_ms
