"""MicroPython's scheduler as on the ESP32 (py/scheduler.c): one queue for soft timers, pin interrupts and
micropython.schedule.

It holds eight. What comes while it is full is dropped without a word to the program; it is counted here, and a run that
dropped a callback has failed unless its session says `"storm": true`. Each time C hands back to MicroPython at most one
Python callback runs, and none runs within another.
"""

import sys

QUEUE_DEPTH = 8  # MICROPY_SCHEDULER_DEPTH of the ESP32 port


class Scheduler:
    """charge(microseconds) is called before each callback with its `cost_us`."""

    def __init__(self, charge, cost_us):
        self.charge = charge
        self.cost_us = cost_us
        self.queue = []
        self.locked = 0
        self.dropped = 0

    def schedule(self, callback, argument):
        """Put a callback into the queue. False when the queue is full; the caller says whether that is a drop."""
        if len(self.queue) >= QUEUE_DEPTH:
            return False
        self.queue.append((callback, argument))
        return True

    def interrupt(self, callback, argument):
        """The same from an interrupt, where nobody can be told that the queue is full."""
        if not self.schedule(callback, argument):
            self.dropped += 1

    def hand_back(self):
        """C hands back: one callback runs, if there is one and none is running. Returns whether one ran."""
        if not self.queue or self.locked:
            return False
        callback, argument = self.queue.pop(0)
        self.locked += 1
        try:
            self.charge(self.cost_us)
            callback(argument)
        except Exception as error:  # as MicroPython does: printed, and the program goes on
            sys.print_exception(error)
        finally:
            self.locked -= 1
        return True
