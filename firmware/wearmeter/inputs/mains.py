"""A current-sense input that sees the mains waveform itself: a current transformer with a burden, biased to mid-range.

The RMS is taken in a burst of 20 ms in each tick: a whole cycle of 50 Hz, and six fifths of one of 60 Hz, which makes
the RMS at 60 Hz right within a tenth; `on_rms` and `off_rms` lie further apart than that. All in ADC counts (12 bits:
about 0.8 mV); `make calibrate` finds them. What the RMS shows while the motor rests is noise: it is learnt, and taken
off.
"""

import time

from micropython import const

_BURST_US = const(20000)
_PAUSE_US = const(250)
_MOST = const(100)  # squares of 100 readings of 12 bits stay below 2^30: nothing is allocated
_LEAST = const(20)  # fewer, because something held the burst up: no judgement
_MIDDLE = const(2048)


def measure_mains(board, signal, on, off):
    """Return `measure()` of a signal: the RMS in ADC counts."""
    return Mains(board.analog_input(signal).read_u16, on, off, time.ticks_us, time.ticks_diff, time.sleep_us).measure


class Mains:
    """`read_u16` reads the waveform; `on` and `off` are the RMS from which and below which the motor runs and rests;
    the rest is of the module time."""

    def __init__(self, read_u16, on, off, ticks_us, ticks_diff, sleep_us):
        self._read_u16 = read_u16
        self._on = on
        self._off = off
        self._runs = False
        self._ticks_us = ticks_us
        self._ticks_diff = ticks_diff
        self._sleep_us = sleep_us
        self._middle = _MIDDLE
        self._noise = 0  # mean square at rest

    def measure(self):
        """Return the RMS of one burst, or None where it was held up."""
        began_us = self._ticks_us()
        count = total = squares = 0
        while count < _MOST and self._ticks_diff(self._ticks_us(), began_us) < _BURST_US:
            off_middle = (self._read_u16() >> 4) - self._middle
            total += off_middle
            squares += off_middle * off_middle
            count += 1
            self._sleep_us(_PAUSE_US)
        if count < _LEAST:
            return None
        mean = total // count
        square = max(0, squares // count - mean * mean)
        self._middle += mean // 2
        if not self._runs and square < self._on * self._on:
            # A sixteenth of the way in each burst at rest; at least 1, so that it gets there.
            step = (square - self._noise) // 16
            self._noise += step if step else (square > self._noise) - (square < self._noise)
        power = _root(max(0, square - self._noise))
        self._runs = power >= (self._off if self._runs else self._on)
        return power


def _root(square):
    root = 0
    bit = 1024
    while bit:
        if (root + bit) * (root + bit) <= square:
            root += bit
        bit >>= 1
    return root
