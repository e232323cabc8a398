"""Takes what devices say into the store, many messages in one commit: ups, statuses, descriptions; and ends waits.

The rows of `devices` are locked before anything of those devices is read, so that several relays can share a database.
An error with one message, or with what is stored of one device, sets that message aside with the reason and touches
nothing else.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, select

from tools.relay import logs
from tools.relay.core import bounds, state, wire
from tools.relay.core import decide as core
from tools.relay.core.wear import worst_permille
from tools.relay.delivery.outbox import queued
from tools.relay.store import bulk
from tools.relay.store.schema import commands, devices, epochs, messages, quarantine, usage

log = logs.logger(__name__)
Item = tuple[str, bytes, wire.Up | wire.Unreadable]
DEFERRED = "deferred"
"""The verdict on a message whose stored state a newer relay has written: neither stored nor acknowledged here."""

_SEEN = ("last_seen_s", "epoch", "sampled_s", "faults", "fault_detail", "wear_permille")
_STATUS = ("online", "nonce", "status_epoch", "next_sequence", "last_seen_s", "firmware", "faults", "link_reason",
           "link_losses", "uptime_s", "clock_known")  # fmt: skip
_KNOWN = ("epoch", "status_epoch", "next_sequence", "sampled_s", "about", "about_crc", "customer", "nonce", "online",
          "last_seen_s", "firmware", "faults", "fault_detail", "link_reason", "link_losses", "uptime_s", "clock_known",
          "wear_permille")  # fmt: skip
_KEY = ("device", "epoch", "sequence")
_MESSAGE = (*_KEY, "kind", "received_s", "sample_s", "estimated", "faults", "late", "payload")
_USAGE = ("device", "epoch", "consumable", "generation", "used_s", "replaced_s", "inferred")
_ASIDE = ("device", "epoch", "sequence", "received_s", "reason", "payload")


@dataclass(frozen=True)
class Outcome:
    """What became of an up message; `nonce` is that of the device's latest connection, None if it never said one."""

    verdict: str
    reason: str
    nonce: int | None


@dataclass(frozen=True)
class Welcome:
    """What the relay holds of a device that came online."""

    epoch: int
    have_sequence: int
    about_crc: int | None


def blank(now_s: int) -> dict[str, Any]:
    """Return the row of a device that has just been heard of, without its key."""
    return {
        "online": False, "last_seen_s": now_s, "firmware": "", "faults": 0, "fault_detail": "", "link_reason": 0,
        "link_losses": 0, "uptime_s": 0, "clock_known": False, "test": False,
    }  # fmt: skip


def lock(connection: Connection, names: list[str], now_s: int) -> dict[str, dict[str, Any]]:
    """Return what is known of the devices, made where they are new, that no other transaction can change meanwhile."""
    wanted = sorted(set(names))
    rows = {row[0]: dict(zip(_KNOWN, row[1:], strict=True)) for row in _locked(connection, wanted)}
    fresh = [name for name in wanted if name not in rows]
    if fresh:
        values = blank(now_s)
        unknown = [(name, *values.values()) for name in fresh]
        bulk.insert(connection, devices, ("device", *values), unknown, ignore=True)
        rows |= {row[0]: dict(zip(_KNOWN, row[1:], strict=True)) for row in _locked(connection, fresh)}
    return rows


def _locked(connection: Connection, names: list[str]) -> list[Any]:
    return bulk.lock(connection, devices, "device", _KNOWN, names)


