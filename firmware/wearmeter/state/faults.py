"""What can be wrong, each with a bit that reaches the relay in every message. The relay has the names for people.

A *momentary* fault is raised and cleared with its cause. A *latched* one tells of something that happened once: it is
cleared as soon as the fault transition that reports it is in the queue.
"""

from micropython import const

COPY_DAMAGED = const(0x0001)  # latched: a copy of a record was unreadable; an older or the backup copy is in use
COUNTS_LOST = const(0x0002)  # latched: no copy was readable: counting began again at zero, in a new epoch
WRITE_FAILED = const(0x0004)  # latched: the flash refused a write
INPUT_STUCK = const(0x0008)  # an input was on for longer than any clean lasts; it is not counted until seen off
BUTTON_STUCK = const(0x0010)  # a button has been held for a minute
CONFIG_BAD = const(0x0020)  # the config or product is unusable; the last good one is in use
QUEUE_LOST = const(0x0040)  # latched: the ledger was unreadable or old; reports and replacements may be missing
CLOCK_REFUSED = const(0x0080)  # latched: a source told an impossible time
MESSAGE_REFUSED = const(0x0100)  # latched: a down message was not valid
INPUT_NOISY = const(0x0200)  # an input changes so often that it is not counted
CRASHED = const(0x0400)  # latched: the firmware ended by an error or the watchdog
SAFE_MODE = const(0x0800)  # it did so again and again: what crashes is left out
PART_MISSING = const(0x1000)  # the product no longer names a consumable that has counts; they are kept
FLASH_SLOW = const(0x2000)  # a save takes so long that a power cut may cost more than a second
SLOT_BACK = const(0x4000)  # latched: a firmware did not run; the one before, or another, is in use
INPUT_FAILED = const(0x8000)  # latched: an input's driver has raised an error; the detail names its signal

# The longest text for people in a report, in characters.
DETAIL_LENGTH = const(80)

_LATCHED = const(0xC5C7)


class Faults:
    """The faults of now (`bits`) and whether a transition waits to be reported (`changed`).

    A latched fault is told once until `forget`, so that nothing from outside can fill the queue by repeating it.
    """

    def __init__(self):
        self.bits = 0
        self.changed = False
        self.detail = None
        self._told = 0

    def raise_(self, bit, detail=None):
        """Raise a fault; `detail` is a short text for people, kept for the transition's report."""
        if not (self.bits | self._told) & bit:
            self.bits |= bit
            self.changed = True
            if detail is not None:
                self.detail = detail[:DETAIL_LENGTH]

    def set(self, bit, is_there):
        """Raise or clear a momentary fault."""
        if is_there:
            self.raise_(bit)
        elif self.bits & bit:
            self.bits &= ~bit
            self.changed = True

    def reported(self, bits):
        """The transition with these bits is in the queue: latched faults among them are done with."""
        latched = bits & _LATCHED
        self._told |= latched
        self.bits &= ~latched
        self.detail = None
        self.changed = self.bits != bits & ~_LATCHED

    def forget(self):
        """A day has passed: latched faults may be told again."""
        self._told = 0
