"""A button that is held for 3 seconds to report a replacement; a short press asks for the state.

Debounce is by an integrator: it goes up with each sample that finds the button pressed, down with each that does not,
and the button changes where it reaches an end. A bounce of less than 100 ms makes no change, however it falls. A button
that is down at boot does nothing until it has been released.
"""

from micropython import const

NOTHING = const(0)
SHORT = const(1)
LONG = const(2)
VERY_LONG = const(3)

HOLD_MS = const(3000)
VERY_LONG_MS = const(10000)
STUCK_MS = const(60000)
_FULL = const(2)


class Button:
    """`pin` is a machine.Pin at level `active` while pressed; `ticks_diff` is that of the module time.

    `down` is the debounced state, `held` that a press is under way which may become a long one, `stuck` that it
    has been down for a minute.
    """

    def __init__(self, pin, active, ticks_diff):
        self._pin = pin
        self._active = active
        self._ticks_diff = ticks_diff
        self._sum = _FULL
        self._since_ms = None
        self._changed_ms = 0
        self._reached = VERY_LONG  # until released once: nothing that is down at boot is a press
        self.down = True
        self.stuck = False

    def sample(self, now_ms):
        """Look at the button, in each tick; returns LONG once when it has been held for 3 s, VERY_LONG once after 10 s,
        SHORT when it is released before either, otherwise NOTHING."""
        if self._since_ms is None:
            self._since_ms = now_ms
        pressed = self._pin.value() == self._active
        if pressed:
            if not self._sum:
                self._changed_ms = now_ms
            self._sum = min(self._sum + 1, _FULL)
        elif self._sum:
            self._sum -= 1
        if self._sum == (0 if self.down else _FULL):
            return self._change(pressed)
        if self.down and pressed:
            held_ms = self._ticks_diff(now_ms, self._since_ms)
            self.stuck = self.stuck or held_ms >= STUCK_MS
            if held_ms >= VERY_LONG_MS and self._reached == LONG:
                self._reached = VERY_LONG
                return VERY_LONG
            if held_ms >= HOLD_MS and self._reached == NOTHING:
                self._reached = LONG
                return LONG
        return NOTHING

    @property
    def held(self):
        return self.down and self._reached == NOTHING

    def _change(self, pressed):
        self.down = pressed
        if pressed:
            self._since_ms = self._changed_ms
            self._reached = NOTHING
            return NOTHING
        self.stuck = False
        return SHORT if self._reached == NOTHING else NOTHING
