"""What the pages and the metrics show, read from the database and never written: its connections are read-only.

No customer, token or claim code is ever read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cbor2
from sqlalchemy import (
    Connection,
    Row,
    Select,
    case,
    create_engine,
    event,
    func,
    literal,
    literal_column,
    select,
    true,
)

from tools.relay.core import names, wear, wire
from tools.relay.delivery.outbox import DEAD, QUEUED, SENT, SENT_COUNTER
from tools.relay.pages.units import Change, Part, Summary, Unit
from tools.relay.settings import Clock
from tools.relay.store.schema import (
    audit,
    commands,
    counters,
    customers,
    devices,
    endpoints,
    history,
    messages,
    quarantine,
    queue,
    usage,
)
from tools.relay.store.store import Store

ROWS = 50
HISTORY = 2000  # messages in a curve: over five years of daily reports
SILENT_S = 2 * wear.DAY_S
FILTERS = {
    "all": "all",
    "due": "with a part due",
    "worn": "with a part over 80 %",
    "faults": "with faults",
    "online": "online",
    "silent": "silent for two days",
    "offline": "offline",
    "aside": "with messages kept aside",
    "dead": "with dead letters",
}
SORTS = {"device": "device", "wear": "most worn first", "seen": "silent for longest first", "faults": "faults first"}
DUE_PERMILLE, WORN_PERMILLE = 1000, 800
_OPERATIONS = {wire.REPLACED: "replaced", wire.UNDO: "undo", wire.REPORT_NOW: "report now"}


class View:
    """Reads the store's database over connections of its own."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.clock = clock
        if store.is_sqlite:
            self.engine = create_engine(store.engine.url, hide_parameters=True, connect_args={"timeout": 10})
            event.listen(self.engine, "connect", _read_only)
            event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        else:
            self.engine = create_engine(
                store.engine.url, hide_parameters=True, pool_size=2, max_overflow=2, pool_pre_ping=True,
                execution_options={"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"},
            )  # fmt: skip

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _look(self) -> Iterator[Connection]:
        """All that one page shows is of one moment."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    def summary(self) -> Summary:
        with self._look() as connection:
            silent = self.clock() - SILENT_S
            are_online = devices.c.online & (devices.c.last_seen_s >= silent)
            conditions = (are_online, devices.c.last_seen_s < silent)
            sums = [func.count(), *(func.coalesce(func.sum(case((found, 1), else_=0)), 0) for found in conditions)]
            total, online, quiet = connection.execute(select(*sums)).one()
            # Written out, so that SQLite sees that the index of those rows will do.
            kinds = (
                select(devices.c.faults, func.count())
                .where(devices.c.faults != literal_column("0"))
                .group_by(devices.c.faults)
            )
            by_name: dict[str, int] = {}
            faulty = 0
            for bits, count in connection.execute(kinds):
                faulty += count
                for name in names.faults(bits):
                    by_name[name] = by_name.get(name, 0) + count
            counted = {row.name: row.value for row in connection.execute(select(counters))}
            states = {
                state: connection.execute(_of_state(func.count(), state)).scalar_one() for state in (QUEUED, DEAD)
            }
            states[SENT] = counted.pop(SENT_COUNTER, 0)
            oldest = connection.execute(_of_state(func.min(queue.c.queued_s), QUEUED)).scalar()
            due = select(func.count()).where(devices.c.wear_permille >= DUE_PERMILLE)
            return Summary(
                total, online, quiet, faulty, by_name, connection.execute(due).scalar_one(), states,
                max(0.0, self.clock() - oldest) if oldest is not None else 0.0,
                connection.execute(select(func.count()).select_from(quarantine)).scalar_one(),
                counted,
                connection.execute(select(func.max(devices.c.last_seen_s))).scalar(),
            )  # fmt: skip

    def fleet(
        self, search: str = "", only: str = "all", page: int = 0, sort: str = "device"
    ) -> tuple[list[Unit], bool]:
        """Return the devices whose id begins with `search`, or whose name, firmware, model or serial holds it.

        `only` is a key of FILTERS, `sort` one of SORTS; anything else is taken for the first. At most ROWS, and
        whether there are more.
        """
        wanted = self._wanted(search, only, sort).offset(page * ROWS).limit(ROWS + 1)
        with self._look() as connection:
            rows = connection.execute(wanted).all()
            return self._units(connection, list(rows[:ROWS])), len(rows) > ROWS

    def everything(self, search: str = "", only: str = "all", sort: str = "device") -> Iterator[Unit]:
        """Yield all such devices, of one moment, without holding more than ROWS of them."""
        with self._look() as connection:
            found = connection.execution_options(yield_per=ROWS).execute(self._wanted(search, only, sort))
            for rows in found.partitions(ROWS):
                yield from self._units(connection, list(rows))

    def _wanted(self, search: str, only: str, sort: str) -> Select[Any]:
        orders: dict[str, list[Any]] = {
            "wear": [devices.c.wear_permille.desc().nulls_last()],
            "seen": [devices.c.last_seen_s],
            "faults": [case((devices.c.faults != 0, 0), else_=1), devices.c.last_seen_s.desc()],
        }
        wanted = select(devices).order_by(*orders.get(sort, []), devices.c.device)
        if search:
            inside: Any = func.instr if self.engine.dialect.name == "sqlite" else _position
            wanted = wanted.where(
                devices.c.device.startswith(search, autoescape=True)
                | devices.c.name.icontains(search, autoescape=True)
                | devices.c.firmware.startswith(search, autoescape=True)
                | (inside(devices.c.about, search.encode()) > 0)
            )
        silent_s = self.clock() - SILENT_S
        conditions = {
            "due": devices.c.wear_permille >= DUE_PERMILLE,
            "worn": devices.c.wear_permille >= WORN_PERMILLE,
            "faults": devices.c.faults != 0,
            "online": devices.c.online & (devices.c.last_seen_s >= silent_s),
            "silent": devices.c.last_seen_s < silent_s,
            "offline": devices.c.online.is_(False),
            "aside": select(literal(1)).where(quarantine.c.device == devices.c.device).exists(),
            "dead": select(literal(1)).where(queue.c.device == devices.c.device, queue.c.state == DEAD).exists(),
        }
        return wanted.where(conditions[only]) if only in conditions else wanted

    def device(self, device: str) -> dict[str, Any] | None:
        """Return everything about a device, None if it has not been heard of."""
        with self._look() as connection:
            row = connection.execute(select(devices).where(devices.c.device == device)).first()
            if row is None:
                return None
            (unit,) = self._units(connection, [row])
            self._histories(connection, unit)
            own = queue.c.device == device
            waiting = (
                select(queue, endpoints.c.due_s)
                .outerjoin(endpoints, endpoints.c.device == queue.c.device)
                .where(own, queue.c.state.in_((QUEUED, DEAD)))
                .order_by(queue.c.id.desc())
                .limit(ROWS)
            )
            sent = select(func.count(), func.max(queue.c.done_s)).where(own, queue.c.state == SENT)
            orders = select(commands).where(commands.c.device == device)
            linked = select(customers.c.state, customers.c.reason, customers.c.region)
            return {
                "unit": unit,
                "queue": connection.execute(waiting).all(),
                "sent": connection.execute(sent).one(),
                "linked": connection.execute(linked.where(customers.c.customer == row.customer)).first(),
                "aside": _asides(connection, 0, device)[0],
                "done": _done(connection, 0, device)[0],
                "commands": [
                    (found, _OPERATIONS.get(found.operation, str(found.operation)))
                    for found in connection.execute(orders.order_by(commands.c.number.desc()).limit(ROWS))
                ],
                "latest": [
                    (found, _decoded(found.payload))
                    for found in connection.execute(
                        select(messages).where(messages.c.device == device)
                        .order_by(messages.c.received_s.desc(), messages.c.sequence.desc()).limit(ROWS)
                    )
                ],
            }  # fmt: skip

    def asides(self, page: int = 0) -> tuple[list[tuple[Row[Any], str]], bool]:
        """Return the messages kept aside of all devices, newest first, with what could be read in them."""
        with self._look() as connection:
            return _asides(connection, page)

    def done(self, page: int = 0) -> tuple[list[Row[Any]], bool]:
        """Return the audit log, newest first."""
        with self._look() as connection:
            return _done(connection, page)

    def _units(self, connection: Connection, rows: list[Row[Any]]) -> list[Unit]:
        here = [row.device for row in rows]
        units = {}
        for row in rows:
            about = wire.decode_about(row.about) if row.about is not None else None
            parts = {
                part.id: Part(part.id, part.instance, _name(part), part.rated_life_h * 3600)
                for part in (about.consumables if about is not None else ())
            }
            silent = row.last_seen_s < self.clock() - SILENT_S
            units[row.device] = Unit(row, about, names.faults(row.faults), parts, silent)
        used = select(usage).join(devices, (devices.c.device == usage.c.device) & (devices.c.epoch == usage.c.epoch))
        for found in connection.execute(used.where(usage.c.device.in_(here)).order_by(usage.c.generation)):
            unit = units[found.device]
            if found.consumable not in unit.parts:
                unit.parts[found.consumable] = _unnamed(found.consumable, gone=unit.about is not None)
            part = unit.parts[found.consumable]
            part.generation, part.used_s, part.known = found.generation, found.used_s, True
            part.gateway_s = found.gateway_s
            if found.replaced_s is not None:
                part.changes.append(
                    Change(found.generation + 1, found.replaced_s, found.used_s, found.inferred, found.inferred)
                )
        for name, table, condition in (
            ("aside", quarantine, true()),
            ("dead", queue, queue.c.state == DEAD),
            ("queued", queue, queue.c.state == QUEUED),
        ):
            counted = select(table.c.device, func.count()).where(table.c.device.in_(here), condition)
            for device, count in connection.execute(counted.group_by(table.c.device)):
                setattr(units[device], name, count)
        return list(units.values())

    def _histories(self, connection: Connection, unit: Unit) -> None:
        wanted = select(messages).where(
            messages.c.device == unit.row.device, messages.c.late.is_(False),
            messages.c.kind.in_((wire.REPORT, wire.REPLACEMENT)),
        )  # fmt: skip
        newest = connection.execute(wanted.order_by(messages.c.received_s.desc()).limit(HISTORY)).all()
        decoded = []
        first_s: dict[int, int] = {}
        for row in newest:
            first_s[row.epoch] = min(row.received_s, first_s.get(row.epoch, row.received_s))
        for row in sorted(newest, key=lambda row: (first_s[row.epoch], row.epoch, row.sequence)):
            message = wire.decode_up(row.payload)
            if not isinstance(message, wire.Unreadable):
                decoded.append((message, row.sample_s, row.estimated))
        curves = _condensed(connection, unit.row.device)
        for consumable, points in wear.history(decoded).items():
            curves.setdefault(consumable, []).extend(points)
        estimated = {
            (point.epoch, consumable, point.generation)
            for consumable, points in curves.items()
            for point in points
            if point.new and point.estimated
        }
        for consumable, points in curves.items():
            if consumable in unit.parts:
                part = unit.parts[consumable]
                part.points, part.rate_s = points, wear.daily_use_s(points)
                part.left = wear.left(points, part.used_s, part.rated_s, self.clock())
                for change in part.changes:
                    change.estimated |= (unit.row.epoch, consumable, change.generation) in estimated


def _condensed(connection: Connection, device: str) -> dict[int, list[wear.Point]]:
    """Return what remains of messages that are not kept, oldest first, by the part's id."""
    curves: dict[int, list[wear.Point]] = {}
    wanted = select(history).where(history.c.device == device).order_by(history.c.utc_s.desc(), history.c.fitted.desc())
    for row in reversed(connection.execute(wanted.limit(HISTORY)).all()):
        point = wear.Point(
            row.utc_s, row.epoch, row.generation, row.used_s, row.lifetime_s, row.estimated, row.fitted
        )  # fmt: skip
        curves.setdefault(row.consumable, []).append(point)
    return curves


