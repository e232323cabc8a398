"""`machine` as on the ESP32, for what a controller needs: pins with interrupts, ADC, timers, watchdog, RTC, reset."""

import errno
import math
import time as _time
import world as _world
from pulses import Wave

_the = _world.the

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
_CAUSES = {"power": PWRON_RESET, "hard": HARD_RESET, "watchdog": WDT_RESET, "soft": SOFT_RESET}


def reset_cause():
    return _CAUSES[_the.session.get("reset_cause", "power")]


def unique_id():
    return bytes(int(_the.session["unique_id"][i : i + 2], 16) for i in range(0, 12, 2))


def reset():
    _the.die("hard")


def soft_reset():
    _the.die("soft")


def freq(hertz=None):
    return 160_000_000


def idle():
    _the.sleep(1000)


def disable_irq():
    _the.scheduler.locked += 1
    return _the.scheduler.locked


def enable_irq(state):
    _the.scheduler.locked -= 1
    _the.look()


class Pin:
    """A GPIO; Pin(n) is the same object each time, as on the ESP32."""

    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2
    WAKE_LOW, WAKE_HIGH = 4, 5
    DRIVE_0, DRIVE_1, DRIVE_2, DRIVE_3 = 0, 1, 2, 3
    _pins = {}

    def __new__(cls, number, *args, **keywords):
        if isinstance(number, Pin):
            number = number.number
        if not isinstance(number, int) or not 0 <= number <= 39 or number in (24, 28, 29, 30, 31):
            raise ValueError("invalid pin")
        pin = cls._pins.get(number)
        if pin is None:
            pin = cls._pins[number] = super().__new__(cls)
            pin.number = number
            pin.mode = cls.IN
            pin.pull = None
            pin.level = 0
            pin.handler = None
            pin.trigger = 0
        return pin

    def __init__(self, number, *args, **keywords):
        if args or keywords:
            self.init(*args, **keywords)

    def __repr__(self):
        return "Pin(%d)" % self.number

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if mode is not None and mode != -1:
            if mode != Pin.IN and self.number >= 34:
                raise ValueError("pin can only be input")
            self.mode = mode
            PWM.cut(self.number)
        if pull != -1:
            self.pull = pull
        if value is not None:
            self._drive(value)

    def _drive(self, level):
        level = 1 if level else 0
        if level != self.level:
            self.level = level
            if _the.session.get("trace_outputs"):
                print("pin gpio=%d value=%d" % (self.number, level))

    def value(self, level=None):
        if level is not None:
            return self._drive(level)
        _the.look()
        if _the.motor_gpios:
            _the.sampled(self.number)
        return self.now_level()

    def now_level(self):
        """The level, as the chip's own peripherals see it."""
        if self.mode == Pin.OUT:
            return self.level
        driven = _the.pins.get(self.number)
        if driven is None:
            return 1 if self.pull == Pin.PULL_UP else 0
        return driven

    def __call__(self, level=None):
        return self.value(level)

    def on(self):
        self._drive(1)

    def off(self):
        self._drive(0)

    def toggle(self):
        self._drive(1 - self.level)

    def irq(self, handler=None, trigger=3, *, wake=None, hard=False):
        self.handler = handler
        self.trigger = trigger
        if handler is None:
            _the.listeners.pop(self.number, None)
        else:
            _the.listeners[self.number] = self
        _the.plan()
        return self


class Signal:
    def __init__(self, pin, *args, invert=False, **keywords):
        self.pin = pin if isinstance(pin, Pin) else Pin(pin, *args, **keywords)
        self.invert = 1 if invert else 0

    def value(self, level=None):
        if level is not None:
            return self.pin.value((1 if level else 0) ^ self.invert)
        return self.pin.value() ^ self.invert

    def __call__(self, level=None):
        return self.value(level)

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)


