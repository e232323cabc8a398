"""What a message means: the stored state of its device and epoch, and the message, give a decision. Pure, no I/O.

Each consumable's facts (a sample of its use, or its replacement) become events in the order of their sequence numbers,
and an event never goes back: once a replacement is told, nothing more is told of the part before it. A report that
speaks of a newer part than the relay knows waits for the replacement while a gap in the sequence says that it may
still come, and for at most `gap_wait_s`; then the replacement is inferred, and marked so.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

from tools.relay.core.events import CONSUMED, REPLACED
from tools.relay.core.wire import Answer, FaultTransition, Replacement, Report, Time, Up

BUILD_UTC_S = 1767225600  # 2026-01-01: no device is older than its firmware
FUTURE_S = 86400
MAX_INFERRED = 8
MAX_INTERVALS = 64

ACCEPTED, DUPLICATE, ASIDE = "accepted", "duplicate", "aside"


@dataclass(frozen=True)
class Fact:
    """What a message says of one consumable. A replacement's `generation` is the new one, `used_s` the old part's."""

    sequence: int
    generation: int
    lifetime_s: int
    used_s: int
    utc_s: int
    estimated: bool
    replacement: bool


@dataclass
class Part:
    """One consumable in one epoch: the newest accepted numbers, and how far events have been told.

    `seen_not_before_s` is a moment at or before that of the newest numbers, None while none is known.
    """

    seen_sequence: int = 0
    seen_not_before_s: int | None = None
    generation: int = 0
    lifetime_s: int = 0
    used_s: int = 0
    told_sequence: int = 0
    told_generation: int = 0
    told_used_s: int | None = None
    pending: list[Fact] = field(default_factory=list)


@dataclass
class Epoch:
    """What is held of an epoch. `ahead` lists (first, last, since): runs after a gap, and when that gap was noticed."""

    contiguous: int = 0
    ahead: list[tuple[int, int, int]] = field(default_factory=list)
    parts: dict[int, Part] = field(default_factory=dict)

    def missing(self, after: int, before: int) -> int:
        """Return how many sequences strictly between the two are not held and may still come."""
        low = max(after, self.contiguous) + 1
        held = sum(max(0, min(last, before - 1) - max(first, low) + 1) for first, last, _ in self.ahead)
        return max(0, before - low - held)

    def hold(self, first: int, last: int, now_s: int) -> None:
        """Sequences `first` to `last` are stored."""
        later = [run for run in self.ahead if run[0] > last]
        self.ahead.append((first, last, later[0][2] if later else now_s))
        self.ahead.sort()
        self._close()

    def give_up_gaps(self, now_s: int, gap_wait_s: int) -> None:
        """Expect nothing more from gaps older than `gap_wait_s`, nor from the oldest when they are too many."""
        while self.ahead and (now_s - self.ahead[0][2] >= gap_wait_s or len(self.ahead) > MAX_INTERVALS):
            self.contiguous = max(self.contiguous, self.ahead.pop(0)[1])
            self._close()

    def _close(self) -> None:
        while self.ahead and self.ahead[0][0] <= self.contiguous + 1:
            self.contiguous = max(self.contiguous, self.ahead.pop(0)[1])


@dataclass(frozen=True)
class Device:
    """What the relay knows of the sender: its current epoch, that of its latest status, the ids of its consumables."""

    epoch: int | None = None
    status_epoch: int | None = None
    consumables: frozenset[int] | None = None

    def tells(self, consumable: int) -> bool:
        """Whether Alexa is told of it: a part that the product no longer has keeps its counts here, in silence."""
        return self.consumables is None or consumable in self.consumables


@dataclass(frozen=True)
class Event:
    """An Alexa event to queue. `usage_s` is that of the fitted part; a replacement's `generation` is the new part."""

    name: str
    consumable: int
    generation: int
    usage_s: int | None
    utc_s: int
    estimated: bool
    inferred: bool = False


@dataclass(frozen=True)
class Usage:
    """The accepted use of one part; `replaced_utc_s` once it was taken out."""

    consumable: int
    generation: int
    used_s: int
    replaced_utc_s: int | None = None
    inferred: bool = False


@dataclass
class Decision:
    """`late`: accepted and stored, but newer messages are already told. `current`: the epoch is now the device's."""

    verdict: str
    reason: str = ""
    late: bool = False
    current: bool = False
    epoch: Epoch | None = None
    sample: tuple[int, bool] = (0, False)
    events: list[Event] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)


