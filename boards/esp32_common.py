"""What all boards of the ESP32 family share: the peripherals of MicroPython's ESP32 port, 1.25 and newer.

A board's own board.py says which pins it has and takes the rest from here:

    from esp32_common import *
    from esp32_common import use

    NAME = "my_board"
    PINS = {"suction_motor": 25, ...}  # signal, as a product file speaks of it -> GPIO
    use(PINS)

These two files are the only ones that know the chip. boards/README.md lists the names that make up a board.
"""

import binascii
import time

import esp32
import machine
import network
import ntptime

_EPOCH_2000_S = 946684800
_NOT_FOUND = -0x1102  # ESP_ERR_NVS_NOT_FOUND
_MOST_BYTES = 4096
_RESETS = {
    machine.PWRON_RESET: "power",
    machine.HARD_RESET: "hard",  # reset() of this file, the maker's, or a panic of the chip's own code
    machine.WDT_RESET: "watchdog",
    machine.DEEPSLEEP_RESET: "deepsleep",
    machine.SOFT_RESET: "soft",
}
_pins: "dict[str, int]" = {}
_PULLS = {"up": machine.Pin.PULL_UP, "down": machine.Pin.PULL_DOWN}


def use(pins):
    """These are the board's pins. Called once, by its board.py."""
    _pins.update(pins)


def device_id():
    """The chip's unique id as lower-case hex."""
    return binascii.hexlify(machine.unique_id()).decode()


def level_input(signal, pull):
    """The input pin of a signal, pulled "up" or "down"."""
    return machine.Pin(_pins[signal], machine.Pin.IN, _PULLS[pull])


def analog_input(signal):
    """The ADC of a signal: `read_u16()` gives 0 to 65535 for 0 to about 3.1 V."""
    return machine.ADC(machine.Pin(_pins[signal]), atten=machine.ADC.ATTN_11DB)


def output(signal):
    """The output pin of a signal."""
    return machine.Pin(_pins[signal], machine.Pin.OUT)


def pixel(signal):
    """One NeoPixel (WS2812) on a signal: a function that shows (red, green, blue), 0 to 255 each."""
    pin = machine.Pin(_pins[signal], machine.Pin.OUT)
    order = bytearray(3)

    def show(color):
        order[0], order[1], order[2] = color[1], color[0], color[2]
        machine.bitstream(pin, 0, (400, 850, 800, 450), order)

    return show


def pulse_counter(signal):
    """A hardware counter of the rising edges on a signal, glitches below 12 us left out: a function that returns how
    many there have been since its last call, 0 to 32000. None where MicroPython (before 1.26) or the chip (ESP32-C3)
    has none."""
    if not hasattr(esp32, "PCNT"):
        return None
    counter = esp32.PCNT(0, pin=machine.Pin(_pins[signal], machine.Pin.IN), rising=1, filter=1000)
    counter.init(min=-32000, max=32000)
    counter.start()
    # Reading and clearing are two steps: an edge between them is lost, one in the hundreds of a tick.
    return lambda: max(0, counter.value(0))


def start_tick(period_ms, callback, number=0):
    """Call `callback(timer)` every `period_ms`, also while the caller waits in a socket. Returns the timer.

    `number` 1 is a second timer, for drivers that sample faster than the tick.
    """
    timer = machine.Timer(number)
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


def sync_ntp(host):
    """Ask an NTP server and return UTC seconds since 1970. Raises OSError. Waits at most 1 s, and for the name."""
    ntptime.host = host
    seconds = ntptime.time()
    # The port's epoch is 2000; a build that uses 1970 says so by its own gmtime.
    return seconds + (_EPOCH_2000_S if time.gmtime(0)[0] == 2000 else 0)


def set_rtc(utc_s):
    """Set the chip's clock, by which TLS judges the dates of certificates; nothing else looks at it."""
    fields = time.gmtime(utc_s - (_EPOCH_2000_S if time.gmtime(0)[0] == 2000 else 0))
    machine.RTC().datetime((fields[0], fields[1], fields[2], fields[6], fields[3], fields[4], fields[5], 0))


class SecondHome:
    """Keeps a record in the NVS partition, which survives a reformat of the file system."""

    def __init__(self, key):
        self._nvs = esp32.NVS("wearmeter")
        self._key = key

    def load(self):
        """Return the bytes kept, or None."""
        size = 256
        while size <= _MOST_BYTES:
            buffer = bytearray(size)
            try:
                return bytes(memoryview(buffer)[: self._nvs.get_blob(self._key, buffer)])
            except OSError as error:
                if error.args[0] == _NOT_FOUND:
                    break
            size *= 2  # No larger piece of the heap than it takes: after a while there may be none.
        return None

    def save(self, data):
        """Keep `data`, at most 4096 bytes. Returns whether the flash took it."""
        try:
            self._nvs.set_blob(self._key, data)
            self._nvs.commit()
        except OSError:
            return False
        return True


def second_home(key="ledger"):
    """The second home of a record: "ledger", "product" or "config"."""
    return SecondHome(key)
