"""The status LED speaks in patterns: bytes of durations in tenths of a second, on and off in turn, beginning with on.

Documented for owners and service: see README, "What the light says".
"""

REPLACED = bytes((20,))  # one long light: the replacement is in flash
UNDONE = bytes((2, 2, 2, 2, 2))  # three blinks: the replacement is taken back
REFUSED = bytes((1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1))  # eight flickers: not accepted, try again
STATE_GOOD = bytes((5,))  # short press: one blink, the part is good
STATE_SOON = bytes((5, 5, 5))  # two: less than a tenth of its rated life left
STATE_DUE = bytes((5, 5, 5, 5, 5))  # three: its rated life is over
FAULT = bytes((1, 1, 1, 5, 1, 1, 1))  # short press: something is wrong, the relay knows what


class Led:
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
        """Begin a pattern; one that is playing is cut short."""
        self._pattern = pattern
        self._at = 0
        self._left = pattern[0]
        self._write(True)

    def tick(self, hint):
        """Go on by a tenth of a second. Between patterns the LED shows `hint` (a button is being held)."""
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
