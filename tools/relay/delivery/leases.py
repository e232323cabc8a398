"""Who may send an endpoint's events now, and what came of them: leases fenced by a token, in the database's time.

Leasing an endpoint moves its `due_s` to the end of the lease and draws a new `token`: whoever comes back with an older
token changes nothing. So each endpoint has one sender, its events leave in order, and leasing costs the same with ten
events waiting as with a million.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from tools.relay.delivery.outbox import DEAD, SENT, SENT_COUNTER
from tools.relay.delivery.statements import run, run_with
from tools.relay.store.bulk import lock
from tools.relay.store.schema import devices, endpoints

RUN = 8  # events of one endpoint in a lease
_COLUMNS = """q.*, d.about, d.test, d.customer AS owner, c.customer AS payer, c.region, c.state AS link, c.access,
    c.expires_s"""
_OWNER = "LEFT JOIN customers c ON c.customer = COALESCE(q.customer, d.customer) ORDER BY q.id"
_HEADS = {  # the oldest RUN events of each endpoint, whatever is behind them; each database looks them up its own way
    "postgresql": f"""SELECT {_COLUMNS} FROM {{rows}} k JOIN devices d ON d.device = k.device
        JOIN LATERAL (SELECT * FROM queue WHERE queue.device = k.device AND queue.state = 'queued'
            ORDER BY queue.id LIMIT {RUN}) q ON true {_OWNER}""",
    "sqlite": f"""SELECT {_COLUMNS} FROM {{rows}} k CROSS JOIN devices d ON d.device = k.device
        JOIN queue q ON q.id IN (SELECT w.id FROM queue w WHERE w.device = k.device AND w.state = 'queued'
            ORDER BY w.id LIMIT {RUN}) {_OWNER}""",
}


@dataclass(frozen=True)
class Leased:
    """An endpoint that is ours until the lease ends, with its oldest events; `more` may wait behind them."""

    device: str
    route: str
    token: int
    news: int
    rows: list[Row[Any]]

    @property
    def more(self) -> bool:
        return len(self.rows) >= RUN


@dataclass(frozen=True)
class Result:
    """What came of one event. `reason` is shown; `tried` where the gateway had it in hand."""

    row: Row[Any]
    state: str
    reason: str = ""
    tried: bool = True


@dataclass(frozen=True)
class Settled:
    """Results of a leased endpoint; `due_after_s` gives it back, due again after so long, None: the lease goes on."""

    leased: Leased
    results: Sequence[Result] = ()
    due_after_s: float | None = None
    left: bool = False


class Leases:
    """Each call is part of a transaction of the caller's."""

    def lease(self, connection: Connection, rooms: Mapping[str, int], lease_s: float) -> list[Leased]:
        """Return up to so many due endpoints of each route, ours for `lease_s`."""
        held: dict[str, Any] = {}
        lock = _for_update(connection, "SKIP LOCKED")
        for route, room in rooms.items():
            if room > 0:
                taken = run(connection, f"""UPDATE endpoints
                    SET token = token + 1, leased = true, due_s = {{now}} + :lease_s
                    WHERE device IN (SELECT device FROM endpoints WHERE route = :route AND due_s <= {{now}}
                        ORDER BY due_s LIMIT :room {lock})
                    RETURNING device, route, token, news""", route=route, room=room, lease_s=lease_s)  # fmt: skip
                held |= {row.device: row for row in taken}
        if not held:
            return []
        heads = run_with(connection, _HEADS[connection.dialect.name], _NAMES, [(device,) for device in sorted(held)])
        runs: dict[str, list[Row[Any]]] = {device: [] for device in held}
        for row in heads:
            runs[row.device].append(row)
        return [Leased(row.device, row.route, row.token, row.news, runs[row.device]) for row in held.values()]

    def settle(self, connection: Connection, settled: Sequence[Settled]) -> set[str]:
        """Note what came of leased endpoints. Returns the devices of which nothing more may be sent: the lease is no
        longer ours, and nothing was noted, or what waits has changed, and the endpoint was given back."""
        told = [one.leased.device for one in settled if any(map(_tells, one.results))]
        if told:
            lock(connection, devices, "device", (), sorted(told))
        names = sorted(one.leased.device for one in settled)
        held = {row[0]: row for row in lock(connection, endpoints, "device", ("token", "news"), names)}
        ours = [one for one in settled if held[one.leased.device][1] == one.leased.token]
        outdated = {one.leased.device for one in ours if held[one.leased.device][2] != one.leased.news}
        self._note(connection, [result for one in ours for result in one.results])
        freed = [
            (one.leased.device, one.left or one.leased.more, one.leased.news, one.due_after_s or 0.0)
            for one in ours if one.due_after_s is not None or one.leased.device in outdated
        ]  # fmt: skip
        if freed:
            run_with(connection, """UPDATE endpoints SET leased = false,
                due_s = CASE WHEN NOT k.more AND endpoints.news = k.news THEN NULL ELSE {now} + k.after_s END
                FROM {rows} k WHERE endpoints.device = k.device""",
                (("device", "text"), ("more", "boolean"), ("news", "bigint"), ("after_s", "double precision")),
                freed)  # fmt: skip
        return {one.leased.device for one in settled} - {one.leased.device for one in ours} | outdated

    def _note(self, connection: Connection, results: list[Result]) -> None:
        if not results:
            return
        for result in filter(_tells, results):
            own = devices.update().where(devices.c.device == result.row.device)
            connection.execute(own.values(told=result.row.body))
        accepted = {
            _part(result): (*_part(result), result.row.usage_s)
            for result in results if result.state == SENT and result.row.usage_s is not None
        }  # fmt: skip
        if accepted:
            run_with(connection, f"""UPDATE usage SET gateway_s = k.usage_s FROM {{rows}} k WHERE {_SAME_PART}""",
                     (*_PART, ("usage_s", "bigint")), list(accepted.values()))  # fmt: skip
        for result in results:
            if result.state == DEAD and result.row.usage_s is not None and not result.row.attempts:
                run_with(connection, f"""UPDATE usage SET marked_s = marked_s -
                    COALESCE((SELECT increment_s FROM queue WHERE queue.id = k.id), 0)
                    FROM {{rows}} k WHERE {_SAME_PART}""",
                    (*_PART, ("id", "bigint")), [(*_part(result), result.row.id)])  # fmt: skip
        self._part_with(connection, [result.row.customer for result in results if _is_farewell(result)])
        run_with(connection, """UPDATE queue SET state = k.state, reason = k.reason, attempts = attempts + k.tried,
            done_s = CASE WHEN k.state <> 'queued' THEN {now} END
            FROM {rows} k WHERE queue.id = k.id AND queue.message_id = k.message_id AND queue.state = 'queued'""",
            (("id", "bigint"), ("message_id", "text"), ("state", "text"), ("reason", "text"), ("tried", "integer")),
            [(result.row.id, result.row.message_id, result.state, result.reason, int(result.tried))
             for result in results])  # fmt: skip
        sent = sum(result.state == SENT for result in results)
        if sent:
            run(connection, """INSERT INTO counters (name, value) VALUES (:name, :sent)
                ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value""",
                name=SENT_COUNTER, sent=sent)  # fmt: skip

    def mark(self, connection: Connection, row: Row[Any]) -> int:
        """Return the use that an InventoryConsumed adds to what increments have told of its part, in seconds.

        It counts as told from now on: an increment may be lost, but is never told twice. Given back where the gateway
        refuses the event for good at the first try.
        """
        part = {name: getattr(row, name) for name, _ in _PART}
        own = "device = :device AND epoch = :epoch AND consumable = :consumable AND generation = :generation"
        marked_s = run(
            connection, f"SELECT marked_s FROM usage WHERE {own} {_for_update(connection)}", **part
        ).scalar_one()
        drawn_s = run(connection, "SELECT increment_s FROM queue WHERE id = :id", id=row.id).scalar_one()
        if drawn_s is not None:
            return int(drawn_s)
        increment_s = max(0, row.usage_s - marked_s)
        run(connection, f"UPDATE usage SET marked_s = marked_s + :more WHERE {own}", more=increment_s, **part)
        run(connection, "UPDATE queue SET increment_s = :increment WHERE id = :id", increment=increment_s, id=row.id)
        return increment_s

    def _part_with(self, connection: Connection, names: list[str]) -> None:
        """Forget the tokens of customers whose last device has been released, once their Alexa has been told."""
        for customer in names:
            run(connection, """UPDATE customers SET access = NULL, refresh = NULL, state = 'new', reason = ''
                WHERE customer = :customer AND NOT EXISTS (SELECT 1 FROM devices WHERE customer = :customer)
                AND (SELECT count(*) FROM queue WHERE state = 'queued' AND customer = :customer) <= 1""",
                customer=customer)  # fmt: skip


_NAMES = (("device", "text"),)
_PART = (("device", "text"), ("epoch", "bigint"), ("consumable", "integer"), ("generation", "integer"))
_SAME_PART = " AND ".join(f"usage.{name} = k.{name}" for name, _ in _PART)


def _part(result: Result) -> tuple[Any, ...]:
    return tuple(getattr(result.row, name) for name, _ in _PART)


def _tells(result: Result) -> bool:
    """Whether the customer's Alexa now knows the device as the event says."""
    return result.state == SENT and result.row.body is not None


def _is_farewell(result: Result) -> bool:
    return result.state in (SENT, DEAD) and result.row.customer is not None and result.row.body is None


def _for_update(connection: Connection, more: str = "") -> str:
    """SQLite has locked everything with BEGIN IMMEDIATE."""
    return "" if connection.dialect.name == "sqlite" else f"FOR UPDATE {more}"
