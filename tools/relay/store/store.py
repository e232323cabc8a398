"""The database: SQLite with no set-up, or PostgreSQL by URL. Accepting a message and queueing its events is one commit.

Every method is one transaction and may be called from any thread. A row of `devices` is locked before anything of that
device is read, so several relays can share one PostgreSQL. Times are UTC seconds of the relay's clock.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Table, bindparam, create_engine, event, func, make_url, select, text, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from tools.relay.core import decide as core
from tools.relay.core import wire
from tools.relay.core.wear import worst_permille
from tools.relay.settings import Clock
from tools.relay.store import migrations
from tools.relay.store.schema import audit, commands, counters, devices, epochs, messages, quarantine, queue, usage

QUEUED, SENT, DEAD = "queued", "sent", "dead"  # of an event
NEW, LINKED, REVOKED = "new", "linked", "revoked"  # of a customer
_DEVICE = select(devices).where(devices.c.device == bindparam("device")).with_for_update()
_KEY = ("device", "epoch", "sequence")
_USED = ("used_s", "replaced_s", "inferred")
_SEEN = ("last_seen_s", "epoch", "faults", "fault_detail", "wear_permille")  # what a batch may change of a device
_SAW = devices.update().where(devices.c.device == bindparam("of")).values({n: bindparam(f"new_{n}") for n in _SEEN})
SENSOR_EVENTS = (core.CONSUMED, core.REPLACED)


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


class Command(NamedTuple):
    """A command to send, to the device's connection with this nonce."""

    device: str
    nonce: int
    number: int
    operation: int
    arguments: list[int]


