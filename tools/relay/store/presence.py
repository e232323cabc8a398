"""Takes in who came online, who went, and what devices say of themselves: many in one commit."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from tools.relay import logs
from tools.relay.core import bounds, state, wire
from tools.relay.core.wear import worst_permille
from tools.relay.store import bulk
from tools.relay.store.known import lock
from tools.relay.store.schema import devices, epochs

log = logs.logger(__name__)
_KEY = ("device", "epoch")
_STATUS = ("online", "nonce", "status_epoch", "next_sequence", "last_seen_s", "firmware", "faults", "link_reason",
           "link_losses", "uptime_s", "clock_known")  # fmt: skip
_ABOUT = ("about", "about_crc", "wear_permille")


@dataclass(frozen=True)
class Welcome:
    """What the relay holds of a device that came online."""

    epoch: int
    have_sequence: int
    about_crc: int | None


def statuses(
    connection: Connection, said: list[tuple[str, wire.Online | wire.Offline]], now_s: int
) -> list[Welcome | None]:
    """Note connections and their ends, in order. Returns for each what to welcome the device with, or None.

    None also where a newer relay has written what is held: that relay knows what to say.
    """
    rows = lock(connection, (*_STATUS, "about_crc"), [device for device, _ in said], now_s)
    pairs = sorted({(device, status.epoch) for device, status in said if isinstance(status, wire.Online)})
    held = {(row[0], row[1]): row[2] for row in bulk.read(connection, epochs, _KEY, ("state",), pairs)}
    welcomes: list[Welcome | None] = []
    changed: dict[str, dict[str, Any]] = {}
    for device, status in said:
        row = rows[device]
        if isinstance(status, wire.Offline):
            if row["nonce"] == status.nonce:
                row["online"], changed[device] = False, row
            welcomes.append(None)
            continue
        changed[device] = row
        row |= {
            "online": True, "nonce": status.nonce, "status_epoch": status.epoch, "last_seen_s": now_s,
            "next_sequence": status.next_sequence, "firmware": status.firmware, "faults": status.faults,
            "link_reason": status.reason, "link_losses": status.link_losses, "uptime_s": status.uptime_s,
            "clock_known": status.clock_known,
        }  # fmt: skip
        have = _have(connection, (device, status.epoch), held, status.next_sequence)
        welcomes.append(None if have is None else Welcome(status.epoch, have, row["about_crc"]))
    values = [(name, *(row[field] for field in _STATUS)) for name, row in changed.items()]
    bulk.update(connection, devices, "device", _STATUS, values)
    return welcomes


def _have(
    connection: Connection, key: tuple[str, int], held: dict[tuple[str, int], str], next_sequence: int
) -> int | None:
    """Return up to which sequence nothing lacks; None where only a newer relay knows.

    Sequences that the device will never reach, which no device has made, are forgotten with their epoch's state.
    """
    if key not in held:
        return 0
    try:
        epoch = state.load(held[key])
    except state.Newer:
        return None
    except state.Damaged as error:
        log.warning("state cannot be read", device=key[0], reason=str(error))
        return 0
    if not bounds.lost_count(epoch, next_sequence):
        return epoch.contiguous
    log.warning("sequences of no device are forgotten", device=key[0], highest=epoch.highest, next=next_sequence)
    connection.execute(epochs.delete().where(epochs.c.device == key[0], epochs.c.epoch == key[1]))
    return 0


def abouts(connection: Connection, said: list[tuple[str, bytes]], now_s: int) -> list[tuple[str, bytes]]:
    """Keep the descriptions of devices that nobody owns. Returns those of the others that are new: Alexa is to hear."""
    newest = dict(said)
    rows = lock(connection, ("about", "customer", "epoch"), list(newest), now_s)
    fresh = {name: about for name, about in newest.items() if rows[name]["about"] != about}
    free = {name: about for name, about in fresh.items() if rows[name]["customer"] is None}
    keys = [(name, rows[name]["epoch"]) for name in free if rows[name]["epoch"] is not None]
    held = {row[0]: row[2] for row in bulk.read(connection, epochs, _KEY, ("state",), keys)}
    new = [(name, about, zlib.crc32(about), _wear(about, held.get(name))) for name, about in free.items()]
    bulk.update(connection, devices, "device", _ABOUT, new)
    return [(name, about) for name, about in fresh.items() if rows[name]["customer"] is not None]


def _wear(about: bytes, held: str | None) -> int | None:
    try:
        return worst_permille(about, state.load(held)) if held is not None else None
    except (state.Newer, state.Damaged):
        return None
