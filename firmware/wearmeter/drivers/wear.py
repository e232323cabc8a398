"""Lets an input count more or less than its time, by how hard the motor runs: turbo wears a filter faster.

    "wear": [{"from": 0, "permille": 1000}, {"from": 900, "permille": 1300}]

From a power of 900 (in the driver's own unit: rms, hz or raw) each second counts 1.3 s. Off unless a product says so:
what is counted is then wear, not time, and can be more than the true running time.
"""



def options(fields, open):
    """Check the field `wear` and wrap `open`, that of the input's driver."""
    levels = []
    for level in fields.items("wear", 1, 8):
        levels.append((level.whole("from", 0, 100000), level.whole("permille", 0, 10000)))
        level.done()
    if levels != sorted(levels) or levels[0][0]:
        fields.fail("wear", "levels in ascending order, the first from 0")

    def open_weighted(*arguments):
        return WeightedInput(open(*arguments), levels)

    return open_weighted


class WeightedInput:
    """`source` is an input with `power`; `levels` are (from, permille), ascending from 0."""

    def __init__(self, source, levels):
        self._source = source
        self._levels = levels
        self._rest = 0  # thousandths of a millisecond
        self.meter = source.meter

    @property
    def noisy(self):
        return self._source.noisy

    def sample(self, now_ms):
        """Return the whole milliseconds of wear since the last call; what is less is kept for the next."""
        ran_ms = self._source.sample(now_ms)
        permille = 1000
        for level in self._levels:
            if self._source.power >= level[0]:
                permille = level[1]
        self._rest += ran_ms * permille
        wear_ms = self._rest // 1000
        self._rest -= wear_ms * 1000
        return wear_ms
