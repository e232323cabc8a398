"""A tachometer: pulses of a Hall sensor or a commutator tap, whose rate is the motor's speed in pulses a second.

The chip's pulse counter counts them where MicroPython has it (1.26, not on the ESP32-C3). Elsewhere one period is timed
in each tick, in at most 45 ms: that finds from 70 to some 20,000 pulses a second. No interrupt runs Python at the rate
of the pulses.
"""

import time

from micropython import const

_LONGEST_US = const(15000)


def measure_tachometer(board, signal):
    """Return `measure()` of a signal, and whether it speaks of the time since its last call."""
    counter = board.pulse_counter(signal)
    if counter:
        return Counted(counter, time.ticks_us, time.ticks_diff).measure, True
    return Timed(board.pulse_timer(signal)).measure, False


class Counted:
    """`counter()` returns the pulses since its last call."""

    def __init__(self, counter, ticks_us, ticks_diff):
        self._counter = counter
        self._ticks_us = ticks_us
        self._ticks_diff = ticks_diff
        self._last_us = ticks_us()

    def measure(self):
        """Return the pulses a second since the last call, None where that is a moment ago."""
        now_us = self._ticks_us()
        gap_us = self._ticks_diff(now_us, self._last_us)
        if gap_us < 1000:
            return None
        self._last_us = now_us
        return self._counter() * 1000 // (gap_us // 1000)


class Timed:
    """`pulse_us(level, longest_us)` is machine.time_pulse_us of the pin: negative where there is no such pulse."""

    def __init__(self, pulse_us):
        self._pulse_us = pulse_us

    def measure(self):
        """Return the pulses a second of one period, 0 where none comes in time."""
        # The first is cut short by the moment it is looked at; after it the other level begins.
        if self._pulse_us(1, _LONGEST_US) < 0:
            return 0
        low_us = self._pulse_us(0, _LONGEST_US)
        high_us = self._pulse_us(1, _LONGEST_US)
        return 0 if low_us < 0 or high_us < 0 else 1000000 // max(1, low_us + high_us)
