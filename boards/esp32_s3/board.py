"""ESP32-S3 module with 8 MB of flash, as on the ESP32-S3-DevKitC-1."""

from esp32_common import *  # noqa: F403
from esp32_common import use

NAME = "esp32_s3"

# See pins.csv beside this file for the why of each.
PINS = {
    "suction_motor": 4,
    "brush_motor": 5,
    "motor_current": 1,
    "motor_speed": 6,
    "filter_button": 15,
    "brush_button": 16,
    "status_led": 48,
}

use(PINS)