def decide(
    device: Device, state: Epoch | None, message: Up, stored: Up | None, now_s: int, gap_wait_s: int = 3600
) -> Decision:
    """Decide about `message`.

    `state` is that of the message's epoch (None: the epoch is new), `stored` the accepted message with the same epoch
    and sequence. The decision's `epoch` is the new state; `state` itself is left alone.
    """
    if stored is not None:
        same = _meaning(stored) == _meaning(message)
        return Decision(DUPLICATE) if same else Decision(ASIDE, "differs from the accepted message of that sequence")
    reason = _impossible_time(message.time, now_s)
    if not reason and state is None and device.epoch is not None and device.status_epoch not in (None, message.epoch):
        reason = "epoch is neither known nor that of the latest status"
    first = message.sequence - (message.merged if isinstance(message, Report) else 0)
    epoch = copy.deepcopy(state) if state is not None else Epoch(contiguous=first - 1)
    facts = _facts(message, now_s)
    reason = reason or _impossible_totals(epoch, message, now_s)
    if reason:
        if state is None:
            return Decision(ASIDE, reason)
        epoch.hold(first, message.sequence, now_s)
        return Decision(ASIDE, reason, epoch=epoch)

    current = device.epoch in (None, message.epoch) or state is None or device.status_epoch == message.epoch
    decision = Decision(ACCEPTED, current=current, epoch=epoch, sample=_estimate(message, now_s))
    epoch.hold(first, message.sequence, now_s)
    epoch.give_up_gaps(now_s, gap_wait_s)
    late = [not current or _is_late(epoch.parts.get(consumable), fact) for consumable, fact in facts]
    decision.late = bool(late) and all(late)
    for consumable, fact in facts:
        _take(epoch, message, consumable, fact)
    for consumable in sorted(epoch.parts):
        _tell(epoch, consumable, decision)
    decision.events = [event for event in decision.events if current and device.tells(event.consumable)]
    return decision


def _meaning(message: Up) -> object:
    """What may not change when a message is sent again; its time may since have become known, its faults differ."""
    same = replace(message, time=Time(None, None), faults=0)
    return replace(same, merged=0) if isinstance(same, Report) else same


def _impossible_time(time: Time, now_s: int) -> str:
    for bound in (time.not_before, time.not_after):
        if bound is not None and bound < BUILD_UTC_S:
            return "time is before 2026"
        if bound is not None and bound > now_s + FUTURE_S:
            return "time is in the future"
    return ""


def _impossible_totals(epoch: Epoch, message: Up, now_s: int) -> str:
    """Return why the totals cannot be true beside newer or older ones of the same epoch, or ''."""
    if isinstance(message, Report):
        for total in message.totals:
            part = epoch.parts.get(total.id)
            if total.used_s > total.lifetime_s:
                return "a part used for longer than its device"
            if part is None or message.sequence < part.seen_sequence:
                continue
            if total.generation < part.generation:
                return "generation went back"
            skipped = total.generation - part.generation
            if skipped > 1 and _cannot_skip(epoch, part, message.sequence, skipped):
                return "generation skipped"
            if total.lifetime_s < part.lifetime_s or (not skipped and total.used_s < part.used_s):
                return "total smaller than before"
            if _outruns_time(part, message.time, total.lifetime_s, now_s):
                return "total grew faster than time"
    if isinstance(message, Replacement):
        if message.used_s > message.lifetime_s:
            return "a part used for longer than its device"
        part = epoch.parts.get(message.id)
        if part is not None and message.sequence > part.seen_sequence:
            # No comparison of totals: reports sent while the replacement could be undone still count the old part.
            skipped = message.generation - 1 - part.generation
            if skipped < 0:
                return "generation went back"
            if skipped and _cannot_skip(epoch, part, message.sequence, skipped):
                return "generation skipped"
            if _outruns_time(part, message.time, message.lifetime_s, now_s):
                return "total grew faster than time"
    return ""


def _outruns_time(part: Part, time: Time, lifetime_s: int, now_s: int) -> bool:
    """Whether more use than time lies between two messages, each of whose clocks may have been a day off."""
    if part.seen_not_before_s is None:
        return False
    latest_s = time.not_after if time.not_after is not None else now_s
    return lifetime_s - part.lifetime_s > latest_s - part.seen_not_before_s + 2 * FUTURE_S


