"""What can be true: the bounds in time and number that every message is held against before it is believed.

Two kinds of reason. `impossible` ones hold whatever came before. `contradiction` ones hold only beside what is held,
and either side may be the wrong one: a device that goes on saying the same for INSIST_S is believed after all, so that
no forged or mistaken message silences it for longer than about a day.
"""

from __future__ import annotations

from dataclasses import replace

from tools.relay.core.state import Doubt, Epoch, Part
from tools.relay.core.wire import Replacement, Report, Time, Up

BUILD_UTC_S = 1767225600  # 2026-01-01: no device is older than its firmware
SLACK_S = 3600  # between a device's clock, the relay's, and whole seconds
DAY_S = 86400
INSIST_S = 20 * 3600  # less than a day: the next daily report is heard
DOUBT_KEPT_S = 30 * DAY_S
MAX_DOUBTS = 16
MAX_PARTS = 32
SEQUENCES_AT_ONCE = 1000
SEQUENCES_A_DAY = 2000
"""More than a device makes: a fault transition a minute, the day's report, replacements, answers."""
MOST_FORGOTTEN = 1_000_000
"""A device whose own next sequence is further behind than this does not follow the relay (its reporter.py)."""


def within(time: Time, now_s: int) -> Time:
    """Return the time without what cannot be: a bound before 2026 is unknown, none is later than now."""
    said = (time.not_before, time.not_after)
    bounds = [None if bound is None or bound < BUILD_UTC_S else min(bound, now_s) for bound in said]
    if bounds[0] == bounds[1] == now_s and time.not_before != now_s:
        bounds[0] = None  # a clock that is ahead says nothing of when it was
    return time if tuple(bounds) == said else Time(*bounds)


def far_ahead(epoch: Epoch | None, sequence: int, next_sequence: int | None, now_s: int) -> bool:
    """Whether a device that is where the relay last heard it cannot have made so many messages since.

    `next_sequence` is what its latest status says for this epoch, None where none does.
    """
    if epoch is None:
        return next_sequence is not None and sequence >= next_sequence + SEQUENCES_AT_ONCE
    days = max(0, now_s - epoch.heard_s) / DAY_S
    return sequence > epoch.highest + SEQUENCES_AT_ONCE + SEQUENCES_A_DAY * days


def lost_count(epoch: Epoch, next_sequence: int) -> bool:
    """Whether the sequences held of the epoch are so far above the device's own that it will never reach them."""
    return epoch.highest - next_sequence >= MOST_FORGOTTEN


def impossible(message: Up, now_s: int) -> str:
    """Return why the numbers cannot be true of any device, or ''."""
    if isinstance(message, Report):
        totals = [(total.lifetime_s, total.used_s) for total in message.totals]
    elif isinstance(message, Replacement):
        totals = [(message.lifetime_s, message.used_s)]
    else:
        return ""
    for lifetime_s, used_s in totals:
        if used_s > lifetime_s:
            return "a part used for longer than its device"
        if lifetime_s > now_s - BUILD_UTC_S:
            return "longer than any device exists"
    return ""


