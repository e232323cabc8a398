"""All the device knows, as one value that changes only here, by one event at a time.

    state = State(ids, clock, faults, counts_record, ledger_record)
    state.load(draw_epoch)
    state.ran(place, 100)              # in the tick: the part at `place` ran for so many ms more
    state.apply((REPLACED, 1, 0))      # True: it has happened, and is in flash
    state.pass_seconds(1)              # what is due by time alone: see also release_due, tell_faults, report_due
    state.save_counts()

An event is applied in memory and then saved; where the flash refuses, the state goes back to the last record it saved,
as if the event had never come. So nothing has happened that a power cut can take back, and nobody else need roll back.
What comes out depends on state and event alone.
"""

from micropython import const

from wearmeter.exchange import cbor, schedule, wire
from wearmeter.flash.record import Refused
from wearmeter.state import counts, events, faults, ledger
from wearmeter.state.clock import floor_s
from wearmeter.state.part import UNDO_S, Part, Replacement
from wearmeter.state.queue import Full, Queue, resolved

# Sequences that may have been used by messages that a damaged record no longer knows of.
_SKIP = const(64)
# More sequences than a device can have forgotten; and no relay numbers its commands in wider steps.
_MOST_FORGOTTEN = const(1000000)
_FAULT_PAUSE_S = const(60)
_REFUSED_PAUSE_S = const(10)
# A clock that goes back by less across the report's minute must not make the day's report twice.
_PERIOD_SLACK_S = const(3600)
# A source that differs by less is not worth a correction.
_CLOCK_SLACK_S = const(2)
_REPORT_NOW_PAUSE_S = const(2)
LEDGER_BYTES = const(2600)  # of the record's buffer: the frame, 466 bytes before the queue, and 2,124 of queue


