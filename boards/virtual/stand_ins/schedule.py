"""`micropython` as on the ESP32: its schedule() puts callbacks into the queue that timers and interrupts use. boot.py
puts it in that module's place."""

import world as _world
from micropython import *  # noqa: F403

_the = _world.the


def schedule(function, argument):
    """Raises RuntimeError when the queue is full: here the caller is told, so that it counts as no dropped callback."""
    if not _the.scheduler.schedule(function, argument):
        raise RuntimeError("schedule queue full")