class Store:
    """Opens `url` and brings its schema up to date. Raises sqlalchemy.exc.SQLAlchemyError."""

    def __init__(self, url: str, clock: Clock, gap_wait_s: int = 3600) -> None:
        self.clock = clock
        self.gap_wait_s = gap_wait_s
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if parsed.database and parsed.database != ":memory:":
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            self.engine = create_engine(
                parsed, hide_parameters=True, connect_args={"timeout": 30, "check_same_thread": False}
            )
            event.listen(self.engine, "connect", _sqlite_connect)
            event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        else:
            self.engine = create_engine(parsed, hide_parameters=True, pool_size=10, max_overflow=10, pool_pre_ping=True)
        with self.engine.begin() as connection:
            migrations.upgrade(connection)

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back on an exception."""
        with self.engine.begin() as connection:
            yield connection

    # ---- from the devices

    def accept(self, batch: list[tuple[str, bytes, wire.Up | wire.Unreadable]]) -> list[Outcome]:
        """Store the messages (device, payload, decoded) in one commit. When this returns, they are durable."""
        now_s = int(self.clock())
        counts: dict[str, int] = {}
        outcomes: list[Outcome] = []
        with self.begin() as connection:
            rows = self._lock_all(connection, sorted({device for device, _, _ in batch}))
            work = _Batch(connection, rows, batch, now_s)
            for device, payload, message in batch:
                outcome = self._accept(work, device, payload, message)
                outcomes.append(outcome)
                counts[outcome.verdict] = counts.get(outcome.verdict, 0) + 1
            work.write()
            _count(connection, counts)
        return outcomes

    def _lock_all(self, connection: Connection, names: list[str]) -> dict[str, dict[str, Any]]:
        wanted = select(devices).where(devices.c.device.in_(names)).order_by(devices.c.device).with_for_update()
        rows = {row["device"]: dict(row) for row in connection.execute(wanted).mappings()}
        return {name: rows[name] if name in rows else self.lock(connection, name) for name in names}

    def _accept(self, work: _Batch, device: str, payload: bytes, message: wire.Up | wire.Unreadable) -> Outcome:
        row = work.rows[device]
        key = (device, message.epoch, message.sequence)
        found = work.states.get(key[:2])
        state = load_state(found) if found is not None else None
        if isinstance(message, wire.Unreadable):
            decision = core.Decision(core.ASIDE, message.reason)
            if state is not None:
                state.hold(message.sequence, message.sequence, work.now_s)
                decision.epoch = state
        else:
            stored = work.stored.get(key)
            known = core.Device(row["epoch"], row["status_epoch"], _consumables(row["about"]))
            before = wire.decode_up(stored) if stored is not None else None
            assert not isinstance(before, wire.Unreadable)
            decision = core.decide(known, state, message, before, work.now_s, self.gap_wait_s)
        if decision.epoch is not None:
            work.states[key[:2]] = dump_state(decision.epoch)
            work.changed.add(key[:2])
        row["last_seen_s"] = work.now_s
        if decision.verdict == core.ASIDE:
            kept = dict(zip(_KEY, key, strict=True))
            kept |= {"received_s": work.now_s, "reason": decision.reason, "payload": payload}
            if not upsert(work.connection, quarantine, kept, [], unique=["device", "epoch", "sequence", "payload"]):
                decision.verdict = core.DUPLICATE
        elif decision.verdict == core.ACCEPTED:
            assert not isinstance(message, wire.Unreadable)
            work.accepted(key, payload, message, decision)
            if decision.current and not decision.late:
                row |= {"epoch": message.epoch, "faults": message.faults}
                if decision.epoch is not None:
                    row["wear_permille"] = worst_permille(row["about"], decision.epoch)
                if isinstance(message, wire.FaultTransition):
                    row["fault_detail"] = message.detail
        return Outcome(decision.verdict, decision.reason, row["nonce"])

    def refused(self, reason: str) -> None:
        """Count a payload that is no message."""
        with self.begin() as connection:
            _count(connection, {f"refused: {reason}": 1})

    def status(self, device: str, status: wire.Online | wire.Offline) -> Welcome | None:
        """Note a connection, or its end. Returns what to welcome the device with; None when it went."""
        now_s = int(self.clock())
        with self.begin() as connection:
            row = self.lock(connection, device)
            own = devices.update().where(devices.c.device == device)
            if isinstance(status, wire.Offline):
                connection.execute(own.where(devices.c.nonce == status.nonce).values(online=False))
                return None
            connection.execute(
                own.values(
                    online=True,
                    nonce=status.nonce,
                    status_epoch=status.epoch,
                    last_seen_s=now_s,
                    firmware=status.firmware,
                    faults=status.faults,
                    link_reason=status.reason,
                    link_losses=status.link_losses,
                    uptime_s=status.uptime_s,
                    clock_known=status.clock_known,
                )  # fmt: skip
            )
            state = connection.execute(
                _where(select(epochs.c.state), epochs, device=device, epoch=status.epoch)
            ).scalar()
            have = load_state(state).contiguous if state is not None else 0
            return Welcome(status.epoch, have, row["about_crc"])

    def lock(self, connection: Connection, device: str) -> dict[str, Any]:
        """Return the row of a device, made if it is new, that no other transaction can change until this one ends."""
        row = connection.execute(_DEVICE, {"device": device}).mappings().first()
        if row is None:
            fresh = {
                "device": device, "online": False, "last_seen_s": int(self.clock()), "firmware": "", "faults": 0,
                "fault_detail": "", "link_reason": 0, "link_losses": 0, "uptime_s": 0, "clock_known": False,
                "test": False, "lease_until_s": 0.0, "lease_owner": "",
            }  # fmt: skip
            upsert(connection, devices, fresh, [])
            row = connection.execute(_DEVICE, {"device": device}).mappings().one()
        return dict(row)

    # ---- commands to the devices

    def add_command(self, device: str, operation: int, arguments: list[int]) -> int:
        """Queue a command and return its number."""
        with self.begin() as connection:
            values = {
                "device": device, "operation": operation, "arguments": json.dumps(arguments),
                "created_s": int(self.clock()),
            }  # fmt: skip
            return int(connection.execute(commands.insert().values(**values).returning(commands.c.number)).scalar_one())

    def due_commands(self, resend_s: float, device: str | None = None) -> list[Command]:
        """Return the unanswered commands of devices that are online, and note them as sent.

        Without `device`, only those not sent in the last `resend_s`.
        """
        now_s = self.clock()
        wanted = select(commands, devices.c.nonce).join(devices, devices.c.device == commands.c.device)
        wanted = wanted.where(commands.c.result.is_(None), devices.c.online, devices.c.nonce.is_not(None))
        if device is not None:
            wanted = wanted.where(commands.c.device == device)
        else:
            wanted = wanted.where(commands.c.sent_s.is_(None) | (commands.c.sent_s <= now_s - resend_s))
        with self.begin() as connection:
            rows = connection.execute(wanted.order_by(commands.c.number).limit(100)).all()
            numbers = [row.number for row in rows]
            if numbers:
                connection.execute(commands.update().where(commands.c.number.in_(numbers)).values(sent_s=now_s))
            return [
                Command(row.device, row.nonce, row.number, row.operation, json.loads(row.arguments)) for row in rows
            ]

    # ---- who did what

    def note(self, who: str, action: str, device: str | None, detail: str) -> None:
        """Add a line to the audit log; texts that are too long are cut."""
        with self.begin() as connection:
            line = {"at_s": int(self.clock()), "who": who[:64], "action": action[:32], "device": device}
            connection.execute(audit.insert().values(**line, detail=detail[:1000]))

    # ---- the queue to the gateway

    def lease_heads(self, owner: str, lease_s: float, limit: int) -> list[Row[Any]]:
        """Return the oldest queued event of each endpoint where it is due, and keep other senders off them."""
        now_s = self.clock()
        heads = select(func.min(queue.c.id)).where(queue.c.state == QUEUED).group_by(queue.c.device)
        wanted = (
            select(queue, devices.c.about, devices.c.test, devices.c.customer.label("owner"))
            .join(devices, devices.c.device == queue.c.device)
            .where(queue.c.id.in_(heads), queue.c.state == QUEUED, queue.c.next_try_s <= now_s)
            .where(devices.c.about.is_not(None))
            .where((devices.c.lease_until_s <= now_s) | (devices.c.lease_owner == owner))
            .order_by(queue.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=[devices, queue])
        )
        with self.begin() as connection:
            rows = connection.execute(wanted).all()
            if rows:
                connection.execute(
                    devices.update()
                    .where(devices.c.device.in_([row.device for row in rows]))
                    .values(lease_until_s=now_s + lease_s, lease_owner=owner)
                )
            return list(rows)

    def gateway_value(self, row: Row[Any]) -> int:
        """Return the last use of the row's part that the gateway accepted, 0 if none."""
        with self.begin() as connection:
            return connection.execute(_part(select(usage.c.gateway_s), row)).scalar() or 0

    def sent(self, row: Row[Any]) -> None:
        """The gateway has answered 202."""
        self._finish(row, SENT, "")

    def dead(self, row: Row[Any], reason: str) -> None:
        """Nothing more is tried with this event."""
        self._finish(row, DEAD, reason)

    def _finish(self, row: Row[Any], state: str, reason: str) -> None:
        with self.begin() as connection:
            self._end_lease(connection, row)
            values = {"state": state, "reason": reason, "done_s": self.clock(), "attempts": queue.c.attempts + 1}
            connection.execute(queue.update().where(queue.c.id == row.id).values(**values))
            if state == SENT and row.usage_s is not None:
                connection.execute(_part(usage.update(), row).values(gateway_s=row.usage_s))

    def postpone(self, row: Row[Any], after_s: float, reason: str, count: bool = True) -> None:
        """Try again `after_s` from now; what is queued behind it for the same endpoint waits too.

        Without `count` it does not count as an attempt.
        """
        with self.begin() as connection:
            self._end_lease(connection, row)
            attempts = queue.c.attempts + int(count)
            values = {"next_try_s": self.clock() + after_s, "reason": reason, "attempts": attempts}
            connection.execute(queue.update().where(queue.c.id == row.id).values(**values))

    @staticmethod
    def _end_lease(connection: Connection, row: Row[Any]) -> None:
        """The device's row comes first in every transaction, so that none can wait for another in a ring."""
        connection.execute(devices.update().where(devices.c.device == row.device).values(lease_until_s=0.0))

    # ---- what it holds

    def rows(self, table: Table, **equal: Any) -> list[Row[Any]]:
        """Return the rows of a table whose columns have these values, in the order of the primary key."""
        with self.begin() as connection:
            return list(connection.execute(_where(select(table), table, **equal).order_by(*table.primary_key)).all())

    def count(self, table: Table, **equal: Any) -> int:
        """Return how many rows of a table have these values."""
        with self.begin() as connection:
            return connection.execute(_where(select(func.count()).select_from(table), table, **equal)).scalar_one()

    def counts(self) -> dict[str, int]:
        """Return the counters: accepted, duplicate, aside, and `refused: ` with each reason."""
        return {row.name: row.value for row in self.rows(counters)}

    def largest_payload(self) -> int:
        """Return the bytes of the longest accepted message, 0 if there is none."""
        with self.begin() as connection:
            return connection.execute(select(func.max(func.length(messages.c.payload)))).scalar() or 0


