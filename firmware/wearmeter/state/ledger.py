"""The record of everything that changes rarely: numbers that must not come twice, parts, replacements, the queue.

One write of it is one step of the device: a replacement and the press that made it, a command and its answer, a message
and its sequence cannot come apart. Each write also holds what every part has run, so it saves the counts, too.

    head | 12 parts of 20 bytes at most | a replacement of 21 bytes for each part that has one | the queue

The queue is changed in place (see queue.py); everything else lives in objects and is written before a save.
"""

import struct

from micropython import const

from wearmeter.state.part import UNDO_S, Part, Replacement

_HEAD = "<IIIIIIIHBBH"
_HEAD_BYTES = const(34)
_PART = "<BHIHIHB"  # id, lifetime (high, low), fitted at (high, low), generation, whether it has a replacement
_PART_BYTES = const(16)
_REPLACEMENT = "<HIHIII"  # fitted at before (high, low), left_s, not_before, not_after, source
_REPLACEMENT_BYTES = const(20)
# The queue has a fixed place, behind the most parts that there can be, each with a replacement.
QUEUE_AT = const(466)


class Numbers:
    """What the head holds. All whole numbers; times in UTC seconds since 1970, 0 where unknown."""

    def __init__(self):
        self.epoch = 0
        self.next_sequence = 1
        self.last_command = 0
        self.last_period = 0
        self.floor_s = 0  # the earliest moment that it can be now: see clock.floor_s
        self.claim_s = 0
        self.config_crc = 0  # of the config under which the floor was learnt
        self.save_ms = 0  # the longest that a save takes, 0 while not known


def encode(buffer, numbers, parts, queue_end):
    """Write everything but the queue into `buffer`."""
    struct.pack_into(
        _HEAD,
        buffer,
        0,
        numbers.epoch,
        numbers.next_sequence,
        numbers.last_command,
        numbers.last_period,
        numbers.floor_s,
        numbers.claim_s,
        numbers.config_crc,
        numbers.save_ms,
        len(parts),
        0,
        queue_end,
    )
    at = _HEAD_BYTES
    for part in parts:
        lifetime_ms, fitted_ms, kept = part.lifetime_ms, part.fitted_at_ms, part.replacement
        struct.pack_into(
            _PART,
            buffer,
            at,
            part.id,
            lifetime_ms >> 32,
            lifetime_ms & 0xFFFFFFFF,
            fitted_ms >> 32,
            fitted_ms & 0xFFFFFFFF,
            part.generation,
            1 if kept else 0,
        )
        at += _PART_BYTES
        if kept:
            previous_ms = kept.previous_ms
            struct.pack_into(
                _REPLACEMENT,
                buffer,
                at,
                previous_ms >> 32,
                previous_ms & 0xFFFFFFFF,
                kept.left_s,
                kept.not_before,
                kept.not_after,
                kept.source,
            )
            at += _REPLACEMENT_BYTES


def decode(payload):
    """Return (numbers, parts, end of the queue). The queue's bytes stay where they are.

    Raises ValueError for a record whose numbers cannot be true: a part used longer than its lifetime, at generation 0,
    an id twice, a replacement that cannot be undone any more.
    """
    if len(payload) < QUEUE_AT:
        raise ValueError("short")
    numbers = Numbers()
    (
        numbers.epoch,
        numbers.next_sequence,
        numbers.last_command,
        numbers.last_period,
        numbers.floor_s,
        numbers.claim_s,
        numbers.config_crc,
        numbers.save_ms,
        count,
        _,
        queue_end,
    ) = struct.unpack_from(_HEAD, payload)
    if not numbers.epoch or not numbers.next_sequence or len(payload) != queue_end:
        raise ValueError("head")
    parts = []
    at = _HEAD_BYTES
    last = 0
    for _ in range(count):
        identity, high, low, at_high, at_low, generation, has_replacement = struct.unpack_from(_PART, payload, at)
        at += _PART_BYTES
        part = Part(identity)
        part.saved_ms = high << 32 | low
        part.fitted_at_ms = at_high << 32 | at_low
        part.generation = generation
        if identity <= last or not generation or part.fitted_at_ms > part.saved_ms:
            raise ValueError("part %d" % identity)
        last = identity
        if has_replacement:
            high, low, left_s, not_before, not_after, source = struct.unpack_from(_REPLACEMENT, payload, at)
            at += _REPLACEMENT_BYTES
            part.replacement = Replacement(high << 32 | low, left_s, not_before, not_after, source, None)
            if part.replacement.previous_ms > part.fitted_at_ms or generation < 2 or left_s > UNDO_S:
                raise ValueError("replacement of part %d" % identity)
        parts.append(part)
    return numbers, parts, queue_end
