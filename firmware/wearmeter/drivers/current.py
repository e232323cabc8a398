"""A current-sense input: an analog signal that follows the motor's RMS current (a rectified current transformer).

The motor runs from where the signal reaches `on_raw` until it falls below `off_raw`; the distance between them keeps a
sagging or rippling motor from counting as stopped. Both are readings of `read_u16`, 0 to 65535.
"""

from wearmeter.meter import Meter


def options(fields):
    """`on_raw` and `off_raw`, as above."""
    on_raw = fields.whole("on_raw", 1, 65535)
    off_raw = fields.whole("off_raw", 0, on_raw - 1)

    def open(board, signal, max_on_ms, ticks_ms, ticks_diff):
        return CurrentInput(board.analog_input(signal), on_raw, off_raw, max_on_ms, ticks_diff)

    return open


class CurrentInput:
    """`adc` has read_u16(); `ticks_diff` is that of the module time."""

    noisy = False
    power = 0  # the latest reading, for wear.py

    def __init__(self, adc, on_raw, off_raw, max_on_ms, ticks_diff):
        self._adc = adc
        self._on_raw = on_raw
        self._off_raw = off_raw
        self.meter = Meter(ticks_diff, False, max_on_ms)

    def sample(self, now_ms):
        """Return the whole milliseconds that the motor ran since the last call."""
        self.power = raw = self._adc.read_u16()
        return self.meter.sample(raw >= (self._off_raw if self.meter.on else self._on_raw), now_ms)