class _Batch:
    """The reads of a batch in one query for each table, and its writes likewise: to a database that is another
    process each question costs more than its answer."""

    def __init__(
        self, connection: Connection, rows: dict[str, dict[str, Any]],
        batch: list[tuple[str, bytes, wire.Up | wire.Unreadable]], now_s: int,
    ) -> None:  # fmt: skip
        self.connection = connection
        self.rows = rows
        self.now_s = now_s
        keys = sorted({(device, message.epoch, message.sequence) for device, _, message in batch})
        held = select(epochs.c.device, epochs.c.epoch, epochs.c.state)
        held = held.where(tuple_(epochs.c.device, epochs.c.epoch).in_(sorted({key[:2] for key in keys})))
        self.states = {(row[0], row[1]): row[2] for row in connection.execute(held)}
        columns = [messages.c[name] for name in _KEY]
        stored = select(*columns, messages.c.payload).where(tuple_(*columns).in_(keys))
        self.stored = {(row[0], row[1], row[2]): row[3] for row in connection.execute(stored)}
        self.changed: set[tuple[str, int]] = set()
        self._messages: list[dict[str, Any]] = []
        self._usages: dict[tuple[str, int, int, int], dict[str, Any]] = {}
        self._queue: list[dict[str, Any]] = []

    def accepted(self, key: tuple[str, int, int], payload: bytes, message: wire.Up, decision: core.Decision) -> None:
        device, epoch, _ = key
        sample_s, estimated = decision.sample
        self.stored[key] = payload
        self._messages.append(dict(zip(_KEY, key, strict=True)) | {
            "kind": wire.KIND[type(message)], "received_s": self.now_s, "sample_s": sample_s, "estimated": estimated,
            "faults": message.faults, "late": decision.late, "payload": payload,
        })  # fmt: skip
        for used in decision.usages:
            self._usages[device, epoch, used.consumable, used.generation] = {
                "device": device, "epoch": epoch, "consumable": used.consumable, "generation": used.generation,
                "used_s": used.used_s, "replaced_s": used.replaced_utc_s, "inferred": used.inferred,
            }  # fmt: skip
        for told in decision.events:
            self._queue.append(queued(
                device, told.name, self.now_s, epoch=epoch, consumable=told.consumable, generation=told.generation,
                usage_s=told.usage_s, utc_s=told.utc_s, estimated=told.estimated, inferred=told.inferred,
            ))  # fmt: skip
        if isinstance(message, wire.Answer):
            own = (commands.c.number == message.number) & (commands.c.device == device) & commands.c.result.is_(None)
            answer = {"result": message.result, "answered_s": self.now_s}
            self.connection.execute(commands.update().where(own).values(**answer))

    def write(self) -> None:
        states = [
            {"device": device, "epoch": epoch, "first_seen_s": self.now_s, "state": self.states[device, epoch]}
            for device, epoch in sorted(self.changed)
        ]
        seen = [{"of": name} | {f"new_{field}": row[field] for field in _SEEN} for name, row in self.rows.items()]
        dialect = self.connection.dialect.name
        for statement, rows in (
            (_upsert_many(dialect, epochs, ("state",), "first_seen_s"), states),
            (messages.insert(), self._messages),
            (_upsert_many(dialect, usage, _USED), [self._usages[key] for key in sorted(self._usages)]),
            (queue.insert(), self._queue),
            (_SAW, seen),
        ):  # fmt: skip
            if rows:
                self.connection.execute(statement, rows)


