"""The loop's business: makes reports, releases replacements, and exchanges both with the relay.

    reporter.step(now_ms)       # in each turn of the loop, before the link's step

After connecting it publishes the status, whose answer is the relay's welcome: the relay's time, and what it has. Then
it sends the outbox in order, one message at a time, each kept until the relay's own acknowledgment. Without a welcome
in 10 s it goes on all the same.
"""

from binascii import crc32

from micropython import const

from wearmeter import VERSION, faults, outbox, schedule, wire

_WELCOME_MS = const(10000)
_ACK_MS = const(15000)
# After three sends without an answer the relay is not there: the broker's word is worth nothing to us.
_TRIES = const(3)
_RELAY_PAUSE_MS = const(300000)
_FAULT_PAUSE_S = const(60)
_WELCOME_PAUSE_S = const(60)
_REPORT_NOW_S = const(2)
# A source that differs by less is not worth a correction.
_CLOCK_SLACK_S = const(2)
# A clock that goes back by less across the report's minute must not make the day's report twice.
_PERIOD_SLACK_S = const(3600)
# More sequences than a device can have forgotten.
_MOST_FORGOTTEN = const(1000000)


class Reporter:
    """Everything between the ledger and the link; runs in the loop only."""

    def __init__(self, ledger, box, clock, faults_now, tick, link, about, minute, ticks_ms, ticks_diff, log):
        self._ledger = ledger
        self.ids = [1 + at for at in range(len(ledger.consumables))]  # those of the product, in the ledger's order
        self._outbox = box
        self._clock = clock
        self._faults = faults_now
        self._tick = tick
        self._link = link
        self._about = about
        self._about_crc = crc32(about) & 0xFFFFFFFF
        self._minute = minute
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._log = log
        self._resolved_utc_s = None
        self._about_due = True
        self._welcomed = False
        self._welcome_s = 0
        self._nonce = 0
        self._asked_ms = 0
        self._sent = None
        self._sent_ms = 0
        self._tries = 0
        self._fault_s = -_FAULT_PAUSE_S
        self._report_now_s = -_REPORT_NOW_S
        self._report_now_number = 0
        self._have = None  # the relay lacks what came after this sequence
        self._orders = []
        self._forget_s = schedule.DAY_S
        if link is not None:
            link.on_message = self._on_message

    def step(self, now_ms):
        """Do what is due."""
        self._keep_time()
        self._release()
        self._tell_faults()
        self._report_if_due()
        self._command()
        if self._link is not None and self._link.online:
            self._exchange(now_ms)

    def set_time(self, utc_s):
        """A source says that it is now `utc_s` (seconds since 1970); an impossible time is refused, and a fault."""
        now_s = self._clock.now()
        if now_s is not None and abs(now_s - utc_s) <= _CLOCK_SLACK_S:
            return
        if self._clock.set(utc_s):
            self._log("wm clock utc_s=%d was=%s" % (utc_s, now_s))
        else:
            self._faults.raise_(faults.CLOCK_REFUSED, "time %s" % utc_s)

    # ---- time

    def _moment(self):
        utc_s = self._clock.now()
        if utc_s is None:
            return self._ledger.utc_floor_s, 0
        return utc_s, utc_s

    def _keep_time(self):
        boot_utc_s = self._clock.boot_utc_s
        if boot_utc_s is None or boot_utc_s == self._resolved_utc_s:
            return
        self._outbox.resolve(boot_utc_s)
        for part in self._ledger.consumables:
            _resolve(part.replacement, boot_utc_s)
        self._ledger.dirty = True
        self._resolved_utc_s = boot_utc_s
        # A clock that was ahead has made reports of days to come; none of the days until then shall go without.
        now_s = self._clock.now()
        if schedule.period_of(now_s + _PERIOD_SLACK_S, self._minute) < self._outbox.last_period:
            self._outbox.set_last_period(schedule.period_of(now_s, self._minute))

    # ---- what goes into the outbox

    def _release(self):
        clock, ledger, box = self._clock, self._ledger, self._outbox
        for index in range(len(ledger.consumables)):
            part = ledger.consumables[index]
            replacement = part.replacement
            if replacement is None or part.generation <= box.released[index]:
                continue
            if replacement.left_s:
                # Powered since then: the powered seconds tell, whatever the clock says. Otherwise ten minutes have
                # passed when it says so.
                utc_s = clock.now()
                if replacement.uptime_s is not None or utc_s is None or not replacement.not_after:
                    continue
                if utc_s < replacement.not_after + 600:
                    continue
                replacement.left_s = 0
                ledger.dirty = True
                if part.replacement is not replacement:
                    continue  # The tick came between: it is undone.
            tail = [
                self.ids[index],
                part.generation,
                part.at_replacement_ms // 1000,
                (part.at_replacement_ms - replacement.previous_ms) // 1000,
                replacement.source,
            ]
            sequence = box.add_replacement(
                index,
                part.generation,
                tail,
                replacement.not_before,
                replacement.not_after,
                self._faults.bits,
                replacement.uptime_s,
            )
            if sequence is None:
                self._faults.raise_(faults.WRITE_FAILED)
                continue
            self._tick.released[index] = part.generation
            self._note_sequence()
            self._log("wm released index=%d generation=%d sequence=%d" % (index, part.generation, sequence))

    def _tell_faults(self):
        now_s = self._clock.uptime_s
        if now_s >= self._forget_s:
            self._forget_s += schedule.DAY_S
            self._faults.forget()
            self._tick.want_second_home = True
        if self._link is not None and self._link.refused:
            self._link.refused = 0
            self._faults.raise_(faults.MESSAGE_REFUSED)
        if not self._faults.changed or now_s - self._fault_s < _FAULT_PAUSE_S:
            return
        bits = self._faults.bits
        detail = self._faults.detail
        not_before, not_after = self._moment()
        tail = [] if detail is None else [detail[:80]]
        if self._outbox.add(wire.FAULT, tail, not_before, not_after, bits, now_s) is not None:
            self._log("wm fault bits=%d detail=%s" % (bits, detail))
            self._faults.reported(bits)
            self._note_sequence()
        self._fault_s = now_s

    def _report_if_due(self):
        utc_s = self._clock.now()
        if utc_s is not None and schedule.due(utc_s, self._minute, self._outbox.last_period):
            self._report(schedule.period_of(utc_s, self._minute))
            self._tick.want_second_home = True

    def _report(self, period, merged=0):
        count = -1
        while count != self._tick.count:  # A tick between two of the numbers may have changed what they mean.
            count = self._tick.count
            totals = self._totals()
        not_before, not_after = self._moment()
        sequence = self._outbox.add_report(
            [totals], not_before, not_after, self._faults.bits, self._clock.uptime_s, period, merged
        )
        if sequence is None:
            self._faults.raise_(faults.WRITE_FAILED)
            return False
        self._note_sequence()
        self._log("wm report sequence=%d totals=%s" % (sequence, totals))
        return True

    def _totals(self):
        totals = []
        for index, part in enumerate(self._ledger.consumables):
            replacement = part.replacement
            totals.append(self.ids[index])
            if replacement is not None and part.generation > self._outbox.released[index]:
                # It can still be undone: until then the relay hears of the part before, as taken out.
                totals.append(part.at_replacement_ms // 1000)
                totals.append(part.generation - 1)
                totals.append((part.at_replacement_ms - replacement.previous_ms) // 1000)
            else:
                # Only what is in flash: a power cut must not make the next report smaller.
                totals.append(part.saved_ms // 1000)
                totals.append(part.generation)
                totals.append((part.saved_ms - part.at_replacement_ms) // 1000)
        return totals

    def _note_sequence(self):
        sequence = self._ledger.next_sequence = self._outbox.next_sequence
        self._ledger.dirty = True
        if not sequence & 15:
            # Should all files be lost, outbox.py skips far more sequences than were made since.
            self._tick.want_second_home = True

    # ---- commands

    def _command(self):
        tick = self._tick
        if tick.result is not None:
            number, result = tick.result
            if self._answer(number, result):
                tick.result = None
        # The next is obeyed when the relay has the answer to the one before: no flood of commands fills the outbox.
        waiting = [entry for entry in self._outbox.entries if entry[outbox.KIND] == wire.ANSWER]
        if self._orders and tick.order is None and tick.result is None and not waiting:
            number, operation, index, generation = self._orders[0]
            if operation != wire.REPORT_NOW:
                tick.order = self._orders.pop(0)
            elif number == self._report_now_number:
                self._orders.pop(0)
                tick.result = number, wire.ALREADY_DONE
            elif self._clock.uptime_s - self._report_now_s >= _REPORT_NOW_S:
                self._orders.pop(0)
                self._report_now_s = self._clock.uptime_s
                self._report_now_number = number
                done = self._report(self._outbox.last_period)
                tick.result = number, wire.DONE if done else wire.NOT_NOW

    def _answer(self, number, result):
        not_before, not_after = self._moment()
        sequence = self._outbox.add(
            wire.ANSWER, [number, result], not_before, not_after, self._faults.bits, self._clock.uptime_s
        )
        if sequence is None:
            return False
        self._note_sequence()
        self._log("wm command number=%d result=%d" % (number, result))
        return True

    # ---- the exchange with the relay

    def _hello(self, now_ms):
        link = self._link
        self._nonce = link.nonce
        self._welcomed = False
        self._sent = None
        self._tries = 0
        self._asked_ms = now_ms
        link.talking = True
        link.publish(
            b"status",
            wire.status(
                link.nonce,
                self._ledger.epoch,
                self._faults.bits,
                link.reason,
                self._clock.uptime_s,
                self._clock.known,
                VERSION,
                self._outbox.next_sequence,
                link.losses,
            ),
            True,
        )

    def _exchange(self, now_ms):
        # At most one message in a step: each may take its 8 s.
        link = self._link
        since_ms = self._ticks_diff(now_ms, self._asked_ms)
        if self._nonce != link.nonce or since_ms > schedule.DAY_S * 1000:
            return self._hello(now_ms)
        if not self._welcomed and since_ms < _WELCOME_MS:
            return
        if self._about_due:
            self._about_due = not link.publish(b"about", self._about, True)
            return
        if self._have is not None:
            # The relay has lost what it once acknowledged. Totals are absolute: one report stands for all of it.
            self._outbox.requeue_history(self._have)
            if self._report(self._outbox.last_period, self._outbox.next_sequence - 1 - self._have):
                self._have = None
        entry = self._outbox.first()
        if entry is None:
            link.talking = False
            return
        key = entry[outbox.EPOCH], entry[outbox.SEQUENCE]
        if self._sent == key:
            wait_ms = _ACK_MS if self._tries < _TRIES else _RELAY_PAUSE_MS
            link.talking = self._tries < _TRIES
            if self._ticks_diff(now_ms, self._sent_ms) < wait_ms:
                return
            if self._tries >= _TRIES:
                return self._hello(now_ms)
        else:
            self._tries = 0
        link.talking = True
        self._sent = key
        self._sent_ms = now_ms
        self._tries += 1
        link.publish(b"up", outbox.message(entry, self._clock.now()))

    def _on_message(self, fields):
        kind = fields[1]
        # Asked for, or at most once a minute: nobody can make us set the clock or send all again in a flood.
        welcome = kind == wire.WELCOME and (not self._welcomed or self._clock.uptime_s >= self._welcome_s)
        if welcome or not self._clock.known:
            self.set_time(fields[3])
        if kind == wire.ACK:
            if self._outbox.acknowledge(fields[4], fields[5]):
                self._log("wm acked epoch=%d sequence=%d" % (fields[4], fields[5]))
        elif welcome:
            self._welcome(fields[4], fields[5], fields[6])
        elif kind == wire.COMMAND and len(self._orders) < 4 and not self._faults.bits & faults.SAFE_MODE:
            index, generation = 0, 0
            if fields[5] != wire.REPORT_NOW:
                # An id that is no part's becomes a place that is none; the tick refuses it.
                index = self.ids.index(fields[6]) if fields[6] in self.ids else len(self.ids)
                generation = fields[7]
            self._orders.append((fields[4], fields[5], index, generation))

    def _welcome(self, epoch, have_sequence, about_crc):
        self._welcomed = True
        self._welcome_s = self._clock.uptime_s + _WELCOME_PAUSE_S
        self._about_due = about_crc != self._about_crc
        self._log("wm welcome epoch=%d have=%d" % (epoch, have_sequence))
        box = self._outbox
        self._have = None
        ahead = have_sequence - box.next_sequence
        if epoch != self._ledger.epoch or ahead > _MOST_FORGOTTEN:
            return
        if ahead >= 0:
            # Damage has taken this device back in time. What it has queued since bears numbers of older messages.
            self._faults.raise_(faults.OUTBOX_LOST)
            if box.renumber(have_sequence + 1):
                self._note_sequence()
            return
        box.acknowledge_up_to(epoch, have_sequence)
        held = [entry[outbox.SEQUENCE] - entry[outbox.MERGED] for entry in box.entries if entry[outbox.EPOCH] == epoch]
        if have_sequence < min(held + [box.next_sequence]) - 1:
            self._have = have_sequence


def _resolve(replacement, boot_utc_s):
    if replacement is None:
        return
    if replacement.uptime_s is not None:
        replacement.not_before = replacement.not_after = boot_utc_s + replacement.uptime_s
    elif not replacement.not_after:
        replacement.not_after = max(boot_utc_s, replacement.not_before)