class ADC:
    """12-bit converter. ADC2 (GPIO 0, 2, 4, 12-15, 25-27) is taken by the radio while Wi-Fi is active."""

    ATTN_0DB, ATTN_2_5DB, ATTN_6DB, ATTN_11DB = 0, 1, 2, 3
    WIDTH_9BIT, WIDTH_10BIT, WIDTH_11BIT, WIDTH_12BIT = 9, 10, 11, 12

    def __init__(self, pin, atten=0):
        self.number = pin.number if isinstance(pin, Pin) else pin
        if self.number not in (0, 2, 4, 12, 13, 14, 15, 25, 26, 27, 32, 33, 34, 35, 36, 37, 38, 39):
            raise ValueError("invalid pin")

    def init(self, atten=0):
        pass

    def atten(self, attenuation):
        pass

    def width(self, bits):
        pass

    def read(self):
        _the.look()
        if _the.motor_gpios:
            _the.sampled(self.number)
        if self.number < 32:
            import network

            if network.WLAN(network.STA_IF).active():
                raise OSError(errno.ETIMEDOUT)
        if self.number in _the.mains:
            return self._wave(*_the.mains[self.number])
        return _the.analog.get(self.number, 0) >> 4

    def _wave(self, rms, hertz):
        """The current of a motor with a third harmonic of 30 %, noise of some counts, clipped at the rails."""
        now_us = _the.now_us
        angle = 2 * math.pi * (now_us * hertz % 1_000_000) / 1_000_000
        wave = rms * 1.3546 * (math.sin(angle) + 0.3 * math.sin(3 * angle))
        return max(0, min(4095, int(2048 + wave) + now_us // 7 % 7 - 3))

    def read_u16(self):
        raw = self.read()
        return raw << 4 | raw >> 8

    def read_uv(self):
        return self.read() * 3_300_000 // 4095


class PWM:
    """LEDC on a pin: a square wave that runs whatever Python does. Of the duty only "none", "some" and "all" count."""

    def __init__(self, pin, freq=None, *, duty=None, duty_u16=None, duty_ns=None):
        self.pin = pin
        self.hertz = 5000
        self.on = True
        self.init(freq, duty=duty, duty_u16=duty_u16, duty_ns=duty_ns)

    def init(self, freq=None, *, duty=None, duty_u16=None, duty_ns=None):
        if freq is not None:
            if not 0 < freq <= 40_000_000:
                raise ValueError("frequency must be from 1Hz to 40MHz")
            self.hertz = freq
        for value, whole in ((duty, 1023), (duty_u16, 65535), (duty_ns, 1_000_000_000 // self.hertz)):
            if value is not None:
                self.on = 0 < value < whole
        PWM.cut(self.pin.number)
        if self.on:
            self.pin.mode = Pin.OUT
            _the.outputs[self.pin.number] = Wave(self.pin.number, _the.look(), self.half_us())

    def half_us(self):
        """Half a period as the LEDC makes it: 80 MHz divided by 2^n, n at most 16, and a multiple of 1/256."""
        bits = 16
        while bits > 1 and self.hertz << bits > 80_000_000:
            bits -= 1
        steps = self.hertz << bits
        return (1 << bits) * ((80_000_000 * 256 + steps // 2) // steps) / 256 / 80 / 2

    @staticmethod
    def cut(gpio):
        """To set a pin's direction takes it from the LEDC: gpio_set_direction connects it to its own output."""
        if gpio in _the.outputs:
            for counter in _the.counters:
                counter.settle()
            del _the.outputs[gpio]

    def freq(self, hertz=None):
        if hertz is None:
            return self.hertz
        self.init(hertz)

    def duty_u16(self, duty=None):
        if duty is None:
            return 32768 if self.on else 0
        self.init(duty_u16=duty)

    def deinit(self):
        PWM.cut(self.pin.number)


class Timer:
    """Soft timers: hardware 0..3, or -1 for a virtual one. The callback is queued, see world.py."""

    ONE_SHOT, PERIODIC = 0, 1
    _hardware = {}

    def __new__(cls, number, **keywords):
        if not -1 <= number <= 3:
            raise ValueError("Timer(%d) doesn't exist, there are only 4 hardware timers" % number)
        timer = cls._hardware.get(number)
        if timer is None:
            timer = super().__new__(cls)
            timer.number = number
            timer.callback = None
            timer.period_us = 0
            timer.due_us = 0
            if number >= 0:
                cls._hardware[number] = timer
        return timer

    def __init__(self, number, **keywords):
        if keywords:
            self.init(**keywords)

    def init(self, *, mode=1, callback=None, period=0xFFFFFFFF, tick_hz=1000, freq=None, hard=False):
        if hard:
            raise ValueError("hard Timers are not implemented")
        self.deinit()
        period_us = int(1_000_000 / freq) if freq is not None else period * 1_000_000 // tick_hz
        if period_us <= 0:
            raise ValueError("Timer period is too short for this timer")
        self.callback = callback
        self.due_us = _the.look() + period_us
        self.period_us = period_us if mode == Timer.PERIODIC else 0
        if callback is not None:
            _the.timers.append(self)
        _the.plan()

    def deinit(self):
        if self in _the.timers:
            _the.timers.remove(self)
            _the.plan()

    def value(self):
        return 0


class WDT:
    """The task watchdog: not fed within its timeout, it resets the chip. It cannot be stopped."""

    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        _the.watchdog_timeout_us = timeout * 1000
        self.feed()

    def feed(self):
        _the.watchdog_us = _the.now_us + _the.watchdog_timeout_us
        _the.tell_watchdog()
        _the.plan()


class RTC:
    """Starts at 2000-01-01 at power-on; survives a watchdog or software reset, not a power cut."""

    def datetime(self, fields=None):
        if fields is None:
            year, month, day, hour, minute, second, weekday, _ = _time.gmtime()
            return (year, month, day, weekday, hour, minute, second, _time._rtc_us() % 1_000_000)
        year, month, day, _, hour, minute, second, microseconds = fields
        self._set(year, month, day, hour, minute, second, microseconds)

    def init(self, fields):
        year, month, day, hour, minute, second, microseconds, _ = fields
        self._set(year, month, day, hour, minute, second, microseconds)

    def _set(self, year, month, day, hour, minute, second, microseconds):
        seconds = _time.mktime((year, month, day, hour, minute, second, 0, 0))
        _the.rtc_offset_us = seconds * 1_000_000 + microseconds - _the.now_us


def bitstream(pin, encoding, timing, data):
    """Only the trace: what a NeoPixel would show, as its bytes."""
    if _the.session.get("trace_outputs"):
        print("pixel gpio=%d data=%s" % (pin.number, bytes(data).hex()))


def time_pulse_us(pin, level, timeout_us=1_000_000):
    """As extmod/machine_pulse.c: waits in C for the level, then for its end. Returns the microseconds between, -2 where
    the level did not come within the timeout, -1 where it did not end within it. A level that is there counts from now.
    """
    start_us = _the.look()
    if _the.motor_gpios:
        _the.sampled(pin.number)
    level = 1 if level else 0
    for changes in (2, 1):
        while pin.now_level() != level:
            if _the.now_us - start_us >= timeout_us:
                return -changes
            _the.advance(max(_the.now_us, min(start_us + timeout_us, _the.next_change_us(pin.number))))
        level = 1 - level
        begun_us, start_us = start_us, _the.now_us
    return start_us - begun_us
