"""The messages that the relay has not yet acknowledged, as bytes in the ledger's own record.

    queue = Queue(buffer, start, end)
    queue.add(wire.REPORT, epoch, sequence, moment, faults, tail)
    entry = queue.first()                 # send it, keep it
    queue.acknowledge(epoch, sequence)    # the relay has stored it: now it may go

Nothing here is in flash until the ledger is saved. Entries stand one after the other in the buffer and are changed in
place, so a change makes no copy of the queue. The queue is bounded in bytes: when it is full, the oldest two
neighbouring reports coalesce into one (the newer: totals are absolute), which from then on stands for both sequences.
Replacements and fault transitions never go. The newest replacement of each part stays after its acknowledgment, as
`told`, for a relay that has lost it.
"""

import struct

from micropython import const

from wearmeter.exchange import wire

# size, kind, told, epoch, sequence, not_before, not_after, uptime_s, merged, faults; the tail follows, CBOR as sent
_HEAD = "<BBBIIIIIHH"
_HEAD_BYTES = const(27)
_SIZE_AT = const(0)
_KIND_AT = const(1)
_TOLD_AT = const(2)
_MOST_BYTES = const(255)
# Only what does not coalesce can push the queue past this mark, up to the end of the buffer.
LIMIT_BYTES = const(1536)
NO_UPTIME = const(0xFFFFFFFF)
_MOST_MERGED = const(0xFFFF)


class Full(Exception):
    """The queue has no room left, and nothing in it coalesces."""


class Entry:
    """A message as it stands in the queue at byte `at`.

    `not_before`, `not_after`: bounds of its moment in UTC seconds, 0 unknown, equal when exact. `uptime_s`: that moment
    in this boot, None where it was in an earlier one. `merged`: how many sequences directly before it it stands for.
    `tail`: the CBOR of the fields that follow the common ones. `part`: of a replacement, the part's id.
    """

    def __init__(self, buffer, at):
        (
            self.size,
            self.kind,
            self.told,
            self.epoch,
            self.sequence,
            self.not_before,
            self.not_after,
            uptime_s,
            self.merged,
            self.faults,
        ) = struct.unpack_from(_HEAD, buffer, at)
        self.at = at
        self.uptime_s = None if uptime_s == NO_UPTIME else uptime_s
        self.tail = bytes(buffer[at + _HEAD_BYTES : at + self.size])

    @property
    def part(self):
        return wire.first_number(self.tail)

    def write(self, buffer):
        """Put the changed head back."""
        uptime_s = NO_UPTIME if self.uptime_s is None else self.uptime_s
        struct.pack_into(
            _HEAD,
            buffer,
            self.at,
            self.size,
            self.kind,
            self.told,
            self.epoch,
            self.sequence,
            self.not_before,
            self.not_after,
            uptime_s,
            self.merged,
            self.faults,
        )