def _cannot_skip(epoch: Epoch, part: Part, sequence: int, skipped: int) -> bool:
    return skipped > MAX_INFERRED or epoch.missing(part.seen_sequence, sequence) < skipped


def _estimate(message: Up, now_s: int) -> tuple[int, bool]:
    """Return the best estimate of the message's time, and whether it is one.

    The moment of receipt is a `not_after` when nothing else is. For a replacement the later bound is taken: a new part
    believed younger than it is never sells one too early.
    """
    time = message.time
    if time.exact and time.not_before is not None:
        return time.not_before, False
    if time.not_after is not None:
        return time.not_after, True
    if time.not_before is not None and not isinstance(message, Replacement):
        return time.not_before, True
    return max(now_s, time.not_before or 0), True


def _facts(message: Up, now_s: int) -> list[tuple[int, Fact]]:
    utc_s, estimated = _estimate(message, now_s)
    if isinstance(message, Report):
        return [
            (
                total.id,
                Fact(message.sequence, total.generation, total.lifetime_s, total.used_s, utc_s, estimated, False),
            )
            for total in message.totals
        ]
    if isinstance(message, Replacement):
        fact = Fact(message.sequence, message.generation, message.lifetime_s, message.used_s, utc_s, estimated, True)
        return [(message.id, fact)]
    assert isinstance(message, (FaultTransition, Answer))
    return []


def _is_late(part: Part | None, fact: Fact) -> bool:
    return part is not None and fact.sequence < part.told_sequence


def _take(epoch: Epoch, message: Up, consumable: int, fact: Fact) -> None:
    """Note the fact, to be told in its turn. The first fact of a consumable is where the relay begins: nothing is
    inferred about parts before it."""
    part = epoch.parts.get(consumable)
    if part is None:
        part = epoch.parts[consumable] = Part(told_generation=fact.generation - fact.replacement)
    if fact.sequence > part.seen_sequence:
        part.seen_sequence, part.generation = fact.sequence, fact.generation
        part.lifetime_s = fact.lifetime_s if not fact.replacement else max(part.lifetime_s, fact.lifetime_s)
        part.used_s = 0 if fact.replacement else fact.used_s
        if message.time.not_before is not None:
            part.seen_not_before_s = message.time.not_before
    if not _is_late(part, fact):
        part.pending.append(fact)
        part.pending.sort(key=lambda waiting: waiting.sequence)


def _tell(epoch: Epoch, consumable: int, decision: Decision) -> None:
    part = epoch.parts[consumable]
    while part.pending:
        fact = part.pending[0]
        unknown = fact.generation - part.told_generation - fact.replacement
        if unknown > 0 and epoch.missing(part.told_sequence, fact.sequence) >= unknown:
            return
        part.pending.pop(0)
        part.told_sequence = fact.sequence
        if unknown < 0:
            continue
        for _ in range(unknown):
            _tell_replacement(part, consumable, replace(fact, estimated=True), decision, inferred=True)
        if fact.replacement:
            if part.told_used_s is None or fact.used_s > part.told_used_s:
                decision.events.append(
                    Event(CONSUMED, consumable, part.told_generation, fact.used_s, fact.utc_s, fact.estimated)
                )
            part.told_used_s = fact.used_s
            _tell_replacement(part, consumable, fact, decision)
        elif part.told_used_s is None or fact.used_s >= part.told_used_s:
            part.told_used_s = fact.used_s
            decision.events.append(
                Event(CONSUMED, consumable, fact.generation, fact.used_s, fact.utc_s, fact.estimated)
            )
            decision.usages.append(Usage(consumable, fact.generation, fact.used_s))


def _tell_replacement(part: Part, consumable: int, fact: Fact, decision: Decision, inferred: bool = False) -> None:
    decision.usages.append(Usage(consumable, part.told_generation, part.told_used_s or 0, fact.utc_s, inferred))
    part.told_generation += 1
    part.told_used_s = 0
    event = Event(REPLACED, consumable, part.told_generation, None, fact.utc_s, fact.estimated, inferred)
    decision.events.append(event)
    decision.usages.append(Usage(consumable, part.told_generation, 0))