class Batch:
    """Messages of many devices on their way into the store, in one transaction.

    `enqueue` puts events into the queue to Alexa; `trusted`: a person vouches for the messages.
    """

    def __init__(
        self, connection: Connection, items: list[Item], now_s: int, gap_wait_s: int,
        enqueue: Callable[[Connection, list[dict[str, Any]]], Any], trusted: bool = False,
    ) -> None:  # fmt: skip
        self.connection = connection
        self.now_s = now_s
        self.gap_wait_s = gap_wait_s
        self._enqueue = enqueue
        self.trusted = trusted
        self.rows = lock(connection, [device for device, _, _ in items], now_s)
        keys = sorted({(device, message.epoch, message.sequence) for device, _, message in items})
        pairs = sorted({key[:2] for key in keys})
        self.states: dict[tuple[str, int], Any] = {
            (row[0], row[1]): row[2] for row in bulk.read(connection, epochs, _KEY[:2], ("state",), pairs)
        }
        self.stored: dict[tuple[str, int, int], bytes] = {
            (row[0], row[1], row[2]): bytes(row[3]) for row in bulk.read(connection, messages, _KEY, ("payload",), keys)
        }
        self.changed: dict[tuple[str, int], None] = {}
        self._messages: list[tuple[Any, ...]] = []
        self._usages: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._events: list[dict[str, Any]] = []
        self._aside: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def accept(self, device: str, payload: bytes, message: wire.Up | wire.Unreadable) -> Outcome:
        """Decide about one message and note what it changes; `write` stores it."""
        row = self.rows[device]
        key = (device, message.epoch, message.sequence)
        try:
            decision = self._decide(row, key, message)
        except state.Newer:
            return Outcome(DEFERRED, "", None)
        except Exception as error:  # one message or one row that nothing can be made of is no reason to stop
            if not isinstance(error, state.Damaged):
                log.exception("could not be decided", device=device)
            decision = core.Decision(core.ASIDE, f"{type(error).__name__}: {error}"[:200])
        if decision.epoch is not None:
            self.states[key[:2]] = decision.epoch
            self.changed[key[:2]] = None
        row["last_seen_s"] = self.now_s
        if decision.verdict == core.ASIDE:
            self.set_aside(key, payload, decision.reason)
        elif decision.verdict == core.ACCEPTED and not isinstance(message, wire.Unreadable):
            self._accepted(key, payload, message, decision)
        return Outcome(decision.verdict, decision.reason, row["nonce"])

    def state_of(self, key: tuple[str, int]) -> state.Epoch | None:
        """Return what is held of an epoch. Raises state.Newer, state.Damaged."""
        held = self.states.get(key)
        if isinstance(held, str):
            held = self.states[key] = state.load(held)
        return held

    def _decide(
        self, row: dict[str, Any], key: tuple[str, int, int], message: wire.Up | wire.Unreadable
    ) -> core.Decision:
        held = self.stored.get(key)
        before = wire.decode_up(held) if held is not None else None
        if isinstance(before, wire.Unreadable):
            raise state.Damaged("the stored message of that sequence cannot be read")
        known = known_of(row)
        return core.decide(known, self.state_of(key[:2]), message, before, self.now_s, self.gap_wait_s, self.trusted)

    def _accepted(self, key: tuple[str, int, int], payload: bytes, message: wire.Up, decision: core.Decision) -> None:
        row = self.rows[key[0]]
        self.stored[key] = payload
        self._messages.append(
            (*key, wire.KIND[type(message)], self.now_s, *decision.sample, message.faults, decision.late, payload)
        )
        self.tell(key[:2], decision)
        if decision.current:
            row["sampled_s"] = decision.sampled_s(known_of(row))
        if decision.current and not decision.late:
            row |= {"epoch": message.epoch, "faults": message.faults}
            if decision.epoch is not None:
                row["wear_permille"] = worst_permille(row["about"], decision.epoch)
            if isinstance(message, wire.FaultTransition):
                row["fault_detail"] = message.detail
        if isinstance(message, wire.Answer):
            own = (commands.c.number == message.number) & (commands.c.device == key[0]) & commands.c.result.is_(None)
            answer = {"result": message.result, "answered_s": self.now_s}
            self.connection.execute(commands.update().where(own).values(**answer))

    def tell(self, key: tuple[str, int], decision: core.Decision) -> None:
        """Note the events and usages of a decision about this epoch."""
        for used in decision.usages:
            part = (*key, used.consumable, used.generation)
            self._usages[part] = (*part, used.used_s, used.replaced_utc_s, used.inferred)
        for told in decision.events:
            self._events.append(queued(
                key[0], told.name, self.now_s, epoch=key[1], consumable=told.consumable, generation=told.generation,
                usage_s=told.usage_s, utc_s=told.utc_s, estimated=told.estimated, inferred=told.inferred,
            ))  # fmt: skip

    def set_aside(self, key: tuple[str, int, int], payload: bytes, reason: str) -> None:
        self._aside.setdefault((*key, payload), (*key, self.now_s, reason, payload))

    def settle(self, outcomes: list[Outcome], items: list[Item]) -> list[Outcome]:
        """Return the outcomes, where what was kept aside before, too, is a duplicate."""
        if not self._aside:
            return outcomes
        keys = sorted({key[:3] for key in self._aside})
        held = {(*row[:3], bytes(row[3])) for row in bulk.read(self.connection, quarantine, _KEY, ("payload",), keys)}
        settled = []
        for outcome, (device, payload, message) in zip(outcomes, items, strict=True):
            again = outcome.verdict == core.ASIDE and (device, message.epoch, message.sequence, payload) in held
            settled.append(replace(outcome, verdict=core.DUPLICATE, reason="") if again else outcome)
        return settled

    def write(self) -> None:
        """Write all of it. Raises sqlalchemy.exc.SQLAlchemyError; then nothing of the batch is stored."""
        connection = self.connection
        held = [(*key, self.now_s, self.states[key]) for key in sorted(self.changed)]
        rows = [(*head, epoch.gap_since_s, state.dump(epoch)) for *head, epoch in held]
        columns = ("device", "epoch", "first_seen_s", "gap_since_s", "state")
        bulk.upsert(connection, epochs, columns, ("gap_since_s", "state"), rows)
        bulk.insert(connection, messages, _MESSAGE, self._messages)
        self._enqueue(connection, self._events)
        usages = [self._usages[key] for key in sorted(self._usages)]
        bulk.upsert(connection, usage, _USAGE, ("used_s", "replaced_s", "inferred"), usages)
        bulk.insert(connection, quarantine, _ASIDE, list(self._aside.values()), ignore=True)
        seen = [(name, *(row[field] for field in _SEEN)) for name, row in self.rows.items()]
        bulk.update(connection, devices, "device", _SEEN, seen)


