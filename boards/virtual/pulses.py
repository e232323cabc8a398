"""Square waves on pins, counted by arithmetic: a pin storm, a PWM output; nothing happens at each edge."""

NEVER = 1 << 60


class Wave:
    """Level changes of a pin every `half_us`, the first of them `half_us` after `start_us`, the last at or before
    `end_us`. The level before is `level`."""

    def __init__(self, gpio, start_us, half_us, end_us=NEVER, level=0):
        self.gpio = gpio
        self.start_us = start_us
        self.half_us = half_us
        self.end_us = end_us
        self.before = level
        self.told = 0

    def edges(self, at_us):
        """How many level changes there were up to and with at_us."""
        return int(max(0, min(at_us, self.end_us) - self.start_us) // self.half_us)

    def level(self, at_us):
        return self.before ^ self.edges(at_us) & 1

    def edge_after(self, at_us):
        """The instant of the first level change after at_us, NEVER where there is none."""
        return self._edge_us(self.edges(at_us) + 1)

    def rising(self, edges):
        """How many of the first `edges` level changes were upward."""
        return (edges + 1 - self.before) // 2

    def next_edge_us(self):
        """The instant of the first edge nobody was told of."""
        return self._edge_us(self.told + 1)

    def _edge_us(self, number):
        at_us = self.start_us + int(number * self.half_us)
        return at_us if at_us <= self.end_us else NEVER


class Storm(Wave):
    """A wave whose edges interrupt: as many as the queue takes, the rest is dropped in one step."""

    def tell(self, at_us, pin, scheduler):
        """Schedule pin's handler for each edge up to at_us that it asked for. pin: None when nobody listens."""
        first, edges = self.told, self.edges(at_us)
        if edges <= first:
            return
        self.told = edges
        if pin is None:
            return
        up = self.rising(self.told) - self.rising(first)
        wanted = 0
        if pin.trigger & pin.IRQ_RISING:
            wanted += up
        if pin.trigger & pin.IRQ_FALLING:
            wanted += self.told - first - up
        while wanted and scheduler.schedule(pin.handler, pin):
            wanted -= 1
        scheduler.dropped += wanted
