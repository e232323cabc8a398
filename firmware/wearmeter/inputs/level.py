"""A motor-on input: a pin that is at its active level while the motor runs.

Each edge is timed by an interrupt's callback, so that a stop costs at most a millisecond where nothing held the
callback up, and the time since the last tick (0.1 s) where something did. An input that changes more often than a motor
can (hum of the mains, a floating pin, a loose wire) is `noisy`: its interrupt is switched off for five seconds, so that
it cannot starve the rest, and nothing is counted until it has been calm for another second: none of it is to be
trusted.
"""

from micropython import const

from wearmeter.inputs.meter import BLIND, LATE, PROMPT, SAMPLE, Meter

# A bucket that each edge fills by one and each tick empties by two: more than 20 edges a second for a second is noise,
# and a contact that bounces twenty times is not. 50 Hz of hum are found out after 0.4 s.
_BUCKET = const(30)
_LEAK = const(2)
_REST_TICKS = const(50)
_CALM_TICKS = const(10)


class LevelInput:
    """`pin` is a machine.Pin (value, irq); `ticks_us` and `ticks_diff` are those of the module time, `prompt` that of
    the device's Attention."""

    power = 1000

    def __init__(self, pin, active, max_on_ms, ticks_us, ticks_diff, prompt):
        self._pin = pin
        self._active = active
        self._ticks_us = ticks_us
        self._prompt = prompt
        self._bucket = 0
        self._pause = 0
        self._ran_ms = 0
        self._handler = self._on_edge  # made once: binding a method allocates
        self._meter = Meter(ticks_diff, max_on_ms)
        self.noisy = False
        self._watch(self._handler)

    @property
    def on(self):
        return self._meter.on

    @property
    def stuck(self):
        return self._meter.stuck

    def _watch(self, handler):
        self._pin.irq(handler, self._pin.IRQ_RISING | self._pin.IRQ_FALLING)

    def _on_edge(self, pin):
        now_us = self._ticks_us()
        level = pin.value() == self._active
        prompt = self._prompt(now_us)
        self._bucket += 1
        if self._bucket > _BUCKET and self._pause <= _CALM_TICKS:
            self.noisy = True
            self._pause = _REST_TICKS + _CALM_TICKS
            self._watch(None)
        if not self.noisy:
            self._ran_ms += self._meter.see(level, now_us, PROMPT if prompt else LATE)

    def sample(self, now_us, late_us=0):
        """Return the whole milliseconds that the motor ran since the last call."""
        self._bucket = max(0, self._bucket - _LEAK)
        if self.noisy:
            self._pause -= 1
            if self._pause == _CALM_TICKS:
                self._bucket = 0
                self._watch(self._handler)
            self.noisy = self._pause > 0
        level = not self.noisy and self._pin.value() == self._active
        ran_ms = self._ran_ms + self._meter.see(level, now_us, BLIND if late_us < 0 else SAMPLE, late_us)
        self._ran_ms = 0
        return ran_ms
