"""What a message means: the stored state of its device and epoch, and the message, give a decision. Pure, no I/O.

Each consumable's facts (a sample of its use, or its replacement) become events in the order of their sequence numbers,
and an event never goes back: once a replacement is told, nothing more is told of the part before it. A report that
speaks of a newer part than the relay knows waits for the replacement while a gap in the sequence says that it may
still come, and for at most `gap_wait_s`; then the replacement is inferred, and marked so.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tools.relay.core import bounds
from tools.relay.core.events import CONSUMED, REPLACED
from tools.relay.core.state import Epoch, Fact, Part
from tools.relay.core.wire import Replacement, Report, Time, Unreadable, Up

MAX_INFERRED = 8
"""Of more missed replacements only the last is told: one new part is as new as nine."""

ACCEPTED, DUPLICATE, ASIDE = "accepted", "duplicate", "aside"


@dataclass(frozen=True)
class Device:
    """What the relay knows of the sender: its current epoch, the epoch and next sequence that its latest status
    claims, the ids of its consumables. `sampled_s`: a moment at which its epoch was still the current one."""

    epoch: int | None = None
    status_epoch: int | None = None
    next_sequence: int | None = None
    consumables: frozenset[int] | None = None
    sampled_s: int = bounds.BUILD_UTC_S

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
    not_before_s: int | None = None
    events: list[Event] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)

    def sampled_s(self, device: Device) -> int:
        """Return what an accepted message of the current epoch makes of `Device.sampled_s`."""
        return max(device.sampled_s, self.not_before_s or 0)


def decide(
    device: Device,
    state: Epoch | None,
    message: Up | Unreadable,
    stored: Up | None,
    now_s: int,
    gap_wait_s: int = 3600,
    trusted: bool = False,
) -> Decision:
    """Decide about `message`.

    `state` is that of the message's epoch (None: the epoch is new), `stored` the accepted message with the same epoch
    and sequence. The decision's `epoch` is the new state, None where it stays as it is; `state` itself is left alone.
    `trusted`: a person vouches for the message, only what is impossible by itself is refused.
    """
    if stored is not None:
        same = not isinstance(message, Unreadable) and _meaning(stored) == _meaning(message)
        return Decision(DUPLICATE) if same else Decision(ASIDE, "differs from the accepted message of that sequence")
    claimed = device.next_sequence if device.status_epoch == message.epoch else None
    if not trusted and bounds.far_ahead(state, message.sequence, claimed, now_s):
        return Decision(ASIDE, "sequence is far ahead of what the device can have made")
    first = message.sequence - (message.merged if isinstance(message, Report) else 0)
    if state is not None:
        epoch = state.copy()
    else:  # an epoch that follows another began after that was last heard of
        born_s = bounds.BUILD_UTC_S if device.epoch in (None, message.epoch) else device.sampled_s
        epoch = Epoch(contiguous=first - 1, heard_s=now_s, born_s=born_s)
    if isinstance(message, Unreadable):
        return _aside(state, epoch, first, message, message.reason, now_s)
    reason = bounds.impossible(message, now_s)
    if not reason and not trusted and state is None and _is_foreign(device, message.epoch):
        reason = "epoch is neither known nor that of the latest status"
    if reason:
        return _aside(state, epoch, first, message, reason, now_s)
    reason = bounds.contradiction(epoch, message, now_s)
    if reason:
        if not trusted and not (isinstance(message, Report) and bounds.insists(epoch, message, now_s)):
            return _aside(epoch, epoch, first, message, reason, now_s)
        _begin_anew(epoch, message)

    message = bounds.clamped(message, now_s)
    current = device.epoch in (None, message.epoch) or state is None or device.status_epoch == message.epoch
    decision = Decision(ACCEPTED, current=current, epoch=epoch, sample=_estimate(message, now_s))
    decision.not_before_s = message.time.not_before
    epoch.hold(first, message.sequence, now_s)
    epoch.give_up_gaps(now_s, gap_wait_s)
    facts = _facts(message, *decision.sample)
    late = [not current or _is_late(epoch.parts.get(consumable), fact) for consumable, fact in facts]
    decision.late = bool(late) and all(late)
    for consumable, fact in facts:
        _take(epoch, message.time, consumable, fact)
    if current:
        _tell_all(epoch, device, decision)
    return decision


def gaps_over(device: Device, state: Epoch, epoch_number: int, now_s: int, gap_wait_s: int) -> Decision:
    """Decide what can be told now that gaps older than `gap_wait_s` are expected to close no more."""
    epoch = state.copy()
    epoch.give_up_gaps(now_s, gap_wait_s)
    current = epoch_number in (device.epoch, device.status_epoch)
    decision = Decision(ACCEPTED, current=current, epoch=epoch)
    if current:
        _tell_all(epoch, device, decision)
    return decision


def _is_foreign(device: Device, epoch: int) -> bool:
    return device.epoch is not None and device.status_epoch not in (None, epoch)


def _aside(
    known: Epoch | None, epoch: Epoch, first: int, message: Up | Unreadable, reason: str, now_s: int
) -> Decision:
    """The message is kept aside and acknowledged: its sequence is held where the epoch is known."""
    if known is None:
        return Decision(ASIDE, reason)
    epoch.hold(first, message.sequence, now_s)
    return Decision(ASIDE, reason, epoch=epoch)


def _begin_anew(epoch: Epoch, message: Up) -> None:
    """Believe the message against what is held of its parts. A newer part than the one told is still told as new."""
    for consumable, fact in _facts(message, 0, True):
        held = epoch.parts.pop(consumable, None)
        if held is not None and held.told_generation < fact.generation:
            epoch.parts[consumable] = Part(
                bounds.BUILD_UTC_S, told_sequence=held.told_sequence, told_generation=held.told_generation,
                told_used_s=held.told_used_s,
            )  # fmt: skip
    epoch.doubts, epoch.born_s = [], bounds.BUILD_UTC_S


def _meaning(message: Up) -> object:
    """What may not change when a message is sent again; its time may since have become known, its faults differ."""
    same = replace(message, time=Time(None, None), faults=0)
    return replace(same, merged=0) if isinstance(same, Report) else same


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
    return now_s, True


def _facts(message: Up, utc_s: int, estimated: bool) -> list[tuple[int, Fact]]:
    if isinstance(message, Report):
        sequence = message.sequence
        return [
            (total.id, Fact(sequence, total.generation, total.lifetime_s, total.used_s, utc_s, estimated, False))
            for total in message.totals
        ]
    if isinstance(message, Replacement):
        fact = Fact(message.sequence, message.generation, message.lifetime_s, message.used_s, utc_s, estimated, True)
        return [(message.id, fact)]
    return []


def _is_late(part: Part | None, fact: Fact) -> bool:
    return part is not None and fact.sequence < part.told_sequence


def _take(epoch: Epoch, time: Time, consumable: int, fact: Fact) -> None:
    """Note the fact, to be told in its turn. The first fact of a consumable is where the relay begins: nothing is
    inferred about parts before it."""
    part = epoch.parts.get(consumable)
    born_s = bounds.born_s(epoch, part, time, fact.lifetime_s)
    if part is None:
        part = epoch.parts[consumable] = Part(born_s, told_generation=fact.generation - fact.replacement)
    if fact.sequence > part.seen_sequence:
        if fact.replacement:
            # What ran since it was fitted is in the total already; a second may hide in the rounding of each.
            part.used_s = max(0, part.lifetime_s - fact.lifetime_s - 1)
            part.lifetime_s = max(part.lifetime_s, fact.lifetime_s)
        else:
            # The smallest use that the totals since its fitting bear out: rounding's second is believed once, not again
            # with each report. A part that is new here is believed as it is.
            grown_s = fact.lifetime_s - part.lifetime_s
            least_s = grown_s + (part.used_s if fact.generation == part.generation else 0)
            part.used_s = min(fact.used_s, least_s) if part.seen_sequence else fact.used_s
            part.lifetime_s = fact.lifetime_s
        part.seen_sequence, part.generation, part.born_s = fact.sequence, fact.generation, born_s
    if not _is_late(part, fact):
        part.wait(fact)


def _tell_all(epoch: Epoch, device: Device, decision: Decision) -> None:
    for consumable in sorted(epoch.parts):
        _tell(epoch, consumable, decision)
    decision.events = [event for event in decision.events if device.tells(event.consumable)]


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
        for generations in [1] * unknown if unknown <= MAX_INFERRED else [unknown]:
            _tell_replacement(part, consumable, replace(fact, estimated=True), decision, generations, inferred=True)
        if fact.replacement:
            if part.told_used_s is None or fact.used_s > part.told_used_s:
                decision.events.append(
                    Event(CONSUMED, consumable, part.told_generation, fact.used_s, fact.utc_s, fact.estimated)
                )
            part.told_used_s = fact.used_s
            _tell_replacement(part, consumable, fact, decision, 1)
            part.told_fitted_s = max(part.told_fitted_s, fact.lifetime_s + 1)
        elif part.told_used_s is None or fact.used_s >= part.told_used_s:
            part.told_used_s = fact.used_s
            part.told_fitted_s = max(part.told_fitted_s, fact.lifetime_s - fact.used_s)
            decision.events.append(
                Event(CONSUMED, consumable, fact.generation, fact.used_s, fact.utc_s, fact.estimated)
            )
            decision.usages.append(Usage(consumable, fact.generation, fact.used_s))


def _tell_replacement(
    part: Part, consumable: int, fact: Fact, decision: Decision, generations: int, inferred: bool = False
) -> None:
    decision.usages.append(Usage(consumable, part.told_generation, part.told_used_s or 0, fact.utc_s, inferred))
    part.told_generation += generations
    part.told_used_s = 0
    event = Event(REPLACED, consumable, part.told_generation, None, fact.utc_s, fact.estimated, inferred)
    decision.events.append(event)
    decision.usages.append(Usage(consumable, part.told_generation, 0))
