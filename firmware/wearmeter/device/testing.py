"""What a device has around it, made of Python: a clock that a test turns, and a board of pins and backup copies.

    clockwork = Clockwork()
    board = Board(clockwork)
    install(board, product(parts=2), config(), root)
    device = wire_up(board, guard, clockwork, log, root)
    device.begin()
    configure(device, root)
    clockwork.go(1000)                # ten ticks

For host_tests/ and tools/torture, on CPython and MicroPython alike. Not in any bundle.
"""

import os

from micropython import const

from wearmeter.device.unit_files import SCHEMA
from wearmeter.exchange import cbor
from wearmeter.flash.record import FRAME_BYTES, Record
from wearmeter.flash.testing import Backup
from wearmeter.inputs.testing import Adc, Pin

# The ticks of the ESP32 wrap at 2^30, which is itself no small integer of a 32-bit MicroPython: all arithmetic here
# stays below it, so that nothing is allocated on the chip either.
MASK = const(0x3FFFFFFF)
_HALF = const(0x20000000)


def ticks_diff(later, earlier):
    """As time.ticks_diff on the ESP32."""
    return (((later - earlier) & MASK) ^ _HALF) - _HALF


def ticks_add(ticks, passed):
    """As time.ticks_add on the ESP32, for 0 <= passed < 2^29."""
    return ((ticks - _HALF + passed) & MASK) ^ _HALF


class Timer:
    """A periodic timer of a Clockwork; `period_ms` may be changed."""

    def __init__(self, clockwork, period_ms, callback):
        self._clockwork = clockwork
        self.period_ms = period_ms
        self.callback = callback
        self.due_ms = clockwork.passed_ms + period_ms

    def deinit(self):
        """Stop it."""
        if self in self._clockwork.timers:
            self._clockwork.timers.remove(self)


class Clockwork:
    """Stands in for the module time: nothing passes but what `go` and the sleeps let pass.

    `zero_ms`: where ticks_ms begins, 0 to 2^30 - 1. `passed_ms`: all that has passed, without wrap. Timers and what
    `at` has planned happen at their moment, one after the other, never within one another.
    """

    ticks_diff = staticmethod(ticks_diff)

    def __init__(self, zero_ms=0):
        self._ms = zero_ms
        self._us = (zero_ms & 0xFFFF) * 1000
        self._rest_us = 0
        self._busy = False
        self._planned = []
        self.passed_ms = 0
        self.timers = []

    def ticks_ms(self):
        """As time.ticks_ms."""
        return self._ms

    def ticks_us(self):
        """As time.ticks_us."""
        return self._us

    def sleep_ms(self, ms):
        """As time.sleep_ms: callbacks run meanwhile."""
        self.go(ms)

    def sleep_us(self, us):
        """As time.sleep_us."""
        self._rest_us += us
        self._us = ticks_add(self._us, us)
        if self._rest_us >= 1000:
            ms = self._rest_us // 1000
            self._rest_us -= ms * 1000
            self._ms = ticks_add(self._ms, ms)
            self.passed_ms += ms

    def block(self, ms):
        """Let time pass in which no callback can run, as a flash write or a TLS record does."""
        self.passed_ms += ms
        self._ms = ticks_add(self._ms, ms & MASK)
        self._us = ticks_add(self._us, (ms * 1000) & MASK)

    def at(self, at_ms, action):
        """Do `action()` when `passed_ms` has come to `at_ms`."""
        at = len(self._planned)
        while at and self._planned[at - 1][0] > at_ms:
            at -= 1
        self._planned.insert(at, (at_ms, action))

    def go(self, ms):
        """Let `ms` milliseconds pass, with the callbacks that fall into them. Returns ticks_ms."""
        end_ms = self.passed_ms + ms
        if self._busy:
            self.block(ms)
            return self._ms
        while True:
            due_ms = end_ms
            what = None
            for timer in self.timers:
                if timer.due_ms <= due_ms:
                    due_ms, what = timer.due_ms, timer
            if self._planned and self._planned[0][0] <= due_ms:
                due_ms, what = self._planned[0]
            if due_ms > self.passed_ms:
                self.block(due_ms - self.passed_ms)
            if what is None:
                return self._ms
            self._busy = True
            try:
                if isinstance(what, Timer):
                    # A timer whose callback was held up runs once, not once for each period.
                    what.due_ms = max(what.due_ms + what.period_ms, self.passed_ms)
                    what.callback(what)
                else:
                    self._planned.pop(0)
                    what()
            finally:
                self._busy = False

    def start_timer(self, period_ms, callback):
        """Call `callback(timer)` every `period_ms`. Returns the Timer."""
        self.timers.append(Timer(self, period_ms, callback))
        return self.timers[-1]


