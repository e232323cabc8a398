"""ESP32-WROOM module with 4 MB of flash, as on the common development boards. The only module that knows the chip.

Every board module has the same names, see boards/README.md. Signals are what a product file speaks of; PINS says which
GPIO each of them is.
"""

import binascii
import time

import esp32
import machine
import network
import ntptime

NAME = "esp32_generic"

# ADC readings need a GPIO of ADC1 (32 to 39): ADC2 belongs to the Wi-Fi.
PINS = {
    "suction_motor": 25,
    "brush_motor": 26,
    "motor_current": 34,
    "filter_button": 32,
    "brush_button": 33,
    "status_led": 2,
}

_EPOCH_2000_S = 946684800
_RESETS = {
    machine.PWRON_RESET: "power",
    machine.HARD_RESET: "hard",
    machine.WDT_RESET: "watchdog",
    machine.DEEPSLEEP_RESET: "deepsleep",
    machine.SOFT_RESET: "soft",
}
_PULLS = {"up": machine.Pin.PULL_UP, "down": machine.Pin.PULL_DOWN}


def device_id():
    """The chip's unique id as lower-case hex."""
    return binascii.hexlify(machine.unique_id()).decode()


def level_input(signal, pull):
    """The input pin of a signal, pulled "up" or "down"."""
    return machine.Pin(PINS[signal], machine.Pin.IN, _PULLS[pull])


def analog_input(signal):
    """The ADC of a signal, 0 to about 3.1 V."""
    return machine.ADC(machine.Pin(PINS[signal]), atten=machine.ADC.ATTN_11DB)


def output(signal):
    """The output pin of a signal."""
    return machine.Pin(PINS[signal], machine.Pin.OUT)


def start_tick(period_ms, callback):
    """Call `callback(timer)` every `period_ms`, also while the caller waits in a socket. Returns the timer."""
    timer = machine.Timer(0)
    timer.init(period=period_ms, mode=machine.Timer.PERIODIC, callback=callback)
    return timer


def watchdog(timeout_ms):
    """Start the watchdog: without `feed()` for `timeout_ms` the chip is reset. It cannot be stopped again."""
    return machine.WDT(timeout=timeout_ms)


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


class SecondHome:
    """Keeps a record in the NVS partition, which survives a reformat of the file system."""

    def __init__(self):
        self._nvs = esp32.NVS("wearmeter")
        self._buffer = bytearray(256)

    def load(self):
        """Return the bytes kept, or None."""
        try:
            size = self._nvs.get_blob("ledger", self._buffer)
        except OSError:
            return None
        return bytes(self._buffer[:size])

    def save(self, data):
        """Keep `data`, at most 256 bytes. Returns whether the flash took it."""
        try:
            self._nvs.set_blob("ledger", data)
            self._nvs.commit()
        except OSError:
            return False
        return True


def second_home():
    """The second home of the ledger."""
    return SecondHome()
