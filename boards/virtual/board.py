"""The virtual board: an ESP32 whose peripherals are software (see stand_ins/). The host puts it on the flash."""

from esp32_common import *  # noqa: F403
from esp32_common import use

NAME = "virtual"

PINS = {
    "suction_motor": 4,
    "brush_motor": 5,
    "motor_current": 34,
    "motor_speed": 21,
    "filter_button": 18,
    "brush_button": 19,
    "status_led": 2,
}

use(PINS)
