"""A motor-on input: a pin that is at its active level while the motor runs.

Each edge is timed by an interrupt, so running time is exact to the millisecond; the tick's sample finds edges that
were missed. An input that changes more often than a motor can (a floating pin, a loose wire) is `noisy`: its interrupt
is switched off for a while, so that it cannot starve the rest, and nothing is counted: none of it is to be trusted.
"""

from micropython import const

from wearmeter.meter import Meter

# More edges than this in one tick of 100 ms are noise: a relay that bounces makes fewer than twenty.
_MAX_EDGES = const(50)
_REST_TICKS = const(50)


def options(fields):
    """`active`: the level while the motor runs, 1 where nothing is said."""
    active = fields.choice("active", (0, 1), 1)

    def open(board, signal, max_on_ms, ticks_ms, ticks_diff):
        pin = board.level_input(signal, "down" if active else "up")
        return LevelInput(pin, active, max_on_ms, ticks_ms, ticks_diff)

    return open


class LevelInput:
    """`pin` is a machine.Pin (value, irq); `ticks_ms` and `ticks_diff` are those of the module time."""

    def __init__(self, pin, active, max_on_ms, ticks_ms, ticks_diff):
        self._pin = pin
        self._active = active
        self._ticks_ms = ticks_ms
        self._edges = 0
        self._rest = 0
        self._ran_ms = 0
        self._handler = self._on_edge  # made once: binding a method allocates
        self.meter = Meter(ticks_diff, True, max_on_ms)
        self.noisy = False
        self._watch(self._handler)

    def _watch(self, handler):
        self._pin.irq(handler, self._pin.IRQ_RISING | self._pin.IRQ_FALLING)

    def _on_edge(self, pin):
        if self.noisy:
            return
        now_ms = self._ticks_ms()
        self._ran_ms += self.meter.edge(pin.value() == self._active, now_ms)
        self._edges += 1
        if self._edges > _MAX_EDGES and not self.noisy:
            self.noisy = True
            self._rest = _REST_TICKS
            self._watch(None)

    def sample(self, now_ms):
        """Return the whole milliseconds that the motor ran since the last call."""
        level = self._pin.value() == self._active and not self.noisy
        self._ran_ms += self.meter.sample(level, now_ms)
        self._edges = 0
        if self.noisy:
            self._rest -= 1
            if not self._rest:
                self.noisy = False
                self._watch(self._handler)
        ran_ms = self._ran_ms
        self._ran_ms = 0
        return ran_ms
