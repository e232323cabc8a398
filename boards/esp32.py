"""The peripherals of MicroPython's ESP32 port, 1.25 and newer, as the firmware uses them.

The build joins this file with a board's pins.csv and calls the result `board`: NAME, PINS, and the functions below.
Together with main.py, which arms the watchdog, it is the only one that knows the chip. boards/README.md lists the names
that make up a board.
"""

import binascii
import time

import esp32
import machine
import network

_EPOCH_2000_S = 946684800
_COUNTER_LIMIT = 32000  # of 32767
_RESETS = {
    machine.PWRON_RESET: "power",
    machine.HARD_RESET: "hard",  # reset() of this file, the maker's, or a panic of the chip's own code
    machine.WDT_RESET: "watchdog",
    machine.DEEPSLEEP_RESET: "deepsleep",
    machine.SOFT_RESET: "soft",
}
NAME = ""
PINS: "dict[str, int]" = {}  # signal, as a product file speaks of it -> GPIO
_PULLS = {"up": machine.Pin.PULL_UP, "down": machine.Pin.PULL_DOWN}


def device_id():
    """The chip's unique id as lower-case hex."""
    return binascii.hexlify(machine.unique_id()).decode()


def level_input(signal, pull):
    """The input pin of a signal, pulled "up" or "down"."""
    return machine.Pin(PINS[signal], machine.Pin.IN, _PULLS[pull])


def analog_input(signal):
    """The ADC of a signal: `read_u16()` gives 0 to 65535 for 0 to about 3.1 V."""
    return machine.ADC(machine.Pin(PINS[signal]), atten=machine.ADC.ATTN_11DB)


def output(signal):
    """The output pin of a signal."""
    return machine.Pin(PINS[signal], machine.Pin.OUT)


def pixel(signal):
    """One NeoPixel (WS2812) on a signal: a function that shows (red, green, blue), 0 to 255 each."""
    pin = machine.Pin(PINS[signal], machine.Pin.OUT)
    order = bytearray(3)

    def show(color):
        order[0], order[1], order[2] = color[1], color[0], color[2]
        machine.bitstream(pin, 0, (400, 850, 800, 450), order)

    return show


class _Counter:
    """One of the chip's pulse counters (8, on the ESP32-S3 4), a unit of its own for each. Called, it returns how much
    it counted since the last call, 0 to 31999. It is never set to zero: an edge between reading and clearing would be
    lost."""

    _units = 0

    def __init__(self, **how):
        self.unit = esp32.PCNT(_Counter._units, **how)
        _Counter._units += 1
        self._last = 0
        self.unit.init(min=-_COUNTER_LIMIT, max=_COUNTER_LIMIT)  # there it begins at 0 again
        self.unit.start()

    def __call__(self):
        value = self.unit.value()
        counted = (value - self._last) % _COUNTER_LIMIT
        self._last = value
        return counted


def pulse_counter(signal):
    """A hardware counter of the rising edges on a signal, pulled up, glitches below 12 us left out: a function that
    returns how many there have been since its last call, 0 to 31999. None where MicroPython (before 1.26) or the chip
    (ESP32-C3) has none."""
    if not hasattr(esp32, "PCNT"):
        return None
    return _Counter(pin=machine.Pin(PINS[signal], machine.Pin.IN), rising=esp32.PCNT.INCREMENT, filter=1000)


def pulse_timer(signal):
    """A function (level, longest_us) that returns how long the signal's next pulse at `level` lasts, in microseconds;
    negative where there is none within `longest_us`. It waits in C."""
    pin = machine.Pin(PINS[signal], machine.Pin.IN, machine.Pin.PULL_UP)
    return lambda level, longest_us: machine.time_pulse_us(pin, level, longest_us)


def gated_clock(signal, active):
    """A hardware meter: both edges of a clock of 500 Hz on the board's signal `meter_clock`, counted while the motor's
    signal is at its active level, less one for each time that it becomes active: a run of 2.1 ms may see three edges.

    Returns a function: the milliseconds since its last call, modulo 32000. The motor's pin is left pulled up:
    `level_input` is called after it. Raises RuntimeError where MicroPython (before 1.26) or the chip has no pulse
    counter."""
    if not hasattr(esp32, "PCNT"):
        raise RuntimeError("driver hardware: this MicroPython or chip has no esp32.PCNT")
    modes = esp32.PCNT.HOLD, esp32.PCNT.NORMAL
    starts = esp32.PCNT.IGNORE, esp32.PCNT.DECREMENT
    clock = machine.Pin(PINS["meter_clock"])
    motor = machine.Pin(PINS[signal])
    counter = _Counter(
        pin=clock,
        rising=esp32.PCNT.INCREMENT,
        falling=esp32.PCNT.INCREMENT,
        mode_pin=motor,
        mode_low=modes[not active],
        mode_high=modes[active],
    )
    counter.unit.init(channel=1, pin=motor, rising=starts[active], falling=starts[not active])
    # After the counter, which makes its pins inputs; a PWM pin is both. The PWM divides 80 MHz by 2^n and a multiple of
    # 1/256: that gives exactly 500 Hz, but 998.4 where 1000 are asked for.
    machine.PWM(clock, freq=500, duty_u16=32768)
    return counter


def start_tick(period_ms, callback):
    """Call `callback(timer)` every `period_ms`, between the bytecodes of whatever runs. Returns the timer."""
    timer = machine.Timer(0)
    timer.init(period=period_ms, mode=machine.Timer.PERIODIC, callback=callback)
    return timer


def watchdog(timeout_ms):
    """Start the watchdog, or give it another limit: without `feed()` for `timeout_ms` the chip is reset. It cannot be
    stopped again."""
    return machine.WDT(timeout=timeout_ms)


def reset():
    """Start the chip anew. Does not return."""
    machine.reset()


def station():
    """The Wi-Fi station. It makes one attempt at a time: the link decides when to try again."""
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    wlan.config(reconnects=0)
    return wlan


def reset_cause():
    """Why the chip started: power, hard, watchdog, deepsleep, soft or other."""
    return _RESETS.get(machine.reset_cause(), "other")


def set_rtc(utc_s):
    """Set the chip's clock, by which TLS judges the dates of certificates; nothing else looks at it."""
    fields = time.gmtime(utc_s - (_EPOCH_2000_S if time.gmtime(0)[0] == 2000 else 0))
    machine.RTC().datetime((fields[0], fields[1], fields[2], fields[6], fields[3], fields[4], fields[5], 0))


class Backup:
    """Keeps a record in the NVS partition, which survives a reformat of the file system."""

    def __init__(self, key):
        self._nvs = esp32.NVS("wearmeter")
        self._key = key

    def load_into(self, buffer):
        """Bring the bytes kept into `buffer` and return how many; 0 where there are none, or they do not fit."""
        try:
            return self._nvs.get_blob(self._key, buffer)
        except OSError:
            return 0

    def save(self, data):
        """Keep `data`, at most 4096 bytes. Returns whether the flash took it."""
        try:
            self._nvs.set_blob(self._key, data)
            self._nvs.commit()
        except OSError:
            return False
        return True


def backup(key):
    """The backup copy of a record: "counts", "ledger", "product" or "config"."""
    return Backup(key)


def sealed():
    """Whether the console is sealed: see `make seal`."""
    try:
        return bool(esp32.NVS("wearmeter").get_i32("sealed"))
    except OSError:
        return False
