"""What really happened to a unit, and the promises that follow from it.

Promise 1: never more than the truth, never less by more than a second a power cut, beside what edges cost that came
while the device was held up. Promise 2: a replacement that was
acknowledged is there, once, until it is undone. Promise 3: a sequence is never used for something else, and each
replacement reaches the relay once. Promise 4: totals are absolute, and never go back.
"""

from wearmeter.exchange import cbor, wire

LOST_AT_A_CUT_MS = 1000
# While a motor runs, what it ran since the last look is not counted yet.
_LAG_US = 400000


class Broken(Exception):
    """A promise was broken; the text says which and how."""


class Truth:
    """`runs`: for each input, [start, end] in true microseconds. `acts`: replacements and undos that are in flash, as
    (tick began, done, index, is replacement, total in ms, generation), in order. `sent`: all that reached the
    relay, as (true microseconds, fields)."""

    def __init__(self, inputs):
        self.inputs = inputs  # that of each consumable
        self.runs = {name: [] for name in inputs}
        self.acts = []
        self.maybe = None  # an act that was under way at the last cut
        self.sent = []
        self.orders = []  # (true microseconds, command) that the relay has sent
        self.cut_us = []
        self.unseen = []  # (when, how long): what ran and may not have been seen: within a start, around edges
        self.epoch = 0

    def at(self, cut_us):
        """Return the truth of a unit whose power was cut at `cut_us`."""
        then = Truth(self.inputs)
        for name, runs in self.runs.items():
            then.runs[name] = [[a, min(b, cut_us)] for a, b in runs if a < cut_us]
        then.acts = [act for act in self.acts if act[1] <= cut_us]
        later = [act for act in self.acts if act[0] <= cut_us < act[1]]
        then.maybe = later[0] if later else None
        then.sent = [message for message in self.sent if message[0] <= cut_us]
        then.orders = [order for order in self.orders if order[0] <= cut_us]
        then.cut_us = [earlier_us for earlier_us in self.cut_us if earlier_us < cut_us] + [cut_us]
        then.unseen = [item for item in self.unseen if item[0] <= cut_us]
        then.epoch = self.epoch
        return then

    @property
    def unseen_us(self):
        return sum([cost_us for _, cost_us in self.unseen])

    @property
    def cuts(self):
        return len(self.cut_us)

    def unanswered(self):
        """Return the commands that the relay sends again."""
        answered = [fields[6] for fields in self.messages() if fields[1] == wire.ANSWER]
        return [command for _, command in self.orders if command[0] not in answered]

    def ran_us(self, index, until_us):
        return sum([min(b, until_us) - a for a, b in self.runs[self.inputs[index]] if a < until_us])

    # ---- after a start

    def check_start(self, state, now_us):
        """The state that a start finds in flash. `maybe` is settled by it."""
        if state.faults.bits:
            raise Broken("a power cut alone raised the faults %d" % state.faults.bits)
        epoch = state.numbers.epoch
        if self.epoch != epoch:
            most_us = self.most_us(now_us) - self.unseen_us
            if self.epoch and (self.sent or self.acts or most_us > LOST_AT_A_CUT_MS * 1000 * self.cuts):
                raise Broken("the epoch changed")
            self.epoch = epoch
        self.check_totals(state, now_us)
        if self.maybe and self._matches(state, self.acts + [self.maybe]):
            self.acts.append(self.maybe)
        elif not self._matches(state, self.acts):
            raise Broken(
                "promise 2: parts %s, acknowledged %s, under way %s"
                % ([(p.generation, p.fitted_at_ms) for p in state.parts], self.acts, self.maybe)
            )
        self.maybe = None
        next_sequence = state.numbers.next_sequence
        used = [fields[3] for fields in self.messages() if fields[2] == epoch]
        if used and max(used) >= next_sequence:
            raise Broken("promise 3: next sequence %d, already sent %d" % (next_sequence, max(used)))
        entries = [entry for entry in state.queue.entries() if entry.epoch == epoch and not entry.told]
        sequences = [entry.sequence for entry in entries]
        if sequences != sorted(set(sequences)) or (sequences and sequences[-1] >= next_sequence):
            raise Broken("promise 3: queue %s, next sequence %d" % (sequences, next_sequence))

    def most_us(self, now_us):
        return max([self.ran_us(index, now_us) for index in range(len(self.inputs))])

    def check_totals(self, state, now_us):
        """Promise 1, at any moment."""
        for index, part in enumerate(state.parts):
            true_us = self.ran_us(index, now_us)
            runs = self.runs[self.inputs[index]]
            lag_us = _LAG_US if runs and runs[-1][1] >= now_us else 0
            most_ms = true_us // 1000
            least_ms = (true_us - self.unseen_us - lag_us) // 1000 - LOST_AT_A_CUT_MS * self.cuts - 1
            if not least_ms <= part.lifetime_ms <= most_ms:
                raise Broken(
                    "promise 1: part %d counted %d ms, ran %d ms, %d cuts, %d ms unseen"
                    % (part.id, part.lifetime_ms, most_ms, self.cuts, self.unseen_us // 1000)
                )

    def fitted(self, acts):
        """Return for each consumable the totals at its replacements."""
        stacks = [[] for _ in self.inputs]
        for _, _, index, is_replacement, total_ms, _ in acts:
            if is_replacement:
                stacks[index].append(total_ms)
            else:
                stacks[index].pop()
        return stacks

    def _matches(self, state, acts):
        for part, stack in zip(state.parts, self.fitted(acts)):
            if part.generation != 1 + len(stack) or part.fitted_at_ms != (stack[-1] if stack else 0):
                return False
        return True

    # ---- what reaches the relay

    def messages(self):
        return [fields for _, fields in self.sent]

    def check_message(self, payload, now_us):
        """An up message that leaves the device."""
        fields = cbor.decode(payload)
        if fields[5]:
            raise Broken("a power cut alone made the faults %d reach the relay" % fields[5])
        if fields[1] == wire.REPORT:
            for index in range(len(fields[6]) // 4):
                _, lifetime_s, generation, used_s = fields[6][4 * index : 4 * index + 4]
                if lifetime_s * 1000000 > self.ran_us(index, now_us) or used_s > lifetime_s or used_s < 0:
                    raise Broken("promise 1: report %s of %d us" % (fields, self.ran_us(index, now_us)))
        for _, before in self.sent:
            if before[2:4] == fields[2:4] and _meaning(before) != _meaning(fields):
                raise Broken("promise 3: %s and %s" % (before, fields))
            if before[1] == fields[1] == wire.REPLACEMENT and before[6:8] == fields[6:8] and before[2:4] != fields[2:4]:
                raise Broken("promise 2: sent twice, %s and %s" % (before, fields))
        self.sent.append((now_us, fields))

    def check_end(self, state, now_us):
        """The end of a history: everything has been sent, and nobody can undo anything any more."""
        self.check_totals(state, now_us)
        if len(state.queue):
            raise Broken("promise 3: %d messages still wait" % len(state.queue))
        messages = sorted(self.messages(), key=lambda fields: fields[3])
        reports = [fields for fields in messages if fields[1] == wire.REPORT and fields[2] == state.numbers.epoch]
        totals = []
        for part in state.parts:
            totals += [part.id, part.lifetime_ms // 1000, part.generation, part.used_ms // 1000]
        if not reports or reports[-1][6] != totals:
            raise Broken("promise 3: the relay's newest report is %s, the state has %s" % (reports[-1:], totals))
        for older, newer in zip(reports, reports[1:]):
            for at in range(0, len(older[6]), 4):
                if newer[6][at + 1] < older[6][at + 1] or newer[6][at + 2] < older[6][at + 2]:
                    raise Broken("promise 4: totals went back, %s, %s" % (older, newer))
        replaced = {}
        for fields in messages:
            if fields[1] == wire.REPLACEMENT:
                replaced[tuple(fields[6:8])] = fields[8:10]
        wanted = {}
        for index, stack in enumerate(self.fitted(self.acts)):
            before_ms = 0
            for at, total_ms in enumerate(stack):
                wanted[(index + 1, at + 2)] = [total_ms // 1000, (total_ms - before_ms) // 1000]
                before_ms = total_ms
        if replaced != wanted:
            raise Broken("promise 2: the relay has the replacements %s, made were %s" % (replaced, wanted))
        self._check_order(messages)

    def _check_order(self, messages):
        """A report speaks of a new part only after its replacement was told, by sequence."""
        told = [1] * len(self.inputs)
        for fields in messages:
            if fields[1] == wire.REPLACEMENT:
                told[fields[6] - 1] = max(told[fields[6] - 1], fields[7])
            elif fields[1] == wire.REPORT:
                for index in range(len(fields[6]) // 4):
                    if fields[6][4 * index + 2] != told[index]:
                        raise Broken("promise 4: %s after replacements %s" % (fields, told))


def _meaning(fields):
    """What may not change when a message is sent again: not its time, its faults, or what it stands for."""
    return fields[1:4] + (fields[6:7] if fields[1] == wire.REPORT else fields[6:])