class Watchdog:
    """A machine.WDT that only counts how often it is fed."""

    def __init__(self):
        self.timeout_ms = 0
        self.feeds = 0

    def feed(self):
        """As machine.WDT.feed."""
        self.feeds += 1


class Reset(Exception):
    """The chip starts anew."""


class Board:
    """What boards/README.md lists, over pins that a test sets: `pins[signal]` is a Pin, or an Adc.

    `backups` (key -> Backup) and `pins` are handed to the next Board of the same unit, as its power comes back.
    """

    NAME = "testing"

    def __init__(self, clockwork, backups=None, pins=None):
        self.clockwork = clockwork
        self.backups = {} if backups is None else backups
        self.pins = {} if pins is None else pins
        self.cause = "power"
        self.rtc_s = 0
        self.shown = []  # by the pixel
        self.timer = None
        self.dog = Watchdog()
        self.wlan = None  # for station(): see network/testing.py
        self.counter = None  # for pulse_counter and gated_clock
        self.timed = None  # for pulse_timer

    def device_id(self):
        """The chip's unique id."""
        return "unit1"

    def level_input(self, signal, pull):
        """The input pin of a signal, at rest where `pull` draws it."""
        if signal not in self.pins:
            self.pins[signal] = Pin(1 if pull == "up" else 0)
        self.pins[signal].handler = None
        return self.pins[signal]

    def analog_input(self, signal):
        """The ADC of a signal."""
        return self.pins.setdefault(signal, Adc())

    def output(self, signal):
        """The output pin of a signal."""
        return self.pins.setdefault(signal, Pin(0))

    def pixel(self, signal):
        """A function that keeps the colours in `shown`."""
        return self.shown.append

    def pulse_counter(self, signal):
        """A function that returns the pulses since its last call, or None."""
        return self.counter

    def pulse_timer(self, signal):
        """A function (level, longest_us), as machine.time_pulse_us."""
        return self.timed

    def gated_clock(self, signal, active):
        """A function that returns the milliseconds since its last call."""
        return self.counter

    def start_tick(self, period_ms, callback):
        """Begin the tick."""
        self.timer = self.clockwork.start_timer(period_ms, callback)
        return self.timer

    def watchdog(self, timeout_ms):
        """The one watchdog."""
        self.dog.timeout_ms = timeout_ms
        return self.dog

    def reset(self):
        """Start the chip anew: raises Reset."""
        raise Reset()

    def station(self):
        """The Wi-Fi."""
        return self.wlan

    def reset_cause(self):
        """Why the chip started."""
        return self.cause

    def set_rtc(self, utc_s):
        """Set the chip's clock."""
        self.rtc_s = utc_s

    def backup(self, key):
        """The backup copy of a record."""
        return self.backups.setdefault(key, Backup())

    def sealed(self):
        """Whether the console is sealed."""
        return False


def product(parts=2, inputs=2, driver="level", on=1, off=0, bands=None, powered_with_motor=False, max_on_ms=21600000):
    """Return the fields of a product's record, as tools/provision/pack.py makes them.

    Part 1, 2… has the button "button_1"… and hangs on the inputs "motor_1"… in turn; rated lives are 100 h.
    """
    head = b"".join([cbor.encode(text) for text in ("Vac", "Maker", "A vacuum")])
    return [
        SCHEMA,
        head,
        cbor.encode([[at + 1, "Sensor.%d" % (at + 1)] for at in range(parts)]),
        max_on_ms,
        powered_with_motor,
        ["status_led", 1, None],
        [[driver, "motor_%d" % (at + 1), on, off, bands] for at in range(inputs)],
        [[at + 1, at % inputs, 100, "button_%d" % (at + 1), 0] for at in range(parts)],
    ]


def config(host="192.0.2.7", transport="plain", ntp_host=None):
    """Return the fields of a config's record."""
    return [
        SCHEMA,
        "SN-1",
        None,
        "wearmeter",
        ["Home", "a password"],
        [host, 1883, transport, None, None],
        [None, None, None],
        [None, None],
        ntp_host,
    ]


def install(name, fields, root=""):
    """Write the record of a unit's file `name`, "product" or "config", below the folder `root`."""
    payload = cbor.encode(fields)
    try:
        os.mkdir(root)
    except OSError:
        pass  # It is there.
    made = Record(bytearray(len(payload) + FRAME_BYTES), name, None, root + "/unit")
    for _ in range(2):
        made.payload[: len(payload)] = payload
        made.save(len(payload))
