"""Stand-ins for the tests of the pure modules, on CPython and on MicroPython alike."""

WRAP = 1 << 30  # of ticks_ms on the ESP32


def ticks_diff(later, earlier):
    """As time.ticks_diff on the ESP32."""
    return ((later - earlier + WRAP // 2) % WRAP) - WRAP // 2


class Ticks:
    """A clock that a test turns: call it for ticks_ms."""

    def __init__(self, now_ms=0):
        self.now_ms = now_ms

    def __call__(self):
        return self.now_ms % WRAP

    def go(self, ms):
        self.now_ms += ms
        return self()


class Pin:
    """A machine.Pin whose level a test sets; `set` also makes the edge's interrupt."""

    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __init__(self, level=0):
        self.level = level
        self.handler = None

    def value(self, level=None):
        if level is None:
            return self.level
        self.level = level

    def irq(self, handler, trigger):
        self.handler = handler

    def set(self, level):
        self.level = level
        if self.handler:
            self.handler(self)


class Shelf:
    """A Store in RAM. `refuse` makes it fail as a full flash does."""

    def __init__(self, payload=None):
        self.payload = payload
        self.damaged = 0
        self.refuse = False
        self.refused = False
        self.saves = 0

    def load(self, valid=None):
        if self.payload is not None and valid and not valid(self.payload):
            self.damaged = 1
            return None
        return self.payload

    def save(self, payload, second_home=False):
        self.refused = self.refuse
        if self.refuse:
            return False
        self.payload = payload
        self.saves += 1
        return True


def raises(error, function, *arguments, **options):
    """Return the text of the `error` that function(*arguments) raises; fails if it does not."""
    try:
        function(*arguments, **options)
    except error as raised:
        return str(raised)
    raise AssertionError("%s was not raised" % error.__name__)
