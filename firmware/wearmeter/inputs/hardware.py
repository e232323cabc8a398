"""A motor-on input that the chip meters itself: a clock is counted only while the motor's pin gates it.

At most two milliseconds short a run, whatever Python does. It takes a pulse counter (MicroPython 1.26, not on the
ESP32-C3) and a spare pin for the clock, the board's signal `meter_clock`.
"""

from micropython import const

# Where the counter begins at zero again. It goes half as far in 16 s at most: a look after longer says nothing.
_LIMIT = const(32000)
_HALF = const(16000)
_MAX_GAP_US = const(15000000)


class HardwareInput:
    """`counter()` is a board's gated clock: the milliseconds since its last call, less one for each start, modulo
    32000. `pin` is the motor's."""

    noisy = False
    power = 1000

    def __init__(self, counter, pin, active, max_on_ms, ticks_us, ticks_diff):
        self._counter = counter
        self._pin = pin
        self._active = active
        self._max_on_ms = max_on_ms
        self._ticks_us = ticks_us
        self._ticks_diff = ticks_diff
        self._last_us = ticks_us()
        self._on_ms = 0
        self._owed_ms = 0
        self.on = False
        self.stuck = False

    def sample(self, now_us, late_us=0):
        """Return the whole milliseconds that the motor ran since the last call."""
        ran_ms = (self._counter() + self._owed_ms + _HALF) % _LIMIT - _HALF
        # A run that goes on may still owe the one of its start; what shorter runs lacked is not taken from others.
        self._owed_ms = -1 if ran_ms < 0 else 0
        ran_ms = max(0, ran_ms)
        gap_us = self._ticks_diff(now_us, self._last_us)
        self._last_us = now_us
        self.on = self._pin.value() == self._active
        if not 0 <= gap_us <= _MAX_GAP_US:
            ran_ms = 0
        if not self.on:
            self._on_ms = 0
            self.stuck = False
        elif self.stuck:
            return 0
        left_ms = self._max_on_ms - self._on_ms
        if ran_ms >= left_ms:
            ran_ms = left_ms
            self.stuck = True
        self._on_ms += ran_ms
        return ran_ms