class Queue:
    """The entries in `buffer` (a memoryview) between its bytes `start` and `end`."""

    def __init__(self, buffer, start, end):
        self._buffer = buffer
        self._start = start
        self._limit = end
        self.end = start

    def restore(self, end):
        """The buffer holds entries up to `end`, from an earlier boot or the last save. Returns False if it does not."""
        at = self._start
        while at < end:
            size = self._buffer[at + _SIZE_AT]
            if size < _HEAD_BYTES or at + size > end:
                return False
            at += size
        self.end = end
        return True

    def __len__(self):
        """How many messages wait for the relay."""
        return sum([1 for at in self._places() if not self._buffer[at + _TOLD_AT]])

    def _places(self):
        at = self._start
        while at < self.end:
            yield at
            at += self._buffer[at + _SIZE_AT]

    def entries(self):
        """Yield all entries, oldest first, those of acknowledged replacements (`told`) among them."""
        for at in self._places():
            yield Entry(self._buffer, at)

    def first(self):
        """Return the oldest message that waits, or None."""
        for at in self._places():
            if not self._buffer[at + _TOLD_AT]:
                return Entry(self._buffer, at)
        return None

    def waits(self, kind):
        """Whether a message of this kind waits."""
        for at in self._places():
            if self._buffer[at + _KIND_AT] == kind and not self._buffer[at + _TOLD_AT]:
                return True
        return False

    def add(self, kind, epoch, sequence, moment, faults, tail, merged=0):
        """Append a message. `moment` is (not_before, not_after, uptime_s). Raises Full."""
        size = _HEAD_BYTES + len(tail)
        if size > _MOST_BYTES:
            raise Full()
        while self.end + size > min(self._start + LIMIT_BYTES, self._limit) and self._coalesce():
            pass
        at = self.end
        if at + size > self._limit:
            raise Full()
        not_before, not_after, uptime_s = moment
        struct.pack_into(
            _HEAD, self._buffer, at, size, kind, 0, epoch, sequence, not_before, not_after, uptime_s, merged, faults
        )
        self._buffer[at + _HEAD_BYTES : at + size] = tail
        self.end = at + size

    def acknowledge(self, epoch, sequence):
        """The relay has stored (epoch, sequence). Returns whether a message was done with."""
        for entry in self.entries():
            if entry.sequence == sequence and entry.epoch == epoch and not entry.told:
                self._done(entry)
                return True
        return False

    def acknowledge_up_to(self, epoch, sequence):
        """The relay lacks nothing of `epoch` up to `sequence`. Returns whether a message was done with."""
        changed = False
        at = self._start
        while at < self.end:
            entry = Entry(self._buffer, at)
            before = self.end
            if entry.epoch == epoch and entry.sequence <= sequence and not entry.told:
                self._done(entry)
                changed = True
            if self.end == before:
                at += entry.size
            elif at > self._start:
                at = self._start  # What was removed may have stood before this place.
        return changed

    def tell_again(self, epoch, have_sequence):
        """Acknowledged replacements of `epoch` after `have_sequence` wait again. Returns whether there were any."""
        changed = False
        for entry in self.entries():
            if entry.told and entry.epoch == epoch and entry.sequence > have_sequence:
                entry.told = 0
                entry.write(self._buffer)
                changed = True
        return changed

    def lowest(self, epoch, otherwise):
        """Return the lowest sequence of `epoch` that a waiting message stands for."""
        for entry in self.entries():
            if entry.epoch == epoch and not entry.told:
                otherwise = min(otherwise, entry.sequence - entry.merged)
        return otherwise

    def renumber(self, epoch, sequence):
        """Give every waiting message of `epoch` a new sequence from `sequence` on. Returns the next free one."""
        for entry in self.entries():
            if entry.epoch == epoch and not entry.told:
                entry.sequence = sequence
                entry.merged = 0
                entry.write(self._buffer)
                sequence += 1
        return sequence

    def resolve(self, boot_utc_s):
        """The time is known now, or better than before: this boot began at `boot_utc_s`. Messages of this boot get
        their moment, those of earlier boots an upper bound. Returns whether anything changed."""
        changed = False
        for entry in self.entries():
            bounds = resolved(entry, boot_utc_s)
            if bounds != (entry.not_before, entry.not_after):
                entry.not_before, entry.not_after = bounds
                entry.write(self._buffer)
                changed = True
        return changed

    def forget_uptimes(self):
        """A new boot: no message's moment is of this one."""
        for entry in self.entries():
            entry.uptime_s = None
            entry.write(self._buffer)

    def _done(self, entry):
        if entry.kind != wire.REPLACEMENT:
            return self._remove(entry.at, entry.size)
        entry.told = 1
        entry.write(self._buffer)
        for older in self.entries():
            if older.at != entry.at and older.told and older.part == entry.part:
                return self._remove(older.at, older.size)

    def _remove(self, at, size):
        buffer = self._buffer
        buffer[at : self.end - size] = buffer[at + size : self.end]
        self.end -= size

    def _coalesce(self):
        older = None
        for entry in self.entries():
            if entry.told:
                continue
            if older and older.kind == entry.kind == wire.REPORT and older.epoch == entry.epoch:
                merged = entry.merged + older.merged + 1
                if entry.sequence - entry.merged == older.sequence + 1 and merged <= _MOST_MERGED:
                    entry.merged = merged
                    entry.write(self._buffer)
                    self._remove(older.at, older.size)
                    return True
            older = entry
        return False


def resolved(item, boot_utc_s):
    """Return the bounds of the moment of `item` (an Entry or a Replacement) once this boot is known to have begun at
    `boot_utc_s`."""
    if item.uptime_s is not None:
        utc_s = boot_utc_s + item.uptime_s
        return utc_s, utc_s
    if not item.not_after:
        return item.not_before, max(boot_utc_s, item.not_before)
    return item.not_before, item.not_after
