"""Takes up messages into the store, many in one commit, and ends waits.

An error with one message, or with what is stored of one device, sets that message aside with the reason and touches
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select

from tools.relay import logs
from tools.relay.core import decide as core
from tools.relay.core import state, wire
from tools.relay.core.wear import worst_permille
from tools.relay.delivery.outbox import queued
from tools.relay.store import bulk
from tools.relay.store.known import known_of, lock
from tools.relay.store.schema import commands, devices, epochs, messages, quarantine, usage

log = logs.logger(__name__)
Item = tuple[str, bytes, wire.Up | wire.Unreadable]
DEFERRED = "deferred"
"""The verdict on a message whose stored state a newer relay has written: neither stored nor acknowledged here."""

_SEEN = ("last_seen_s", "epoch", "sampled_s", "faults", "fault_detail", "wear_permille")
_KNOWN = (*_SEEN, "status_epoch", "next_sequence", "about", "nonce")
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
        self.lock([device for device, _, _ in items])
        keys = sorted({(device, message.epoch, message.sequence) for device, _, message in items})
        pairs = sorted({key[:2] for key in keys})
        self.states: dict[tuple[str, int], Any] = {
            (row[0], row[1]): row[2] for row in bulk.read(connection, epochs, _KEY[:2], ("state",), pairs)
        }
        self.stored: dict[tuple[str, int, int], bytes] = {
            (row[0], row[1], row[2]): bytes(row[3])
            for row in bulk.read(connection, messages, _KEY, ("payload",), list(filter(self._may_be_stored, keys)))
        }
        self.changed: dict[tuple[str, int], None] = {}
        self._messages: list[tuple[Any, ...]] = []
        self._usages: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._events: list[dict[str, Any]] = []
        self._aside: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def lock(self, names: list[str]) -> None:
        self.rows = lock(self.connection, _KNOWN, names, self.now_s)

    def _may_be_stored(self, key: tuple[str, int, int]) -> bool:
        """Every accepted message is held by the state of its epoch: one above all that are held is not stored."""
        try:
            held = self.state_of(key[:2])
            return held is None or key[2] <= held.highest
        except Exception:  # whatever is wrong with the state, `accept` finds out, for this message alone
            return True

    def accept(self, device: str, payload: bytes, message: wire.Up | wire.Unreadable) -> Outcome:
        """Decide about one message and note what it changes; `write` stores it."""
        row = self.rows[device]
        key = (device, message.epoch, message.sequence)
        try:
            known = known_of(row)
            decision = self._decide(known, key, message)
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
            if decision.current:
                row["sampled_s"] = decision.sampled_s(known)
            self._accepted(key, payload, message, decision)
        return Outcome(decision.verdict, decision.reason, row["nonce"])

    def state_of(self, key: tuple[str, int]) -> state.Epoch | None:
        """Return what is held of an epoch. Raises state.Newer, state.Damaged."""
        held = self.states.get(key)
        if isinstance(held, str):
            held = self.states[key] = state.load(held)
        return held

    def _decide(
        self, known: core.Device, key: tuple[str, int, int], message: wire.Up | wire.Unreadable
    ) -> core.Decision:
        held = self.stored.get(key)
        before = wire.decode_up(held) if held is not None else None
        if isinstance(before, wire.Unreadable):
            raise state.Damaged("the stored message of that sequence cannot be read")
        return core.decide(known, self.state_of(key[:2]), message, before, self.now_s, self.gap_wait_s, self.trusted)

    def _accepted(self, key: tuple[str, int, int], payload: bytes, message: wire.Up, decision: core.Decision) -> None:
        row = self.rows[key[0]]
        self.stored[key] = payload
        self._messages.append(
            (*key, wire.KIND[type(message)], self.now_s, *decision.sample, message.faults, decision.late, payload)
        )
        self.tell(key[:2], decision)
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


def end_waits(batch: Batch, limit: int = 200) -> int:
    """Tell what waited for messages that are not expected any more. Returns how many epochs had to be looked at."""
    connection, now_s = batch.connection, batch.now_s
    due = select(epochs.c.device, epochs.c.epoch).where(epochs.c.gap_since_s <= now_s - batch.gap_wait_s)
    keys = [(row[0], row[1]) for row in connection.execute(due.order_by(epochs.c.gap_since_s).limit(limit))]
    if not keys:
        return 0
    batch.lock([device for device, _ in keys])
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