def known_of(row: dict[str, Any]) -> core.Device:
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


def statuses(
    connection: Connection, said: list[tuple[str, wire.Online | wire.Offline]], now_s: int
) -> list[Welcome | None]:
    """Note connections and their ends, in order. Returns for each what to welcome the device with, or None.

    None also where a newer relay has written what is held: that relay knows what to say.
    """
    rows = lock(connection, [device for device, _ in said], now_s)
    pairs = sorted({(device, status.epoch) for device, status in said if isinstance(status, wire.Online)})
    held = {(row[0], row[1]): row[2] for row in bulk.read(connection, epochs, _KEY[:2], ("state",), pairs)}
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
    rows = lock(connection, list(newest), now_s)
    fresh = {name: about for name, about in newest.items() if rows[name]["about"] != about}
    free = {name: about for name, about in fresh.items() if rows[name]["customer"] is None}
    keys = [(name, rows[name]["epoch"]) for name in free if rows[name]["epoch"] is not None]
    held = {row[0]: row[2] for row in bulk.read(connection, epochs, _KEY[:2], ("state",), keys)}
    new = [(name, about, zlib.crc32(about), _wear(about, held.get(name))) for name, about in free.items()]
    bulk.update(connection, devices, "device", ("about", "about_crc", "wear_permille"), new)
    return [(name, about) for name, about in fresh.items() if rows[name]["customer"] is not None]


def _wear(about: bytes, held: str | None) -> int | None:
    try:
        return worst_permille(about, state.load(held)) if held is not None else None
    except (state.Newer, state.Damaged):
        return None


def end_waits(batch: Batch, limit: int = 200) -> int:
    """Tell what waited for messages that are not expected any more. Returns how many epochs had to be looked at."""
    connection, now_s = batch.connection, batch.now_s
    due = select(epochs.c.device, epochs.c.epoch).where(epochs.c.gap_since_s <= now_s - batch.gap_wait_s)
    keys = [(row[0], row[1]) for row in connection.execute(due.order_by(epochs.c.gap_since_s).limit(limit))]
    if not keys:
        return 0
    batch.rows = lock(connection, [device for device, _ in keys], now_s)
    batch.states = {(row[0], row[1]): row[2] for row in bulk.read(connection, epochs, _KEY[:2], ("state",), keys)}
    for key in list(batch.states):
        try:
            held = batch.state_of(key)
        except (state.Newer, state.Damaged):
            held = None
        if held is None:  # not to be looked at again before its next message
            own = (epochs.c.device == key[0]) & (epochs.c.epoch == key[1])
            connection.execute(epochs.update().where(own).values(gap_since_s=None))
            continue
        decision = core.gaps_over(known_of(batch.rows[key[0]]), held, key[1], now_s, batch.gap_wait_s)
        assert decision.epoch is not None
        batch.states[key], batch.changed[key] = decision.epoch, None
        batch.tell(key, decision)
    batch.write()
    return len(keys)
