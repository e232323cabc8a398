"""The status light speaks in patterns: bytes of durations in tenths of a second, on and off in turn, beginning with on.

Documented for owners and service: see README, "What the light says".
"""

from micropython import const

REPLACED = bytes((20,))  # one long light: the replacement is in flash
UNDONE = bytes((2, 2, 2, 2, 2))  # three blinks: the replacement is taken back
REFUSED = bytes((1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1))  # eight flickers: not accepted, try again
STATE_GOOD = bytes((5,))  # short press: one blink, the part is good
STATE_SOON = bytes((5, 5, 5))  # two: less than a tenth of its rated life left
STATE_DUE = bytes((5, 5, 5, 5, 5))  # three: its rated life is over
FAULT = bytes((1, 1, 1, 5, 1, 1, 1))  # short press: something is wrong, the relay knows what

# The hint that a button is held goes dark for so long before an answer, so that a person sees where the answer begins.
_DARK = const(4)


class Light:
    """`pin` is a machine.Pin that lights the LED at level `active`."""

    def __init__(self, pin, active):
        self._pin = pin
        self._active = active
        self._pattern = b""
        self._at = 0
        self._left = 0
        self._write(False)

    def _write(self, lit):
        self._lit = lit
        self._pin.value(self._active if lit else 1 - self._active)

    def play(self, pattern):
        """Begin a pattern; one that is playing is cut short. Where the light is on, it goes dark before."""
        dark = self._lit
        self._pattern = pattern
        self._at = -1 if dark else 0
        self._left = _DARK if dark else pattern[0]
        self._write(not dark)

    def tick(self, hint):
        """Go on by a tenth of a second. Between patterns the light shows `hint` (a button is being held)."""
        if self._left:
            self._left -= 1
            if not self._left:
                self._at += 1
                if self._at < len(self._pattern):
                    self._left = self._pattern[self._at]
                    self._write(not self._at & 1)
                else:
                    self._write(False)
        elif hint != self._lit:
            self._write(hint)
