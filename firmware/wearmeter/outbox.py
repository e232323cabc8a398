"""The durable queue of what the relay has not yet acknowledged.

    outbox = Outbox(store, count)
    outbox.load(epoch, sequence_floor)
    outbox.add(wire.REPORT, tail, time, faults)
    entry = outbox.first()                 # send it, keep it
    outbox.acknowledge(epoch, sequence)    # the relay has stored it: now it may go

Every change is in flash before the call returns True; where the flash refuses, the call returns False and nothing has
changed. The queue is bounded in bytes: when it is full, the oldest two neighbouring reports become one (the newer:
totals are absolute), which from then on stands for both sequences. Replacements and fault transitions never go.
"""

from micropython import const

from wearmeter import cbor, wire

_FORMAT = const(1)
_SKIP = const(64)
LIMIT_BYTES = const(1536)
# Only what may not be merged can push the queue past the limit, up to here; then nothing more is accepted.
HARD_LIMIT_BYTES = const(3072)

# An entry is a list, as in the record: kind, epoch, sequence, not_before, not_after, faults, merged, tail.
KIND = const(0)
EPOCH = const(1)
SEQUENCE = const(2)
NOT_BEFORE = const(3)
NOT_AFTER = const(4)
FAULTS = const(5)
MERGED = const(6)
TAIL = const(7)
_FIELDS = const(8)


def is_valid(payload):
    """Whether `payload` is an outbox record of this format."""
    try:
        _parse(payload)
    except ValueError:
        return False
    return True


def _parse(payload):
    state = cbor.decode(payload)
    if not isinstance(state, list) or len(state) != 7 or state[0] != _FORMAT:
        raise ValueError("not an outbox")
    for entry in state[5] + state[6]:
        if not isinstance(entry, list) or len(entry) != _FIELDS or not isinstance(entry[TAIL], list):
            raise ValueError("not an entry")
        for field in entry[:TAIL]:
            if type(field) is not int or field < 0:
                raise ValueError("not an entry")
    for field in state[1:4]:
        if type(field) is not int or field < 0:
            raise ValueError("not an outbox")
    return state


def message(entry, now_s=None):
    """Return the up message of an entry, as bytes for the wire.

    A moment later than `now_s` (UTC seconds, None while unknown) is that of a clock that was wrong: it is left out.
    """
    not_before, not_after = [0 if now_s and utc_s > now_s else utc_s for utc_s in entry[NOT_BEFORE:FAULTS]]
    tail = entry[TAIL]
    if entry[MERGED]:
        tail = tail + [entry[MERGED]]
    return wire.up(
        entry[KIND],
        entry[EPOCH],
        entry[SEQUENCE],
        wire.time_of(not_before, not_after),
        entry[FAULTS],
        tail,
    )


