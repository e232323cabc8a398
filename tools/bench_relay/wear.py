"""What a swarm's devices say where every event is checked: a second of use a message, each EVERYth a replacement.

Use may not outrun time by more than the relay's slack of an hour.
"""

from __future__ import annotations

import time

from tools.bench_relay.swarm import EPOCH, Device
from tools.relay.testing import replacement, report

EVERY = 5


def message(device: Device, sequence: int) -> bytes:
    """Return the payload of a device's message."""
    before, lifetime_s, now_s = sequence // EVERY, sequence, int(time.time())
    used_s = lifetime_s - EVERY * before
    if sequence % EVERY == 0:
        return replacement(sequence, 1, before + 1, lifetime_s, EVERY, at=now_s, epoch=EPOCH)
    return report(sequence, lifetime_s, before + 1, used_s, at=now_s, epoch=EPOCH)


def expected(messages: int) -> list[str]:
    """Return what the gateway is told of a device that has sent so many messages."""
    told = []
    for sequence in range(1, messages + 1):
        seconds = sequence % EVERY
        told += [f"PT{seconds}S"] if seconds else [f"PT{EVERY}S", "replaced"]
    return told