def contradiction(epoch: Epoch, message: Up, now_s: int) -> str:
    """Return why the numbers cannot be true beside those that are held of the epoch, or ''."""
    if isinstance(message, Report):
        if len(epoch.parts.keys() | {total.id for total in message.totals}) > MAX_PARTS:
            return "too many consumables"
        for total in message.totals:
            part = epoch.parts.get(total.id)
            if part is None and total.lifetime_s > now_s - epoch.born_s + SLACK_S:
                return "longer than its epoch exists"
            if part is None:
                continue
            if message.sequence < part.seen_sequence:
                reason = _late(part, message.sequence, total.generation, total.lifetime_s, total.used_s, now_s)
                if reason:
                    return reason
                continue
            skipped = total.generation - part.generation
            reason = _generation(epoch, part, message.sequence, skipped, 1) or _growth(part, total.lifetime_s, now_s)
            grown_s = total.lifetime_s - part.lifetime_s
            if not reason and (grown_s < 0 or (not skipped and total.used_s < part.used_s)):
                reason = "total smaller than before"
            # A second may hide in the rounding of each; what a new part was used ran since the old one was last heard.
            if not reason and total.used_s > grown_s + (0 if skipped else part.used_s) + 1:
                reason = "used for longer than it ran"
            if reason:
                return reason
    elif isinstance(message, Replacement):
        part = epoch.parts.get(message.id)
        if part is None:
            if message.lifetime_s > now_s - epoch.born_s + SLACK_S:
                return "longer than its epoch exists"
            return "too many consumables" if len(epoch.parts) >= MAX_PARTS else ""
        if message.sequence > part.seen_sequence:
            # Totals may be smaller than before: reports sent while it could be undone still count the old part.
            skipped = message.generation - 1 - part.generation
            reason = _generation(epoch, part, message.sequence, skipped, 0) or _growth(part, message.lifetime_s, now_s)
            grown_s = max(0, message.lifetime_s - part.lifetime_s)
            if not reason and message.used_s > grown_s + (0 if skipped else part.used_s) + 1:
                reason = "used for longer than it ran"
            return reason
        return _late(part, message.sequence, message.generation - 1, message.lifetime_s, message.used_s, now_s)
    return ""


def _late(part: Part, sequence: int, generation: int, lifetime_s: int, used_s: int, now_s: int) -> str:
    """Judge the totals of a part's `generation` that come after a later message's, but may still be told."""
    if sequence < part.told_sequence:
        return ""
    if generation > part.generation:
        return "newer part than a later message's"
    fitted_s = part.fitted_s if generation == part.generation else part.told_fitted_s
    return "used for longer than it ran" if used_s > lifetime_s - fitted_s + 1 else _growth(part, lifetime_s, now_s)


def _generation(epoch: Epoch, part: Part, sequence: int, skipped: int, free: int) -> str:
    """`free`: how many replacements may be skipped without a gap in the sequence that could hold them."""
    if skipped < 0:
        return "generation went back"
    no_room = skipped > free and epoch.missing(part.seen_sequence, sequence) < skipped
    return "generation skipped" if no_room else ""


def _growth(part: Part, lifetime_s: int, now_s: int) -> str:
    return "total grew faster than time" if lifetime_s > now_s - part.born_s + SLACK_S else ""


def born_s(epoch: Epoch, part: Part | None, time: Time, lifetime_s: int) -> int:
    """Return the beginning that the accepted total bears out."""
    before = epoch.born_s if part is None else part.born_s
    return before if time.not_before is None else max(before, time.not_before - lifetime_s)


def insists(epoch: Epoch, report: Report, now_s: int) -> bool:
    """Whether the report goes on with one that was refused at least INSIST_S ago. If not, it is noted as a doubt."""
    epoch.doubts = [doubt for doubt in epoch.doubts if now_s - doubt.since_s < DOUBT_KEPT_S]
    for doubt in epoch.doubts:
        if _continues(doubt, report, now_s):
            return now_s - doubt.since_s >= INSIST_S
    said = [(total.id, total.generation, total.lifetime_s) for total in report.totals]
    epoch.doubts = [*epoch.doubts, Doubt(now_s, said)][-MAX_DOUBTS:]
    return False


def _continues(doubt: Doubt, report: Report, now_s: int) -> bool:
    now = {total.id: total for total in report.totals}
    elapsed_s = now_s - doubt.since_s + SLACK_S
    return [id for id, _, _ in doubt.said] == list(now) and all(
        0 <= now[id].generation - generation and 0 <= now[id].lifetime_s - lifetime_s <= elapsed_s
        for id, generation, lifetime_s in doubt.said
    )


def clamped(message: Up, now_s: int) -> Up:
    """Return the message with a time that can be."""
    time = within(message.time, now_s)
    return message if time is message.time else replace(message, time=time)
