"""What can be wrong, each with a bit that reaches the relay in every message. The relay has the names for people.

A *lasting* fault is raised and cleared with its cause. A *passing* one tells of something that happened once: it is
cleared as soon as the fault transition that reports it is in the outbox.
"""

from micropython import const

COPY_DAMAGED = const(0x0001)  # a copy of the ledger was unreadable; an older or second one is in use
LEDGER_LOST = const(0x0002)  # no copy was readable: counting began again at zero, in a new epoch
WRITE_FAILED = const(0x0004)  # the flash refused a write
INPUT_STUCK = const(0x0008)  # an input was on for longer than any clean lasts; it is not counted until seen off
BUTTON_STUCK = const(0x0010)  # a button has been held for a minute
CONFIG_BAD = const(0x0020)  # config.json or product.json is unusable; the last good one is in use
OUTBOX_LOST = const(0x0040)  # the queue was unreadable; reports and replacements in it may be missing
CLOCK_REFUSED = const(0x0080)  # a source told an impossible time
MESSAGE_REFUSED = const(0x0100)  # a down message was not valid
INPUT_NOISY = const(0x0200)  # an input changed so often that its interrupt was switched off for a while
CRASHED = const(0x0400)  # the firmware ended by an error or the watchdog
SAFE_MODE = const(0x0800)  # it did so again and again: only counting and reporting run

_PASSING = const(0x05C7)


class Faults:
    """The faults of now (`bits`) and whether a transition waits to be reported (`changed`).

    `raise_` and `clear` may be called from the tick. A passing fault is told once until `forget`, so that nothing from
    outside can fill the outbox by repeating it.
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
                self.detail = detail

    def clear(self, bit):
        """Clear a fault whose cause has gone."""
        if self.bits & bit:
            self.bits &= ~bit
            self.changed = True

    def set(self, bit, is_there):
        """Raise or clear a lasting fault."""
        if is_there:
            self.raise_(bit)
        else:
            self.clear(bit)

    def reported(self, bits):
        """The transition with these bits is in the outbox: passing faults among them are done with."""
        passing = bits & _PASSING
        self._told |= passing
        self.bits &= ~passing
        self.detail = None
        self.changed = self.bits != bits & ~_PASSING

    def forget(self):
        """A day has passed: passing faults may be told again."""
        self._told = 0