class State:
    """`ids`: those of the consumables that the product names, in its order. `counts_record` and `ledger_record` are
    flash.record.Record, with buffers of counts.RECORD_BYTES and LEDGER_BYTES with their frames.

    `parts` are those of the product, in its order; `unsaved_ms` is the most that a cut would cost any of them now.
    `version` changes with each event: who reads several values in a row looks at it before and after.
    """

    def __init__(self, ids, clock, fault_flags, counts_record, ledger_record, log=print):
        self._ids = ids
        self._counts = counts_record
        self._ledger = ledger_record
        self._minute = 0  # of the day, at which the report is due
        self._log = log
        self._all = []  # of all ids that ever had counts, ascending
        self._fault_s = -_FAULT_PAUSE_S
        self._refused_s = -_REFUSED_PAUSE_S
        self._resolved_s = None  # the boot's UTC second by which the moments of what is kept were resolved
        self._report_now_s = -_REPORT_NOW_PAUSE_S
        self._forget_s = schedule.DAY_S
        self._backup_due = True
        self._countdown_due = False
        self._first_sequence = 1  # the lowest that this boot may use
        self._as_loaded = True  # the ledger in flash is still that of an earlier boot
        self._changed = None  # the part that the event under way has replaced or undone
        self.clock = clock
        self.faults = fault_flags
        self.numbers = ledger.Numbers()
        self.queue = Queue(ledger_record.payload, ledger.QUEUE_AT, ledger_record.capacity)
        self.parts = []
        self.unsaved_ms = 0
        self.version = 0

    # ---- the start

    def load(self, draw_epoch):
        """Take the newest records from flash; where there are none, begin a new epoch, drawn by `draw_epoch()`."""
        found = self._load_ledger()
        size = self._counts.load(counts.is_valid)
        lifetimes = {}
        epoch = sequence = 0
        if size:
            epoch, sequence, lifetimes = counts.decode(self._counts.payload[:size])
        numbers = self.numbers
        known = found and epoch in (0, numbers.epoch)
        if known:
            lost = sequence > numbers.next_sequence
        else:
            # A ledger of another epoch is of a device that has begun anew since. Without the right one nobody knows
            # which generations were told: they begin again, in a new epoch.
            lost = found or sequence > 1 or self._ledger.damaged > 0
            numbers.epoch = 0 if lost else epoch
        self._note_damage(found, size, lost)
        if not numbers.epoch:
            numbers.epoch = draw_epoch()
        if lost or self._ledger.damaged or self._ledger.from_backup:
            # Sequences made after the record that is left must not be used again.
            numbers.next_sequence = max(numbers.next_sequence, sequence) + _SKIP
        self._first_sequence = numbers.next_sequence
        self._merge(lifetimes)
        if lost and not known:
            self._forget_fitted()
            self._countdown_due = True  # Saved at once: until then each start would do this again.
        self.queue.forget_uptimes()

    def _load_ledger(self):
        size = self._ledger.load(_is_valid)
        if not size:
            return False
        self._decode(size)
        return True

    def _decode(self, size):
        numbers, parts, queue_end = ledger.decode(self._ledger.payload[:size])
        self.numbers = numbers
        self.queue.restore(queue_end)
        self._all = parts

    def _note_damage(self, found, counts_size, lost):
        records = (self._counts, self._ledger)
        if any([record.damaged or record.from_backup for record in records]) or (found and not counts_size):
            self.faults.raise_(faults.COPY_DAMAGED)
        if not found and not counts_size and any([record.damaged for record in records]):
            self.faults.raise_(faults.COUNTS_LOST)
        if lost or self._ledger.damaged or self._ledger.from_backup:
            self.faults.raise_(faults.QUEUE_LOST)

    def _merge(self, lifetimes):
        """Bring together what the two records say of each part: either may be the newer, and neither says too much."""
        held = {part.id: part for part in self._all}
        for identity in set(list(lifetimes) + list(self._ids)):
            if identity not in held:
                held[identity] = Part(identity)
        for identity, part in held.items():
            part.saved_ms = max(part.saved_ms, lifetimes.get(identity, 0), part.fitted_at_ms)
            part.named = identity in self._ids
        self._all = [held[identity] for identity in sorted(held)]
        while len(self._all) > counts.MOST_PARTS:
            self._all.remove([part for part in self._all if not part.named][0])
        self.parts = [held[identity] for identity in self._ids]
        self.faults.set(faults.PART_MISSING, any([part.saved_ms and not part.named for part in self._all]))

    def _forget_fitted(self):
        """Nobody knows when each part was fitted: no part is said to be older than it is."""
        for part in self._all:
            part.replacement, part.generation, part.fitted_at_ms = None, 1, part.lifetime_ms

    # ---- in the tick

    def ran(self, place, ran_ms):
        """The part at `place` in `parts` ran for `ran_ms` more. Allocates nothing."""
        part = self.parts[place]
        part.unsaved_ms += ran_ms
        if part.unsaved_ms > self.unsaved_ms:
            self.unsaved_ms = part.unsaved_ms

    def save_counts(self, again=False):
        """Write the record of counts; returns whether it is in flash."""
        size = counts.encode(self._counts.payload, self.numbers.epoch, self.numbers.next_sequence, self._all)
        try:
            self._counts.save(size, self._backup_due, again)
        except Refused:
            self.faults.raise_(faults.WRITE_FAILED)
            return False
        if self._counts.refused:
            self.faults.raise_(faults.WRITE_FAILED)
        self._backup_due = False
        self._saved()
        return True

    @property
    def saves(self):
        """How often the counts have been saved in the life of the unit."""
        return self._counts.counter

    def note_save(self, save_ms):
        """A save takes so long on this unit's flash; kept with the next event."""
        self.numbers.save_ms = min(save_ms, 0xFFFF)

    def pass_seconds(self, seconds):
        """So many powered seconds have passed: the time in which replacements can be undone runs down."""
        now_s = self.clock.uptime_s
        for part in self._all:
            kept = part.replacement
            if kept and kept.left_s:
                kept.left_s = max(0, kept.left_s - seconds)
                self._countdown_due |= not kept.left_s % 60
        if now_s >= self._forget_s:
            self._forget_s += schedule.DAY_S
            self.faults.forget()
            self._backup_due = True

    @property
    def _paused(self):
        """Whether the flash has refused a moment ago."""
        return self.clock.uptime_s - self._refused_s < _REFUSED_PAUSE_S

    def release_due(self, seconds):
        """Queue the replacements that can no longer be undone; once a second, as the next two."""
        if self._paused:
            return
        if self.clock.known and self._resolved_s is None:  # The flash has refused it, or what was resolved.
            self._do(self._resolve, ((self.numbers.floor_s, self.numbers.claim_s), self.clock.boot_utc_s))
        for part in self._all:
            kept = part.replacement
            if kept and self._is_over(kept):
                self._do(self._release, (part,), True)
        if self._countdown_due:
            self._countdown_due = not self._do(_unchanged, ())

    def tell_faults(self, seconds):
        """Queue a transition of the faults, at most one a minute."""
        now_s = self.clock.uptime_s
        if self.faults.changed and now_s - self._fault_s >= _FAULT_PAUSE_S and not self._paused:
            self._fault_s = now_s
            bits = self.faults.bits
            if self._do(self._tell_faults, ()):
                self.faults.reported(bits)

    def report_due(self, seconds):
        """Queue the report of the day, if the time is known and it is still to be made."""
        utc_s = self.clock.now()
        if utc_s is None or self._paused or not schedule.due(utc_s, self._minute, self.numbers.last_period):
            return
        self._do(self._report, (schedule.period_of(utc_s, self._minute),), True)

    def _is_over(self, kept):
        if not kept.left_s:
            return True
        # Powered since then: the powered seconds tell, whatever the clock says. After a restart ten minutes have
        # passed when the clock says so.
        utc_s = self.clock.now()
        return kept.uptime_s is None and utc_s is not None and kept.not_after and utc_s >= kept.not_after + UNDO_S

    # ---- events

    def apply(self, event):
        """Apply one event. Returns True if it has changed the state, which is then in flash."""
        name = event[0]
        if name == events.REPLACED:
            done = self._do(self._replace, event[1:], True)
        elif name == events.UNDONE:
            done = self._do(self._undo, event[1:], True)
        elif name == events.TOLD_TIME:
            done = self._learn(event[1], event[2])
        elif name == events.ACKNOWLEDGED:
            done = self._do(self._acknowledge, event[1:])
        elif name == events.WELCOMED:
            done = self._do(self._welcome, event[1:])
        elif name == events.COMMANDED:
            done = self._do(self._obey, event[1:], True)
        elif name == events.CONFIGURED:
            self._minute = event[2]
            done = self._do(self._configure, event[1:2])
        elif name == events.SAVE:
            done = not self.unsaved_ms or self.save_counts()
        else:
            self.faults.raise_(*event[1:] if name == events.FAULT else (faults.MESSAGE_REFUSED,))
            return True
        if done and self._changed:
            part = self._changed
            self._log(
                "wm %s id=%d generation=%d fitted_at_ms=%d ago_ms=%d"
                % (
                    "replaced" if part.replacement else "undone",
                    part.id,
                    part.generation,
                    part.fitted_at_ms,
                    self.clock.since_ms(),
                )
            )
        self._changed = None
        return done

    def _do(self, change, arguments, backup=False):
        """Make a change and save it; True if it is in flash. A change returns False where there is nothing to do."""
        try:
            if not change(*arguments):
                return False
            self._save(backup)
            return True
        except Full:
            pass
        except Refused:
            self.faults.raise_(faults.WRITE_FAILED)
        except Exception:
            self._roll_back()
            raise
        self._refused_s = self.clock.uptime_s
        self._roll_back()
        self._resolved_s = None
        return False

    def _save(self, backup):
        ledger.encode(self._ledger.payload, self.numbers, self._all, self.queue.end)
        # The first one of a boot, too: without a backup copy a young unit that loses both begins a new epoch.
        self._ledger.save(self.queue.end, backup or self._as_loaded)
        if self._ledger.refused:
            self.faults.raise_(faults.WRITE_FAILED)
        self._as_loaded = False
        self._saved()
        self.version = (self.version + 1) & 0xFFFF

    def _saved(self):
        for part in self._all:
            part.saved_ms += part.unsaved_ms
            part.unsaved_ms = 0
        self.unsaved_ms = 0

    def _roll_back(self):
        """Go back to the last record that was saved. What has run since is kept."""
        lifetimes = {part.id: part.lifetime_ms for part in self._all}
        pending = {part.id: part.replacement for part in self._all if part.replacement}
        epoch = self.numbers.epoch
        if self._load_ledger():
            self._merge(lifetimes)
            if self.numbers.epoch != epoch:
                self._forget_fitted()
            for part in self._all:
                kept, before = part.replacement, pending.get(part.id)
                if kept and before:  # what only this boot knows
                    kept.uptime_s, kept.left_s = before.uptime_s, min(kept.left_s, before.left_s)
        else:
            self.queue.end = ledger.QUEUE_AT  # Nothing was ever saved.
            self.numbers = ledger.Numbers()
            for part in self._all:
                if part.replacement:
                    part.fitted_at_ms = part.replacement.previous_ms
                part.replacement, part.generation = None, 1
        # What the start has made of the two records is not in flash before the first save.
        self.numbers.epoch = epoch
        self.numbers.next_sequence = max(self.numbers.next_sequence, self._first_sequence)
        if self._as_loaded:
            self.queue.forget_uptimes()
        self._changed = None
        self.version = (self.version + 1) & 0xFFFF

    # ---- parts

    def part(self, identity):
        """Return the part of this id, or None."""
        for part in self._all:
            if part.id == identity:
                return part
        return None

    def _replace(self, identity, source):
        part = self.part(identity)
        if not part or not part.named or part.replacement or part.generation >= 0xFFFF:
            return False
        not_before, not_after, uptime_s = self._moment()
        part.replacement = Replacement(part.fitted_at_ms, UNDO_S, not_before, not_after, source, uptime_s)
        part.fitted_at_ms = part.lifetime_ms
        part.generation += 1
        self._changed = part
        return True

    def _undo(self, identity):
        part = self.part(identity)
        if not part or not part.replacement or not part.replacement.left_s:
            return False
        part.fitted_at_ms = part.replacement.previous_ms
        part.generation -= 1
        part.replacement = None
        self._changed = part
        return True

    def _release(self, part):
        """The owner can undo it no more: now it is told."""
        kept = part.replacement
        used_ms = part.fitted_at_ms - kept.previous_ms
        tail = [part.id, part.generation, part.fitted_at_ms // 1000, used_ms // 1000, kept.source]
        self._enqueue(wire.REPLACEMENT, tail, (kept.not_before, kept.not_after, kept.uptime_s))
        part.replacement = None
        return True

    # ---- messages

    def _moment(self):
        utc_s = self.clock.now()
        if utc_s is None:
            return self.numbers.floor_s, 0, self.clock.uptime_s
        return utc_s, utc_s, self.clock.uptime_s

    def _enqueue(self, kind, tail, moment=None, merged=0):
        numbers = self.numbers
        not_before, not_after, uptime_s = moment or self._moment()
        if uptime_s is None:
            uptime_s = 0xFFFFFFFF
        body = b"".join([cbor.encode(field) for field in tail])
        self.queue.add(
            kind,
            numbers.epoch,
            numbers.next_sequence,
            (not_before, not_after, uptime_s),
            self.faults.bits,
            body,
            merged,
        )
        numbers.next_sequence += 1

    def totals(self):
        """Return what a report says now: id, lifetime, generation and use of each part, ascending by id."""
        totals = []
        for part in self._all:
            if part.named:
                totals.append(part.id)
                totals.extend(part.reported())
        return totals

    def _report(self, period, merged=0):
        self.numbers.last_period = period
        self._enqueue(wire.REPORT, [self.totals()], None, merged)
        return True

    def _tell_faults(self):
        detail = self.faults.detail
        self._enqueue(wire.FAULT, [] if detail is None else [detail])
        self._log("wm fault bits=%d detail=%s" % (self.faults.bits, detail))
        return True

    def _acknowledge(self, epoch, sequence):
        return self.queue.acknowledge(epoch, sequence)

    def _welcome(self, epoch, have):
        """One of three things: the relay knows all, it has lost some, or it knows more than we do."""
        numbers, queue = self.numbers, self.queue
        ahead = have - numbers.next_sequence
        if epoch != numbers.epoch or ahead > _MOST_FORGOTTEN:
            return False
        if ahead >= 0:
            # Damage has taken this device back in time. What it has queued since bears numbers of older messages.
            self.faults.raise_(faults.QUEUE_LOST)
            numbers.next_sequence = queue.renumber(epoch, have + 1)
            return True
        changed = queue.acknowledge_up_to(epoch, have)
        if have < queue.lowest(epoch, numbers.next_sequence) - 1:
            # The relay has lost what it once acknowledged. Totals are absolute: one report stands for all of it.
            queue.tell_again(epoch, have)
            changed = self._report(numbers.last_period, min(numbers.next_sequence - 1 - have, 0xFFFF))
        return changed

    # ---- time

    def _learn(self, source, utc_s):
        clock, numbers = self.clock, self.numbers
        before_s = clock.boot_utc_s
        if before_s is not None and clock.sure and abs(clock.now() - utc_s) <= _CLOCK_SLACK_S:
            return False
        if not clock.learn(source, utc_s):
            self.faults.raise_(faults.CLOCK_REFUSED, "time %s" % utc_s)
            return False
        if before_s is None or abs(before_s - clock.boot_utc_s) > _CLOCK_SLACK_S:
            self._log("wm clock utc_s=%d source=%d" % (clock.now(), source))
        elif before_s != clock.boot_utc_s:
            clock.boot_utc_s = before_s
        self._resolved_s = None
        return self._do(self._resolve, (floor_s(numbers.floor_s, numbers.claim_s, utc_s, clock.sure), clock.boot_utc_s))

    def _resolve(self, floor, boot_utc_s):
        numbers = self.numbers
        changed = floor != (numbers.floor_s, numbers.claim_s)
        numbers.floor_s, numbers.claim_s = floor
        changed |= self.queue.resolve(boot_utc_s)
        for part in self._all:
            kept = part.replacement
            if kept:
                bounds = resolved(kept, boot_utc_s)
                changed |= bounds != (kept.not_before, kept.not_after)
                kept.not_before, kept.not_after = bounds
        self._resolved_s = boot_utc_s
        # A clock that was ahead has made reports of days to come; none of the days until then shall go without.
        now_s = self.clock.now()
        if schedule.period_of(now_s + _PERIOD_SLACK_S, self._minute) < numbers.last_period:
            numbers.last_period = schedule.period_of(now_s, self._minute)
            changed = True
        return changed

    def _configure(self, config_crc):
        """A unit that is provisioned anew learns the time anew: the way back from a floor that was wrong."""
        numbers = self.numbers
        if numbers.config_crc == config_crc:
            return False
        numbers.config_crc, numbers.floor_s, numbers.claim_s = config_crc, 0, 0
        return True

    # ---- commands

    def _obey(self, number, operation, identity, generation):
        """The number and the answer are in the same record as what it did: a command is never obeyed twice."""
        numbers = self.numbers
        if self.queue.waits(wire.ANSWER):
            return False  # No flood of commands fills the queue: the relay asks again until it has an answer.
        if operation == wire.REPORT_NOW and self.clock.uptime_s - self._report_now_s < _REPORT_NOW_PAUSE_S:
            return False
        result = wire.REFUSED
        if number == numbers.last_command:
            result = wire.ALREADY_DONE
        elif numbers.last_command < number <= numbers.last_command + _MOST_FORGOTTEN:
            result = self._obey_new(number, operation, identity, generation)
            numbers.last_command = number
        if operation == wire.REPORT_NOW and result == wire.DONE:
            self._report_now_s = self.clock.uptime_s
            self._report(numbers.last_period)
        self._enqueue(wire.ANSWER, [number, result])
        self._log("wm command number=%d result=%d" % (number, result))
        return True

    def _obey_new(self, number, operation, identity, generation):
        if operation == wire.REPORT_NOW:
            return wire.DONE
        part = self.part(identity)
        if not part or not part.named or generation != part.generation:
            return wire.REFUSED
        if operation == wire.REPLACED:
            return wire.DONE if self._replace(identity, number) else wire.NOT_NOW
        return wire.DONE if self._undo(identity) else wire.NOT_NOW


def _is_valid(payload):
    try:
        ledger.decode(payload)
    except ValueError:
        return False
    return True


def _unchanged():
    """A change that only time has made: what is saved is how far it has run down."""
    return True
