"""The database: SQLite with no set-up, or PostgreSQL by URL. Accepting a message and queueing its events is one commit.

Every method is one transaction and may be called from any thread. A row of `devices` is locked before anything of that
device is read, so several relays can share one PostgreSQL. Times are UTC seconds of the relay's clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Table, bindparam, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite

from tools.relay.core import decide as core
from tools.relay.core import wire
from tools.relay.delivery.leases import Leases
from tools.relay.delivery.outbox import SENT_COUNTER, Outbox
from tools.relay.settings import Clock
from tools.relay.store import acceptance, migrations, months, presence
from tools.relay.store.acceptance import Batch, Item, Outcome
from tools.relay.store.known import blank
from tools.relay.store.presence import Welcome
from tools.relay.store.schema import audit, commands, counters, devices, epochs, messages, quarantine

_DEVICE = select(devices).where(devices.c.device == bindparam("device")).with_for_update()
__all__ = ["Command", "Refusal", "Store", "upsert"]


class Refusal(Exception):
    """What was asked for cannot be done; the text says why."""


class Command(NamedTuple):
    """A command to send, to the device's connection with this nonce."""

    device: str
    nonce: int
    number: int
    operation: int
    arguments: list[int]


class Store:
    """Opens `url` and brings its schema up to date; `owners_only` is the outbox's.

    Raises sqlalchemy.exc.SQLAlchemyError.
    """

    def __init__(self, url: str, clock: Clock, gap_wait_s: int = 3600, owners_only: bool = False) -> None:
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
        self.outbox = Outbox(owners_only)
        self.leases = Leases()
        with self.engine.begin() as connection:
            migrations.upgrade(connection)
            months.prepare(connection, clock())

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back on an exception."""
        with self.engine.begin() as connection:
            yield connection

    # ---- from the devices

    def accept(self, items: list[Item], trusted: bool = False) -> list[Outcome]:
        """Store the messages (device, payload, decoded) in one commit. When this returns, they are durable.

        Those of verdict DEFERRED are not: a newer relay holds the state of their device. `trusted`: see core.decide.
        """
        with self.begin() as connection:
            batch = self._batch(connection, items, trusted)
            outcomes = batch.settle([batch.accept(*item) for item in items], items)
            batch.write()
            counts: dict[str, int] = {}
            for outcome in outcomes:
                counts[outcome.verdict] = counts.get(outcome.verdict, 0) + 1
            _count(connection, counts)
        return outcomes

    def set_aside(self, item: Item, reason: str) -> Outcome:
        """Keep a message that cannot be stored otherwise, with the reason."""
        device, payload, message = item
        with self.begin() as connection:
            batch = self._batch(connection, [])
            batch.lock([device])
            batch.set_aside((device, message.epoch, message.sequence), payload, reason)
            batch.write()
            _count(connection, {core.ASIDE: 1})
            return Outcome(core.ASIDE, reason, batch.rows[device]["nonce"])

    def readmit(self, number: int) -> str:
        """Accept the message kept aside under this number after all. Returns its device. Raises Refusal."""
        found = self.rows(quarantine, id=number)
        if not found:
            raise Refusal(f"no message is kept aside under {number}")
        row = found[0]
        try:
            message = wire.decode_up(row.payload)
        except wire.Refused as error:
            raise Refusal(f"it is no message: {error}") from error
        if isinstance(message, wire.Unreadable):
            raise Refusal(f"it cannot be read: {message.reason}")
        (outcome,) = self.accept([(row.device, row.payload, message)], trusted=True)
        if outcome.verdict != core.ACCEPTED:
            (held,) = self.rows(quarantine, id=number)
            raise Refusal(f"it cannot be accepted: {outcome.reason or held.reason}")
        with self.begin() as connection:
            connection.execute(quarantine.delete().where(quarantine.c.id == number))
        return str(row.device)

    def reset(self, device: str) -> int:
        """Forget what is believed of a device; its messages and usage stay. Returns of how many epochs."""
        with self.begin() as connection:
            self.lock(connection, device)
            forgotten = connection.execute(epochs.delete().where(epochs.c.device == device)).rowcount
            fresh = {"sampled_s": None, "next_sequence": None}
            connection.execute(devices.update().where(devices.c.device == device).values(**fresh))
            return forgotten

    def end_waits(self) -> int:
        """Tell what waited for messages that are not expected any more. Returns how many epochs were looked at."""
        with self.begin() as connection:
            return acceptance.end_waits(self._batch(connection, []))

    def _batch(self, connection: Connection, items: list[Item], trusted: bool = False) -> Batch:
        return Batch(connection, items, int(self.clock()), self.gap_wait_s, self.outbox.enqueue, trusted)

    def refused(self, reason: str) -> None:
        """Count a payload that is no message."""
        with self.begin() as connection:
            _count(connection, {f"refused: {reason}": 1})

    def status(self, device: str, status: wire.Online | wire.Offline) -> Welcome | None:
        """Note one connection, or its end; as `statuses`."""
        return self.statuses([(device, status)])[0]

    def statuses(self, said: list[tuple[str, wire.Online | wire.Offline]]) -> list[Welcome | None]:
        """Note connections and their ends, in order, in one commit. Returns for each what to welcome it with."""
        with self.begin() as connection:
            return presence.statuses(connection, said, int(self.clock()))

    def abouts(self, said: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """Keep the descriptions of devices nobody owns. Returns the new ones of the others, for the fleet to keep."""
        with self.begin() as connection:
            others = presence.abouts(connection, said, int(self.clock()))
            self.outbox.described(connection, sorted({device for device, _ in said}))
            return others

    def lock(self, connection: Connection, device: str) -> dict[str, Any]:
        """Return the row of a device, made if it is new, that no other transaction can change until this one ends."""
        row = connection.execute(_DEVICE, {"device": device}).mappings().first()
        if row is None:
            fresh = {"device": device, **blank(int(self.clock()))}
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

    def due_commands(self, resend_s: float, names: list[str] | None = None) -> list[Command]:
        """Return the unanswered commands of devices that are online, and note them as sent.

        Without `names` of devices, only those not sent in the last `resend_s`.
        """
        now_s = self.clock()
        wanted = select(commands, devices.c.nonce).join(devices, devices.c.device == commands.c.device)
        wanted = wanted.where(commands.c.result.is_(None), devices.c.online, devices.c.nonce.is_not(None))
        if names is not None:
            wanted = wanted.where(commands.c.device.in_(names))
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
        return {row.name: row.value for row in self.rows(counters) if row.name != SENT_COUNTER}

    def largest_payload(self) -> int:
        """Return the bytes of the longest accepted message, 0 if there is none."""
        with self.begin() as connection:
            return connection.execute(select(func.max(func.length(messages.c.payload)))).scalar() or 0


def _sqlite_connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun by the listener on `begin`
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _where(statement: Any, table: Table, **equal: Any) -> Any:
    return statement.where(*(table.c[name] == value for name, value in equal.items()))


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


def _count(connection: Connection, counts: dict[str, int]) -> None:
    for name in sorted(counts):
        own = counters.update().where(counters.c.name == name)
        if not connection.execute(own.values(value=counters.c.value + counts[name])).rowcount:
            insert: Any = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(counters)
            added = {"value": counters.c.value + insert.excluded.value}
            statement = insert.on_conflict_do_update(index_elements=["name"], set_=added)
            connection.execute(statement, {"name": name, "value": counts[name]})