def _sqlite_connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun by the listener on `begin`
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _where(statement: Any, table: Table, **equal: Any) -> Any:
    return statement.where(*(table.c[name] == value for name, value in equal.items()))


def _part(statement: Any, row: Row[Any]) -> Any:
    return _where(
        statement, usage, device=row.device, epoch=row.epoch, consumable=row.consumable, generation=row.generation
    )


def upsert(
    connection: Connection, table: Table, values: dict[str, Any], update: list[str], unique: list[str] | None = None
) -> bool:
    """Insert a row, or set `update` where its key is there already. Returns whether a row was written.

    The update is tried first: SQLAlchemy compiles it once, but an ON CONFLICT anew each time.
    """
    keys = unique or [column.name for column in table.primary_key]
    if update:
        there = table.update().where(*(table.c[name] == values[name] for name in keys))
        if connection.execute(there, {name: values[name] for name in update}).rowcount:
            return True
    statement = _upsert_statement(connection.dialect.name, table, tuple(update), tuple(keys))
    return connection.execute(statement, values).first() is not None


@cache
def _upsert_statement(dialect: str, table: Table, update: tuple[str, ...], keys: tuple[str, ...]) -> Any:
    insert: Any = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
    if update:
        set_ = {name: insert.excluded[name] for name in update}
        return insert.on_conflict_do_update(index_elements=keys, set_=set_).returning(*table.primary_key)
    return insert.on_conflict_do_nothing(index_elements=keys).returning(*table.primary_key)


