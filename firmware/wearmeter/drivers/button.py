"""A button that is pressed for 3 seconds to report a replacement; a short press asks for the state.

Debounce is by an integrator: it goes up with each sample that finds the button pressed, down with each that does not,
and the button changes where it reaches an end. A bounce of less than 100 ms makes no change, however it falls. A button
that is down at boot does nothing until it has been released.
"""

from micropython import const

NOTHING = const(0)
SHORT = const(1)
LONG = const(2)

HOLD_MS = const(3000)
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
        self._used = True  # until released once: nothing that is down at boot is a press
        self.down = True
        self.stuck = False

    def sample(self, now_ms):
        """Look at the button, in each tick; returns LONG once when it has been held for 3 s, SHORT when it is
        released earlier, otherwise NOTHING."""
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
        if self.down:
            held_ms = self._ticks_diff(now_ms, self._since_ms)
            if held_ms >= STUCK_MS:
                self.stuck = True
            elif held_ms >= HOLD_MS and not self._used and pressed:
                self._used = True
                return LONG
        return NOTHING

    @property
    def held(self):
        return self.down and not self._used

    def _change(self, pressed):
        self.down = pressed
        if pressed:
            self._since_ms = self._changed_ms
            self._used = False
            return NOTHING
        self.stuck = False
        short = not self._used
        self._used = True
        return SHORT if short else NOTHING
