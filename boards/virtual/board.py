"""The virtual board: an ESP32 whose peripherals are software (see stand_ins/). The host puts it on the flash."""

import esp32
import machine
import network
import ntptime

NAME = "virtual"

PINS = {
    "suction_motor": 4,
    "brush_motor": 5,
    "filter_button": 18,
    "brush_button": 19,
    "status_led": 2,
    "motor_current": 34,
}

_PULLS = {"up": machine.Pin.PULL_UP, "down": machine.Pin.PULL_DOWN, None: None}
_UTC_2000_S = 946_684_800
_NTP_TIMEOUT_S = 2
_BLOB_BYTES = 512


def device_id():
    """Lower-case hex of the chip's unique id."""
    return machine.unique_id().hex()


def level_input(signal, pull):
    """The Pin of an input; pull is "up", "down" or None."""
    return machine.Pin(PINS[signal], machine.Pin.IN, _PULLS[pull])


def analog_input(signal):
    """An object with read_u16(), 0..65535 for 0..3.1 V."""
    return machine.ADC(machine.Pin(PINS[signal]), atten=machine.ADC.ATTN_11DB)


def output(signal):
    return machine.Pin(PINS[signal], machine.Pin.OUT)


def start_tick(period_ms, callback):
    """A soft timer: the callback gets the Timer, and runs also while a socket call blocks."""
    return machine.Timer(0, mode=machine.Timer.PERIODIC, period=period_ms, callback=callback)


def watchdog(timeout_ms):
    return machine.WDT(timeout=timeout_ms)


def station():
    return network.WLAN(network.STA_IF)


class SecondHome:
    """A small record in NVS, which outlives the file system."""

    def __init__(self):
        self._nvs = esp32.NVS("wearmeter")

    def load(self):
        """The saved bytes, or None."""
        buffer = bytearray(_BLOB_BYTES)
        try:
            size = self._nvs.get_blob("ledger", buffer)
        except OSError:
            return None
        return bytes(memoryview(buffer)[:size])

    def save(self, data):
        """True once the bytes are in NVS, False where it has no room for them."""
        try:
            self._nvs.set_blob("ledger", data)
            self._nvs.commit()
        except OSError:
            return False
        return True


def second_home():
    return SecondHome()


def reset_cause():
    """One of "power", "watchdog", "soft", "crash", "other"."""
    cause = machine.reset_cause()
    if cause == machine.PWRON_RESET:
        return "power"
    if cause == machine.WDT_RESET:
        return "watchdog"
    if cause == machine.SOFT_RESET:
        return "soft"
    if cause == machine.HARD_RESET:
        return "crash"
    return "other"


def sync_ntp(host):
    """UTC in seconds since 1970 from an NTP server, or OSError within some seconds."""
    ntptime.host = host
    ntptime.timeout = _NTP_TIMEOUT_S
    return ntptime.time() + _UTC_2000_S