def _asides(connection: Connection, page: int, device: str | None = None) -> tuple[list[tuple[Row[Any], str]], bool]:
    wanted = select(quarantine).order_by(quarantine.c.id.desc()).offset(page * ROWS).limit(ROWS + 1)
    if device is not None:
        wanted = wanted.where(quarantine.c.device == device)
    rows = connection.execute(wanted).all()
    return [(row, _decoded(row.payload)) for row in rows[:ROWS]], len(rows) > ROWS


def _done(connection: Connection, page: int, device: str | None = None) -> tuple[list[Row[Any]], bool]:
    wanted = select(audit).order_by(audit.c.id.desc()).offset(page * ROWS).limit(ROWS + 1)
    if device is not None:
        wanted = wanted.where(audit.c.device == device)
    rows = connection.execute(wanted).all()
    return list(rows[:ROWS]), len(rows) > ROWS


def _decoded(payload: bytes) -> str:
    """Return what a payload says, in CBOR's diagnostic manner, or its bytes."""
    try:
        text = str(cbor2.loads(payload))
    except Exception:  # whatever a hostile payload does to the decoder, the page shows it
        text = payload.hex(" ")
    return text if len(text) <= 240 else text[:240] + "…"


def _of_state(column: Any, state: str) -> Any:
    """Select over the events of one state; written out, so that SQLite sees that the index of that state will do."""
    return select(column).select_from(queue).where(queue.c.state == literal_column(f"'{state}'"))


def _unnamed(consumable: int, gone: bool) -> Part:
    """A part without a description: the device has given none yet, or its product no longer has it."""
    return Part(
        consumable, "not in the product any more" if gone else "not described yet", f"Consumable {consumable}", 0
    )


def _name(consumable: wire.Consumable) -> str:
    found = dict(consumable.names)
    return found.get("en-US", consumable.names[0][1])


def _position(column: Any, part: bytes) -> Any:
    return func.position(literal(part).op("IN")(column))


def _read_only(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun by the listener on `begin`
    connection.execute("PRAGMA query_only=ON")
