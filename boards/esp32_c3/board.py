"""ESP32-C3 module with 4 MB of flash, as on the ESP32-C3-DevKitM-1. One core, two timers, no pulse counter."""

from esp32_common import *  # noqa: F403
from esp32_common import use

NAME = "esp32_c3"

# See pins.csv beside this file for the why of each.
PINS = {
    "suction_motor": 4,
    "brush_motor": 5,
    "motor_current": 0,
    "motor_speed": 6,
    "filter_button": 7,
    "brush_button": 10,
    "status_led": 3,
}

use(PINS)
