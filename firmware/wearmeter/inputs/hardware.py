"""A motor-on input that the chip meters itself: a clock is counted only while the motor's pin gates it.

At most two milliseconds short a run, whatever Python does. It takes a pulse counter (MicroPython 1.26, not on the
ESP32-C3) and a spare pin for the clock, the board's signal `meter_clock`.
"""

from micropython import const

# A counter that ran for longer than this since the last look was not looked at: what it shows may have wrapped.
_MAX_GAP_US = const(30000000)


class HardwareInput:
    """`counter()` returns the milliseconds counted since its last call, 0 to 31999; `pin` is the motor's."""

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
        self.on = False
        self.stuck = False

    def sample(self, now_us, late_us=0):
        """Return the whole milliseconds that the motor ran since the last call."""
        ran_ms = self._counter()
        gap_us = self._ticks_diff(now_us, self._last_us)
        self._last_us = now_us
        if ran_ms and not self.on:
            ran_ms -= 1  # A run began since: what it counts is up to a millisecond more, or less, than it lasted.
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