@cache
def _upsert_many(dialect: str, table: Table, update: tuple[str, ...], *more: str) -> Any:
    """The statement that upserts rows with the key, `update` and `more`, as text: that is compiled but once."""
    kind: Any = sqlite if dialect == "sqlite" else postgresql
    keys = [column.name for column in table.primary_key]
    insert: Any = kind.insert(table)
    statement = insert.on_conflict_do_update(index_elements=keys, set_={name: insert.excluded[name] for name in update})
    return text(str(statement.compile(dialect=kind.dialect(paramstyle="named"), column_keys=[*keys, *update, *more])))


def _count(connection: Connection, counts: dict[str, int]) -> None:
    for name in sorted(counts):
        own = counters.update().where(counters.c.name == name)
        if not connection.execute(own.values(value=counters.c.value + counts[name])).rowcount:
            insert: Any = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(counters)
            added = {"value": counters.c.value + insert.excluded.value}
            statement = insert.on_conflict_do_update(index_elements=["name"], set_=added)
            connection.execute(statement, {"name": name, "value": counts[name]})


def queued(device: str, name: str, now_s: float, **fields: Any) -> dict[str, Any]:
    """A row of the queue. Its message id is drawn here, once, and stays the same however often it is sent."""
    row: dict[str, Any] = {
        "device": device, "name": name, "message_id": str(uuid.uuid4()), "epoch": None, "consumable": None,
        "generation": None, "usage_s": None, "utc_s": int(now_s), "estimated": False, "inferred": False,
        "customer": None, "body": None, "state": QUEUED, "attempts": 0, "next_try_s": 0.0, "queued_s": float(now_s),
        "reason": "",
    }  # fmt: skip
    return row | fields


@lru_cache(maxsize=10_000)
def _consumables(about: bytes | None) -> frozenset[int] | None:
    """The ids in an about; a fleet of one model says the same about many thousand times."""
    return frozenset(part.id for part in wire.decode_about(about).consumables) if about is not None else None


def dump_state(epoch: core.Epoch) -> str:
    """Return the state of an epoch as `epochs.state` keeps it."""
    return json.dumps(dataclasses.asdict(epoch), separators=(",", ":"))


def load_state(text: str) -> core.Epoch:
    """Return what `dump_state` was given."""
    fields = json.loads(text)
    parts = {}
    for consumable, part in fields["parts"].items():
        part["pending"] = [core.Fact(**fact) for fact in part["pending"]]
        parts[int(consumable)] = core.Part(**part)
    return core.Epoch(fields["contiguous"], [(first, last, since) for first, last, since in fields["ahead"]], parts)
