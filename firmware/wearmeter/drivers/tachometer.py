"""A tachometer: pulses of a Hall sensor or a commutator tap, whose rate is the motor's speed.

The motor runs from `on_hz` pulses a second until they fall below `off_hz`. The ESP32's pulse counter counts them where
MicroPython has it (1.26, not on the ESP32-C3); elsewhere an interrupt does, for up to 3000 a second: beyond that it is
noise, or a sensor for a faster counter, and nothing is counted for five seconds.
"""

from micropython import const

from wearmeter.drivers.window import WindowInput, thresholds

_MOST = const(300)  # pulses in one tick by interrupt
_REST_TICKS = const(50)


def options(fields):
    """`on_hz` and `off_hz`, pulses a second, 1 to 100000."""
    on, off = thresholds(fields, "on_hz", "off_hz", 100000)

    def open(board, signal, max_on_ms, ticks_ms, ticks_diff):
        counter = board.pulse_counter(signal)
        pin = None if counter else board.level_input(signal, "up")
        return Tachometer(counter, pin, on, off, max_on_ms, ticks_diff)

    return open


class Tachometer(WindowInput):
    """`counter()` returns the pulses since its last call; where it is None those of `pin` are counted by interrupt.
    `power` is the speed in pulses a second."""

    def __init__(self, counter, pin, on_hz, off_hz, max_on_ms, ticks_diff):
        super().__init__(on_hz, off_hz, max_on_ms, ticks_diff)
        self._pin = pin
        self._pulses = 0
        self._rest = 0
        self._handler = self._on_pulse  # made once: binding a method allocates
        self._counter = counter or self._count
        self._watch(self._handler)
        self._counter()

    def _watch(self, handler):
        if self._pin:
            self._pin.irq(handler, self._pin.IRQ_RISING)

    def _count(self):
        pulses = self._pulses
        self._pulses = 0
        return pulses

    def _on_pulse(self, pin):
        self._pulses += 1
        if not self.noisy and self._pulses > _MOST:
            self.noisy = True
            self._rest = _REST_TICKS
            self._watch(None)

    def _measure(self, gap_ms):
        pulses = self._counter()
        if self.noisy:
            self._rest -= 1
            if not self._rest:
                self.noisy = False
                self._watch(self._handler)
            return 0
        return pulses * 1000 // gap_ms if gap_ms > 0 else 0
