"""The record that is written most: what each part has run. At most 103 bytes, which littlefs keeps inline.

It holds the epoch and a floor for the sequences, so that the loss of the other record (see ledger.py) shows, and for
each part its id and its running time.
"""

import struct

from micropython import const

MOST_PARTS = const(12)
_HEAD = "<IIB"  # epoch, sequence floor, number of parts
_HEAD_BYTES = const(9)
_PART = "<BHI"  # id, milliseconds: high 16 bits, low 32
_PART_BYTES = const(7)
NAME = "counts/now"  # in a folder of its own: see flash/record.py
RECORD_BYTES = const(96)  # of 12 parts, with its head; the frame comes on top


def is_valid(payload):
    """Whether `payload` is a record of counts: an epoch, and each id once."""
    if len(payload) < _HEAD_BYTES:
        return False
    epoch, sequence, count = struct.unpack_from(_HEAD, payload)
    if not epoch or not sequence or not count or len(payload) != _HEAD_BYTES + count * _PART_BYTES:
        return False
    last = 0
    for at in range(_HEAD_BYTES, len(payload), _PART_BYTES):
        if payload[at] <= last:
            return False
        last = payload[at]
    return True


def encode(buffer, epoch, sequence, parts):
    """Write the record into `buffer` and return its size. `parts` are in ascending order of their ids."""
    struct.pack_into(_HEAD, buffer, 0, epoch, sequence, len(parts))
    at = _HEAD_BYTES
    for part in parts:
        lifetime_ms = part.lifetime_ms
        struct.pack_into(_PART, buffer, at, part.id, lifetime_ms >> 32, lifetime_ms & 0xFFFFFFFF)
        at += _PART_BYTES
    return at


def decode(payload):
    """Return (epoch, sequence floor, {id: lifetime in ms}) of a valid record."""
    epoch, sequence, count = struct.unpack_from(_HEAD, payload)
    lifetimes = {}
    for index in range(count):
        identity, high, low = struct.unpack_from(_PART, payload, _HEAD_BYTES + index * _PART_BYTES)
        lifetimes[identity] = high << 32 | low
    return epoch, sequence, lifetimes
