"""`gc` as on the ESP32: a collection takes time. boot.py puts it in that module's place."""

import gc as _pc
import world as _world
from gc import *  # noqa: F403

_the = _world.the


def collect():
    _the.look()
    _the.collected()
    return _pc.collect()
