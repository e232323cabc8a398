"""ESP32-WROOM module with 4 MB of flash, as on the common development boards (DevKitC and its kin)."""

from esp32_common import *  # noqa: F403
from esp32_common import use

NAME = "esp32_generic"

# See pins.csv beside this file for the why of each.
PINS = {
    "suction_motor": 25,
    "brush_motor": 26,
    "motor_current": 34,
    "motor_speed": 27,
    "filter_button": 32,
    "brush_button": 33,
    "status_led": 2,
}

use(PINS)
