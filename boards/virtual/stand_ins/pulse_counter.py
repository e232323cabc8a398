"""The chip's pulse counter, `esp32.PCNT` of MicroPython 1.26 and newer (ports/esp32/esp32_pcnt.c), without its irq and
thresholds. It counts level changes of pins that the session drives, and by arithmetic those of PWM outputs and storms,
while the mode pin lets it. boot.py makes it part of `esp32` when the session says `"pcnt": true`."""

import world as _world

_the = _world.the
_UNITS = 8
_FILTER_TICKS_A_US = 80  # of the 80 MHz clock


class _Channel:
    def __init__(self):
        self.pin = self.mode_pin = None
        self.rising = self.falling = PCNT.IGNORE
        self.mode_low = self.mode_high = PCNT.NORMAL

    def step(self, rising, falling):
        """What so many edges do to the counter at the mode pin's level."""
        mode = PCNT.NORMAL
        if self.mode_pin is not None:
            mode = self.mode_high if self.mode_pin.now_level() else self.mode_low
        if mode == PCNT.HOLD:
            return 0
        step = rising * _SIGN[self.rising] + falling * _SIGN[self.falling]
        return -step if mode == PCNT.REVERSE else step


class PCNT:
    IGNORE, INCREMENT, DECREMENT = 0, 1, 2
    NORMAL, REVERSE, HOLD = 0, 1, 2
    _units = {}

    def __new__(cls, unit, **keywords):
        if not 0 <= unit < _UNITS:
            raise ValueError("invalid id")
        counter = cls._units.get(unit)
        if counter is None:
            counter = cls._units[unit] = super().__new__(cls)
            counter.deinit()
        return counter

    def __init__(self, unit, **keywords):
        self.init(**keywords)

    def init(self, *, channel=0, pin=_the, mode_pin=_the, min=None, max=None, filter=None, value=None, **actions):
        """The world itself stands for a pin that is not given, as None takes a pin away."""
        self.settle()
        if not 0 <= channel < 2:
            raise ValueError("channel")
        if mode_pin is not _the and pin is _the:
            raise ValueError("pin")
        used = self.channels[channel]
        if pin is not _the:
            used.pin = pin
            used.mode_pin = None if mode_pin is _the else mode_pin
            for taken in (used.pin, used.mode_pin):
                if taken is not None:
                    taken.init(taken.IN, taken.PULL_UP)  # whatever it was before, a PWM output too
        if actions:
            for name in actions:
                if name not in ("rising", "falling", "mode_low", "mode_high"):
                    raise TypeError("extra keyword arguments given")
            for name in ("rising", "falling", "mode_low", "mode_high"):
                action = actions.get(name, 0)
                if not 0 <= action <= 2:
                    raise ValueError(name)
                setattr(used, name, action)
        if filter is not None:
            if not 0 <= filter <= 1023:
                raise ValueError("filter")
            self.filter_us = filter / _FILTER_TICKS_A_US
        if min is not None:
            if not -32768 <= min <= 0:
                raise ValueError("minimum")
            self.min = min
        if max is not None:
            if not 0 <= max <= 32767:
                raise ValueError("maximum")
            self.max = max
        if value:
            raise ValueError("value")
        if min is not None or max is not None or value is not None:
            self.count = 0
        if self not in _the.counters:
            _the.counters.append(self)

    def deinit(self):
        self.channels = (_Channel(), _Channel())
        self.count = self.min = self.max = 0
        self.filter_us = 0
        self.runs = False
        self.settled_us = _the.now_us

    def start(self):
        _the.look()
        self.settle()
        self.runs = True

    def stop(self):
        _the.look()
        self.settle()
        self.runs = False

    def value(self, value=None):
        """With 0: the count before it is set to zero."""
        _the.look()
        if value:
            raise ValueError("value")
        self.settle()
        for channel in self.channels:
            for pin in (channel.pin, channel.mode_pin):
                if pin is not None:
                    _the.sampled(pin.number)
        count = self.count
        if value is not None:
            self.count = 0
        return count

    # --- the hardware -----------------------------------------------------------------------------------------------

    def settle(self):
        """Count the square waves up to now, before anything changes that they depend on."""
        since_us, self.settled_us = self.settled_us, _the.now_us
        if not self.runs:
            return
        for channel in self.channels:
            wave = channel.pin and _the.wave_on(channel.pin.number)
            if wave and wave.half_us >= self.filter_us:
                first, last = wave.edges(since_us), wave.edges(_the.now_us)
                rising = wave.rising(last) - wave.rising(first)
                self._add(channel.step(rising, last - first - rising))

    def edge(self, gpio, level):
        """The level of a pin changes now; pins still have the level before."""
        self.settle()
        if not self.runs:
            return
        for channel in self.channels:
            if channel.pin is not None and channel.pin.number == gpio:
                self._add(channel.step(level, 1 - level))

    def _add(self, step):
        """At a limit the counter begins at zero again; a limit of 0 is none."""
        self.count += step
        if self.max and self.count >= self.max:
            self.count %= self.max
        elif self.min and self.count <= self.min:
            self.count = -(-self.count % -self.min)
        self.count = (self.count + 32768 & 65535) - 32768


_SIGN = {PCNT.IGNORE: 0, PCNT.INCREMENT: 1, PCNT.DECREMENT: -1}
