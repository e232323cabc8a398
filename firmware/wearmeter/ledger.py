"""Owns the consumables: how long each has run, which generation is fitted, and the owner's ten minutes to undo.

For each consumable:

    used time of the fitted part = lifetime_ms - at_replacement_ms

`lifetime_ms` only grows, for ever. `generation` is 1 + the number of replacements that were not undone.
The whole ledger is one record of at most 113 bytes when no replacement can be undone (17 + 12 for each consumable),
which littlefs keeps inline: see store.py.
"""

import struct

from micropython import const

UNDO_S = const(600)
MAX_CONSUMABLES = const(8)
_HEAD = "<IIIIB"
_PART = "<BIBIH"
_PENDING = "<BBIHIII"
_HEAD_BYTES = const(17)
_PART_BYTES = const(12)
_PENDING_BYTES = const(20)


class Consumable:
    """The counts of one wearing part. All times in milliseconds of running time."""

    def __init__(self):
        self.saved_ms = 0  # lifetime as of the last checkpoint
        self.unsaved_ms = 0  # ran since; small, so that the tick allocates nothing
        self.at_replacement_ms = 0
        self.generation = 1
        self.replacement = None  # the newest replacement while it isn't in the outbox

    @property
    def lifetime_ms(self):
        return self.saved_ms + self.unsaved_ms

    @property
    def used_ms(self):
        return self.lifetime_ms - self.at_replacement_ms


class Replacement:
    """A replacement that can still be undone, or waits to enter the outbox.

    `left_s`: powered seconds in which it can be undone, 0 when that is over. `not_before`, `not_after`: bounds of its
    moment in UTC seconds, 0 where unknown, equal when exact. `uptime_s`: that moment in this boot, None after a
    restart. `source`: 0 for the button, else the number of the relay's command.
    """

    def __init__(self, previous_ms, left_s, not_before, not_after, source, uptime_s):
        self.previous_ms = previous_ms  # at_replacement_ms before it
        self.left_s = left_s
        self.not_before = not_before
        self.not_after = not_after
        self.source = source
        self.uptime_s = uptime_s


def _split(value_ms):
    return value_ms >> 32, value_ms & 0xFFFFFFFF


class Ledger:
    """The consumables of one device.

    Only the tick changes counts and replacements. `dirty` says that something worth a checkpoint has changed besides
    running time, `unsaved_ms` how much running time (the most of any consumable) a power cut would now lose.
    """

    def __init__(self, count):
        self.consumables = [Consumable() for _ in range(count)]
        self.epoch = 0
        self.next_sequence = 1  # a floor for the outbox, should it be lost
        self.last_command = 0
        self.utc_floor_s = 0  # the newest time known to have passed
        self.unsaved_ms = 0
        self.dirty = False

    def add(self, index, ran_ms):
        """Consumable `index` ran for `ran_ms` more."""
        part = self.consumables[index]
        part.unsaved_ms += ran_ms
        if part.unsaved_ms > self.unsaved_ms:
            self.unsaved_ms = part.unsaved_ms

    def replace(self, index, source, not_before, not_after, uptime_s):
        """A new part is fitted. Returns False while the one before has not yet reached the outbox."""
        part = self.consumables[index]
        if part.replacement is not None or part.generation >= 0xFFFF:
            return False
        part.replacement = Replacement(part.at_replacement_ms, UNDO_S, not_before, not_after, source, uptime_s)
        part.at_replacement_ms = part.lifetime_ms
        part.generation += 1
        self.dirty = True
        return True

    def undo(self, index):
        """Take the newest replacement back. Returns False where there is none, or its ten minutes are over."""
        part = self.consumables[index]
        replacement = part.replacement
        if replacement is None or not replacement.left_s:
            return False
        part.at_replacement_ms = replacement.previous_ms
        part.generation -= 1
        part.replacement = None
        self.dirty = True
        return True

    def pass_seconds(self, seconds):
        """So many powered seconds have passed: the time in which replacements can be undone runs down."""
        for part in self.consumables:
            replacement = part.replacement
            if replacement is not None and replacement.left_s:
                replacement.left_s = max(0, replacement.left_s - seconds)
                if not replacement.left_s or not replacement.left_s % 60:
                    self.dirty = True

    def encode(self):
        """Return the record. What it holds counts as saved once the caller says `saved`."""
        parts = self.consumables
        out = struct.pack(_HEAD, self.epoch, self.next_sequence, self.last_command, self.utc_floor_s, len(parts))
        for part in parts:
            high, low = _split(part.lifetime_ms)
            at_high, at_low = _split(part.at_replacement_ms)
            out += struct.pack(_PART, high, low, at_high, at_low, part.generation)
        for index, part in enumerate(parts):
            kept = part.replacement
            if kept is not None:
                high, low = _split(kept.previous_ms)
                out += struct.pack(
                    _PENDING, index, high, low, kept.left_s, kept.not_before, kept.not_after, kept.source
                )
        return out

    def saved(self):
        """The record just encoded is in flash."""
        for part in self.consumables:
            part.saved_ms += part.unsaved_ms
            part.unsaved_ms = 0
        self.unsaved_ms = 0
        self.dirty = False

    def restore(self, record):
        """Take the state from `record`, of which `is_valid` holds.

        A product that has gained consumables since starts the new ones at zero; one that has lost some drops the last.
        """
        self.epoch, self.next_sequence, self.last_command, self.utc_floor_s, count = struct.unpack_from(_HEAD, record)
        own = len(self.consumables)
        at = _HEAD_BYTES
        for index in range(count):
            if index < own:
                part = self.consumables[index]
                high, low, at_high, at_low, part.generation = struct.unpack_from(_PART, record, at)
                part.saved_ms = high << 32 | low
                part.at_replacement_ms = at_high << 32 | at_low
                part.unsaved_ms = 0
                part.replacement = None
            at += _PART_BYTES
        while at < len(record):
            index, high, low, left_s, not_before, not_after, source = struct.unpack_from(_PENDING, record, at)
            at += _PENDING_BYTES
            if index < own:
                self.consumables[index].replacement = Replacement(
                    high << 32 | low, left_s, not_before, not_after, source, None
                )
        self.unsaved_ms = 0
        self.dirty = False


def is_valid(record):
    """Whether `record` is a ledger whose numbers can be true: no part used longer than its lifetime, none at
    generation 0, each open replacement at a part that has one."""
    if len(record) < _HEAD_BYTES:
        return False
    epoch, sequence, _, _, count = struct.unpack_from(_HEAD, record)
    rest = len(record) - _HEAD_BYTES - count * _PART_BYTES
    if not epoch or not sequence or not 1 <= count <= MAX_CONSUMABLES or rest < 0 or rest % _PENDING_BYTES:
        return False
    at = _HEAD_BYTES
    generations = []
    replaced = []
    for _ in range(count):
        high, low, at_high, at_low, generation = struct.unpack_from(_PART, record, at)
        at += _PART_BYTES
        if not generation or (at_high, at_low) > (high, low):
            return False
        generations.append(generation)
        replaced.append((at_high, at_low))
    seen = 0
    while at < len(record):
        index, high, low, left_s, _, _, _ = struct.unpack_from(_PENDING, record, at)
        at += _PENDING_BYTES
        if index >= count or seen >> index & 1 or generations[index] < 2 or left_s > UNDO_S:
            return False
        if (high, low) > replaced[index]:
            return False
        seen |= 1 << index
    return True
