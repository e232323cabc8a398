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
