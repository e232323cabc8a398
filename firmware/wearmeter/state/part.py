"""A consumable: what it has run in its life, which one is fitted, and the replacement that can still be undone.

    used time of the fitted part = lifetime_ms - fitted_at_ms

`lifetime_ms` only grows, for ever. `generation` is 1 + the number of replacements that were not undone. A part has an
id (1 to 255), which the product file gives it and which stays its own: what a product no longer names keeps its counts.
"""

from micropython import const

UNDO_S = const(600)


class Replacement:
    """A replacement that can still be undone.

    `left_s`: powered seconds in which it can be undone, 0 when that is over. `not_before`, `not_after`: bounds of its
    moment in UTC seconds, 0 where unknown, equal when exact. `uptime_s`: that moment in this boot, None after a
    restart. `source`: 0 for the button, else the number of the relay's command.
    """

    def __init__(self, previous_ms, left_s, not_before, not_after, source, uptime_s):
        self.previous_ms = previous_ms  # fitted_at_ms before it
        self.left_s = left_s
        self.not_before = not_before
        self.not_after = not_after
        self.source = source
        self.uptime_s = uptime_s


class Part:
    """The counts of one consumable, in milliseconds of running time."""

    def __init__(self, identity):
        self.id = identity
        self.named = False  # whether the product names it
        self.saved_ms = 0  # lifetime as of the last save
        self.unsaved_ms = 0  # ran since; small, so that the tick allocates nothing
        self.fitted_at_ms = 0
        self.generation = 1
        self.replacement = None

    @property
    def lifetime_ms(self):
        return self.saved_ms + self.unsaved_ms

    @property
    def used_ms(self):
        return self.lifetime_ms - self.fitted_at_ms

    def reported(self):
        """Return (lifetime, generation, used) as the relay may know them, in seconds rounded down.

        While a replacement can be undone the relay hears of the part before, as it was taken out.
        """
        if self.replacement:
            at_ms = self.fitted_at_ms
            return at_ms // 1000, self.generation - 1, (at_ms - self.replacement.previous_ms) // 1000
        return self.lifetime_ms // 1000, self.generation, self.used_ms // 1000
