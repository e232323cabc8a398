"""`micropython` as on the ESP32: its schedule() puts callbacks into the queue that timers and interrupts use, its
kbd_intr() closes the terminal to Ctrl-C. boot.py puts it in that module's place."""

import world as _world
from micropython import *  # noqa: F403

_the = _world.the


def kbd_intr(character):
    """Whether Ctrl-C on the terminal interrupts. (The unix port's own would let it end the process.)"""
    _the.interruptible = character >= 0
    if _the.real:
        _the.hear_ctrl_c(_the.interruptible)


def schedule(function, argument):
    """Raises RuntimeError when the queue is full: here the caller is told, so that it counts as no dropped callback."""
    if not _the.scheduler.schedule(function, argument):
        raise RuntimeError("schedule queue full")
