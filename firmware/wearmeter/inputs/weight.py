"""Lets a second count for more or less than a second, by how hard the motor runs: turbo wears a filter faster.

`bands` are (from power, permille), ascending from 0: from a power of 900 (in the driver's own unit: rms, hz or raw)
each second may count 1.3 s. Off unless a product says so: what is counted is then wear, not time, and can be
more than the true running time.
"""


class WeightedInput:
    """`source` is an input; see above for `bands`."""

    def __init__(self, source, bands):
        self._source = source
        self._bands = bands
        self._rest = 0  # thousandths of a millisecond

    @property
    def on(self):
        return self._source.on

    @property
    def stuck(self):
        return self._source.stuck

    @property
    def noisy(self):
        return self._source.noisy

    def sample(self, now_us, late_us=0):
        """Return the whole milliseconds of wear since the last call; what is less is kept for the next."""
        ran_ms = self._source.sample(now_us, late_us)
        permille = 1000
        for band in self._bands:
            if self._source.power >= band[0]:
                permille = band[1]
        self._rest += ran_ms * permille
        wear_ms = self._rest // 1000
        self._rest -= wear_ms * 1000
        return wear_ms
