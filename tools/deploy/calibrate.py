"""`make calibrate`: finds the thresholds of a current-sense input by measuring the motor at rest and running."""

from __future__ import annotations

import math
from collections.abc import Callable

from tools.deploy.device import Device, DeviceError

# On the board: 1000 readings in about a second, which is whole cycles at 50 and at 60 Hz.
MEASURE = """
import json, time
import board
adc = board.analog_input(signal)
count, total, squares, low, high = 0, 0, 0, 65535, 0
began = time.ticks_us()
while time.ticks_diff(time.ticks_us(), began) < 1000000:
    raw = adc.read_u16()
    low, high = min(low, raw), max(high, raw)
    off = (raw >> 4) - 2048
    count += 1
    total += off
    squares += off * off
    time.sleep_us(800)
print(json.dumps([count, total, squares, low, high]))
"""
FIELDS = {"mains": ("on_rms", "off_rms"), "current": ("on_raw", "off_raw")}
CLIPPED = (16, 65520)


def measure(device: Device, signal: str, driver: str) -> tuple[float, bool]:
    """The level of a second in the driver's own unit, and whether the ADC was at its end. Raises DeviceError."""
    count, total, squares, low, high = device.ask(MEASURE, signal=signal)
    if count < 200:
        raise DeviceError(f"only {count} readings in a second: too few to measure by")
    mean = total / count
    if driver == "mains":
        return math.sqrt(max(0.0, squares / count - mean * mean)), low < CLIPPED[0] or high > CLIPPED[1]
    return (mean + 2048) * 16, high > CLIPPED[1]


def thresholds(rest: float, running: float, driver: str) -> tuple[int, int]:
    """On at four tenths of the way from rest to running, off at two. Raises DeviceError where they are too close."""
    if running < 2 * rest + (8 if driver == "mains" else 640):
        raise DeviceError(f"running ({running:.0f}) is too close to rest ({rest:.0f}): is the motor on and sensed?")
    return round(rest + 0.4 * (running - rest)), round(rest + 0.2 * (running - rest))


def calibrate(
    device: Device, signal: str, driver: str, tell: Callable[[str], None], ask: Callable[[str], str] = input
) -> dict[str, int]:
    """Measures twice, with the motor as it is asked for; returns the fields for the product file."""
    ask("Switch the motor off, then press Enter: ")
    rest, _ = measure(device, signal, driver)
    ask("Switch the motor on, at its lowest power, then press Enter: ")
    running, clipped = measure(device, signal, driver)
    device.reset()
    tell(f"{signal}: {rest:.1f} at rest, {running:.1f} running")
    if clipped:
        tell("the signal reaches the end of the ADC's range: a smaller burden resistor would show it whole")
    return dict(zip(FIELDS[driver], thresholds(rest, running, driver), strict=True))
