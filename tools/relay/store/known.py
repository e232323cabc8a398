"""What is known of devices: their rows, locked before anything of them is read, so that relays can share them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from tools.relay.core import bounds, wire
from tools.relay.core import decide as core
from tools.relay.store import bulk
from tools.relay.store.schema import devices

Known = dict[str, Any]
"""The columns that were asked for, to be changed and written back."""


def blank(now_s: int) -> Known:
    """Return the row of a device that has just been heard of, without its key."""
    return {
        "online": False, "last_seen_s": now_s, "firmware": "", "faults": 0, "fault_detail": "", "link_reason": 0,
        "link_losses": 0, "uptime_s": 0, "clock_known": False, "test": False,
    }  # fmt: skip


def lock(connection: Connection, columns: bulk.Names, names: list[str], now_s: int) -> dict[str, Known]:
    """Return what is known of the devices, made where they are new, that no other transaction can change meanwhile."""
    wanted = sorted(set(names))
    rows = _locked(connection, columns, wanted)
    fresh = [name for name in wanted if name not in rows]
    if fresh:
        values = blank(now_s)
        unknown = [(name, *values.values()) for name in fresh]
        bulk.insert(connection, devices, ("device", *values), unknown, ignore=True)
        rows |= _locked(connection, columns, fresh)
    return rows


def _locked(connection: Connection, columns: bulk.Names, names: list[str]) -> dict[str, Known]:
    rows = bulk.lock(connection, devices, "device", columns, names)
    return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in rows}


def known_of(row: Known) -> core.Device:
    """Return what the core is told of a device."""
    return core.Device(
        row["epoch"], row["status_epoch"], row["next_sequence"], _consumables(row["about"]),
        row["sampled_s"] or bounds.BUILD_UTC_S,
    )  # fmt: skip


@lru_cache(maxsize=10_000)
def _consumables(about: bytes | None) -> frozenset[int] | None:
    """The ids in an about, which a fleet of one model says many thousand times; None where nothing can be read."""
    try:
        return frozenset(part.id for part in wire.decode_about(bytes(about)).consumables) if about is not None else None
    except wire.Refused:
        return None