class Outbox:
    """The queue of one device with `count` consumables, kept in a `Store`.

    `released` holds, for each consumable, the newest generation whose replacement has entered the queue; `history` the
    newest replacement of each, kept after its acknowledgment for a relay that has lost it.
    """

    def __init__(self, store, count):
        self._store = store
        self._count = count
        self._uptimes = {}  # sequence -> uptime_s, for entries of this boot
        self.epoch = 0
        self.next_sequence = 1
        self.foreign = False
        self.last_period = 0
        self.released = [1] * count
        self.entries = []
        self.history = []

    def load(self, epoch, sequence_floor, generations):
        """Read the queue. Returns False if one that was there is lost, or only an older copy of it is left.

        `epoch` and `sequence_floor` are the ledger's; `generations` those it knows to have entered the queue, for
        where the queue itself was lost. Entries of an earlier epoch stay: they are still true. `foreign` says that
        there was one of an epoch that the ledger doesn't know.
        """
        payload = self._store.load(is_valid)
        lost = self._store.damaged > 0 or (payload is None and sequence_floor > 1)
        self.epoch = epoch
        self.next_sequence = sequence_floor
        self.released = list(generations)
        if payload is not None:
            state = _parse(payload)
            self.foreign = state[1] != epoch
            if not self.foreign:
                self.next_sequence = max(state[2], sequence_floor)
                self.released[: len(state[4])] = state[4][: self._count]
            self.last_period, self.entries, self.history = state[3], state[5], state[6]
        if lost:
            # Sequences made after the last floor or copy that is left must not be used again.
            self.next_sequence += _SKIP
        return not lost

    def add(self, kind, tail, not_before, not_after, faults, uptime_s=None, merged=0):
        """Queue a message and return its sequence, or None if the flash or the bound refuses it.

        The moment is given by its bounds in UTC seconds (0 unknown, equal exact); `uptime_s` lets a later `resolve`
        make it exact, or right.
        """
        before = self._snapshot()
        entry = [kind, self.epoch, self.next_sequence, not_before, not_after, faults, merged, tail]
        self.entries.append(entry)
        self.next_sequence += 1
        if not self._fit() or not self._save():
            self._back_to(before)
            return None
        if uptime_s is not None:
            self._uptimes[entry[SEQUENCE]] = uptime_s
        return entry[SEQUENCE]

    def add_report(self, tail, not_before, not_after, faults, uptime_s, period, merged=0):
        """Queue the report of a period (see schedule.py); as `add`. In the same write the period is done."""
        before = self.last_period
        self.last_period = period
        sequence = self.add(wire.REPORT, tail, not_before, not_after, faults, uptime_s, merged)
        if sequence is None:
            self.last_period = before
        return sequence

    def add_replacement(self, index, generation, tail, not_before, not_after, faults, uptime_s):
        """Queue a replacement that can no longer be undone; as `add`. In the same write it becomes `released`."""
        before = self.released[index]
        self.released[index] = generation
        sequence = self.add(wire.REPLACEMENT, tail, not_before, not_after, faults, uptime_s)
        if sequence is None:
            self.released[index] = before
        return sequence

    def first(self):
        """Return the oldest entry, or None."""
        return self.entries[0] if self.entries else None

    def acknowledge(self, epoch, sequence):
        """The relay has stored (epoch, sequence). Returns whether an entry left the queue for that."""
        for at, entry in enumerate(self.entries):
            if entry[SEQUENCE] == sequence and entry[EPOCH] == epoch:
                return self._drop([at])
        return False

    def acknowledge_up_to(self, epoch, sequence):
        """The relay lacks nothing of `epoch` up to `sequence`. Returns whether an entry left the queue for that."""
        done = [at for at, entry in enumerate(self.entries) if entry[EPOCH] == epoch and entry[SEQUENCE] <= sequence]
        return self._drop(done) if done else False

    def requeue_history(self, have_sequence):
        """Queue again, under their own sequences, the replacements that a relay with only `have_sequence` lacks."""
        queued = [(entry[EPOCH], entry[SEQUENCE]) for entry in self.entries]
        again = [
            entry
            for entry in self.history
            if entry[EPOCH] == self.epoch
            and entry[SEQUENCE] > have_sequence
            and (entry[EPOCH], entry[SEQUENCE]) not in queued
        ]
        if not again:
            return False
        before = self._snapshot()
        self.entries = sorted(again + self.entries, key=_order)
        if not self._save():
            self._back_to(before)
            return False
        return True

    def resolve(self, boot_utc_s):
        """The time is known now, or better than before: this boot began at `boot_utc_s`. Entries of this boot get their
        moment, those of earlier boots an upper bound. Returns whether anything changed."""
        before = self._snapshot()
        changed = False
        for entry in self.entries:
            uptime_s = self._uptimes.get(entry[SEQUENCE]) if entry[EPOCH] == self.epoch else None
            if uptime_s is not None:
                changed = changed or entry[NOT_AFTER] != boot_utc_s + uptime_s
                entry[NOT_BEFORE] = entry[NOT_AFTER] = boot_utc_s + uptime_s
            elif not entry[NOT_AFTER]:
                entry[NOT_AFTER] = max(boot_utc_s, entry[NOT_BEFORE])
                changed = True
        if changed and not self._save():
            self._back_to(before)
            return False
        return changed

    def renumber(self, sequence):
        """Give everything queued in this epoch new sequences from `sequence` on. Returns whether that is in flash."""
        before = self._snapshot()
        uptimes = {}
        for entry in self.entries:
            if entry[EPOCH] == self.epoch:
                uptime_s = self._uptimes.get(entry[SEQUENCE])
                if uptime_s is not None:
                    uptimes[sequence] = uptime_s
                entry[SEQUENCE] = sequence
                entry[MERGED] = 0
                sequence += 1
        self.next_sequence = sequence
        if not self._save():
            self._back_to(before)
            return False
        self._uptimes = uptimes
        return True

    def set_last_period(self, period):
        """Note that no report is due before the period after this one."""
        before = self._snapshot()
        self.last_period = period
        if not self._save():
            self._back_to(before)

    def size_bytes(self):
        """The bytes that the queue takes in flash."""
        return len(self._encode())

    def _encode(self):
        return cbor.encode(
            [_FORMAT, self.epoch, self.next_sequence, self.last_period, self.released, self.entries, self.history]
        )

    def _save(self):
        return self._store.save(self._encode())

    def _snapshot(self):
        return self.next_sequence, [list(entry) for entry in self.entries], list(self.history), self.last_period

    def _back_to(self, before):
        self.next_sequence, self.entries, self.history, self.last_period = before

    def _drop(self, places):
        before = self._snapshot()
        for at in reversed(places):
            entry = self.entries.pop(at)
            self._uptimes.pop(entry[SEQUENCE], None)
            if entry[KIND] == wire.REPLACEMENT:
                self.history = [kept for kept in self.history if kept[TAIL][0] != entry[TAIL][0]] + [entry]
        if not self._save():
            self._back_to(before)
            return False
        return True

    def _fit(self):
        size = self.size_bytes()
        while size > LIMIT_BYTES and self._merge_oldest():
            size = self.size_bytes()
        return size <= HARD_LIMIT_BYTES

    def _merge_oldest(self):
        entries = self.entries
        for at in range(len(entries) - 1):
            old, new = entries[at], entries[at + 1]
            if old[KIND] == new[KIND] == wire.REPORT and old[EPOCH] == new[EPOCH]:
                if new[SEQUENCE] - new[MERGED] == old[SEQUENCE] + 1:
                    new[MERGED] += old[MERGED] + 1
                    entries.pop(at)
                    return True
        return False


def _order(entry):
    return entry[SEQUENCE]
