"""Pins and analog inputs that a test sets, for host_tests/ and tools/torture. Not in any bundle."""


class Pin:
    """A machine.Pin. `level` may be set at any time; `set` also makes the interrupt of an edge."""

    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __init__(self, level=0):
        self.level = level
        self.handler = None

    def value(self, level=None):
        """Return the level, or set it, as machine.Pin.value."""
        if level is None:
            return self.level
        self.level = level

    def irq(self, handler, trigger):
        """Call `handler(pin)` at each edge, None for no more."""
        self.handler = handler

    def set(self, level):
        """Change the level; the callback comes at once."""
        self.level = level
        if self.handler:
            self.handler(self)


class Adc:
    """A machine.ADC that reads `raw`, 0 to 65535."""

    def __init__(self, raw=0):
        self.raw = raw

    def read_u16(self):
        """Return the reading of now."""
        return self.raw


class Wave:
    """A pin that changes by itself at the moments `changes` (ms of the Clockwork's `passed_ms`), beginning low.

    Its level is true at any moment; the callback of an edge comes when the Clockwork comes to it.
    """

    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __init__(self, clockwork, changes):
        self._clockwork = clockwork
        self._handler = None
        self._next = 0
        self.changes = changes
        for at_ms in changes:
            clockwork.at(at_ms, self._edge)

    def value(self):
        """Return the level of now."""
        changes, now_ms = self.changes, self._clockwork.passed_ms
        while self._next < len(changes) and changes[self._next] <= now_ms:
            self._next += 1
        return self._next & 1

    def irq(self, handler, trigger):
        """As machine.Pin.irq."""
        self._handler = handler

    def _edge(self):
        if self._handler:
            self._handler(self)

    def on_ms(self, until_ms):
        """Return for how long it has been high until then: the truth."""
        total = 0
        for at in range(0, len(self.changes), 2):
            end_ms = self.changes[at + 1] if at + 1 < len(self.changes) else until_ms
            total += max(0, min(end_ms, until_ms) - self.changes[at])
        return total
