"""The queue to Alexa: what waits, when it is due, who may send it now, and what came of it.

An *endpoint* is a device that something has been queued for. Its row says by which `route` it is reached, when it is
due (`due_s`, NULL: nothing waits), and how often something was queued (`news`). Leasing an endpoint moves `due_s` to
the end of the lease and draws a new `token`: whoever comes back with an older token changes nothing. So each endpoint
has one sender, its events leave in order, and leasing costs the same with ten events waiting as with a million.

Every time compared here is the database's, whatever a relay's clock says. Rows are locked in one order everywhere:
devices, endpoints, usage, queue.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, text

from tools.relay.store.schema import customers, devices, endpoints, queue

QUEUED, SENT, DEAD, VOID = "queued", "sent", "dead", "void"
"""States of an event. `dead`: the gateway refused it for good; `void`: nobody is left who should be told."""
LINKED = "linked"  # of a customer
TEST, ALL = "test", "all"
RUN = 8  # events of one endpoint in a lease
_NOW = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS double precision)",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}
_COLUMNS = """q.*, d.about, d.test, d.customer AS owner, c.customer AS payer, c.region, c.state AS link, c.access,
    c.expires_s"""
_OWNER = "LEFT JOIN customers c ON c.customer = COALESCE(q.customer, d.customer)"
_HEADS = {  # the oldest RUN events of each endpoint, whatever is behind them
    "postgresql": f"""SELECT {_COLUMNS} FROM unnest(CAST(:names AS text[])) AS n(device)
        JOIN devices d ON d.device = n.device
        JOIN LATERAL (SELECT * FROM queue WHERE queue.device = n.device AND queue.state = 'queued'
            ORDER BY queue.id LIMIT :run) q ON true
        {_OWNER} ORDER BY q.id""",
    "sqlite": f"""SELECT {_COLUMNS} FROM devices d
        JOIN queue q ON q.id IN (SELECT w.id FROM queue w WHERE w.device = d.device AND w.state = 'queued'
            ORDER BY w.id LIMIT :run)
        {_OWNER} WHERE d.device IN :names ORDER BY q.id""",
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


def queued(device: str, name: str, now_s: float, **fields: Any) -> dict[str, Any]:
    """A row of the queue. Its message id is drawn here, once, and stays the same however often it is sent."""
    row: dict[str, Any] = {
        "device": device, "name": name, "message_id": str(uuid.uuid4()), "epoch": None, "consumable": None,
        "generation": None, "usage_s": None, "utc_s": int(now_s), "estimated": False, "inferred": False,
        "customer": None, "body": None, "state": QUEUED, "attempts": 0, "queued_s": float(now_s), "reason": "",
    }  # fmt: skip
    return row | fields


class Outbox:
    """The queue's statements, each for a transaction of the caller's. With `owners_only`, what a device says is queued
    if a linked customer owns it, and for nobody else; otherwise all goes to one address."""

    def __init__(self, dialect: str, owners_only: bool = False) -> None:
        self.dialect = dialect
        self.owners_only = owners_only

    # ---- what is to be told

    def enqueue(self, connection: Connection, rows: Iterable[dict[str, Any]]) -> int:
        """Queue the rows that somebody is to be told of. Returns how many those are."""
        wanted = list(rows)
        routes = self._routes(connection, sorted({row["device"] for row in wanted}), wanted)
        kept = [row for row in wanted if routes[row["device"], row["customer"]][0] is not None]
        if kept:
            lanes = {row["device"]: routes[row["device"], row["customer"]] for row in kept}
            news = [
                {"device": device, "route": lanes[device][0], "described": lanes[device][1]} for device in sorted(lanes)
            ]
            connection.execute(self._text(
                """INSERT INTO endpoints (device, route, due_s, leased, token, news)
                VALUES (:device, :route, CASE WHEN CAST(:described AS boolean) THEN {now} END, false, 0, 1)
                ON CONFLICT (device) DO UPDATE SET route = excluded.route, news = endpoints.news + 1,
                due_s = COALESCE(endpoints.due_s, excluded.due_s)"""), news)  # fmt: skip
            connection.execute(queue.insert(), kept)
        return len(kept)

    def _routes(
        self, connection: Connection, names: list[str], rows: list[dict[str, Any]]
    ) -> dict[tuple[str, str | None], tuple[str | None, bool]]:
        """Return, by device and the customer a row names (None: its owner), the route and whether the device has
        described itself: before that nothing of it can be told."""
        owner = customers.alias()
        wanted = select(devices.c.device, devices.c.test, devices.c.about.is_not(None).label("described"),
                        owner.c.state, owner.c.region)  # fmt: skip
        wanted = wanted.outerjoin(owner, owner.c.customer == devices.c.customer).where(devices.c.device.in_(names))
        known = {row.device: row for row in connection.execute(wanted)}
        found: dict[tuple[str, str | None], tuple[str | None, bool]] = {}
        for device, customer in {(row["device"], row["customer"]) for row in rows}:
            row = known[device]
            route: str | None = ALL
            if customer is not None:
                route = connection.execute(select(customers.c.region).where(customers.c.customer == customer)).scalar()
            elif row.test:
                route = TEST
            elif self.owners_only:
                route = row.region if row.state == LINKED else None
            found[device, customer] = route, row.described
        return found

    def now_s(self, connection: Connection) -> float:
        """Return the database's time."""
        return float(self._text_run(connection, "SELECT {now}").scalar_one())

    def touch(self, connection: Connection, device: str) -> None:
        """What waits of the device has changed, or can be told now: it is due, unless it was put off."""
        self._text_run(connection, """UPDATE endpoints SET due_s = COALESCE(due_s, {now}), news = news + 1
            WHERE device = :device""", device=device)  # fmt: skip

    def described(self, connection: Connection, names: list[str]) -> None:
        """The devices have described themselves: what could not be told for want of that is due."""
        if not names:
            return
        connection.execute(self._text(
            """UPDATE endpoints SET due_s = {now}, news = news + 1 WHERE device = :of AND due_s IS NULL
            AND EXISTS (SELECT 1 FROM queue WHERE queue.device = :of AND queue.state = 'queued')"""),
            [{"of": device} for device in names])  # fmt: skip

    def requeue(self, connection: Connection, rows: Sequence[Row[Any]]) -> None:
        """Queue events again that were given up, with the places and message ids they had."""
        for row in rows:
            self._text_run(connection, """UPDATE queue SET state = 'queued', attempts = 0, done_s = NULL
                WHERE id = :id""", id=row.id)  # fmt: skip
            self.touch(connection, row.device)

    def void(self, connection: Connection, names: list[str], reason: str) -> None:
        """Nobody is to be told what waits for these devices; a sender who has an event in hand sends no other."""
        for device in sorted(names):
            self._text_run(connection, """UPDATE endpoints SET news = news + 1,
                due_s = CASE WHEN leased THEN due_s ELSE {now} END WHERE device = :device""",
                device=device)  # fmt: skip
            self._text_run(connection, """UPDATE queue SET state = 'void', reason = :reason, done_s = {now}
                WHERE device = :device AND state = 'queued'""", device=device, reason=reason)  # fmt: skip

    def hurry(self, connection: Connection, customer: str) -> None:
        """The customer has a good token again: what waited for it is due."""
        self._text_run(connection, """UPDATE endpoints SET due_s = {now} WHERE due_s > {now} AND NOT leased
            AND device IN (SELECT device FROM devices WHERE customer = :customer)""", customer=customer)  # fmt: skip

    # ---- sending it

    def lease(self, connection: Connection, rooms: Mapping[str, int], lease_s: float) -> list[Leased]:
        """Return up to so many due endpoints of each route, ours for `lease_s`."""
        held: dict[str, Any] = {}
        lock = "" if self.dialect == "sqlite" else "FOR UPDATE SKIP LOCKED"
        for route, room in rooms.items():
            if room > 0:
                taken = self._text_run(connection, f"""UPDATE endpoints
                    SET token = token + 1, leased = true, due_s = {{now}} + :lease_s
                    WHERE device IN (SELECT device FROM endpoints WHERE route = :route AND due_s <= {{now}}
                        ORDER BY due_s LIMIT :room {lock})
                    RETURNING device, route, token, news""", route=route, room=room, lease_s=lease_s)  # fmt: skip
                held |= {row.device: row for row in taken}
        if not held:
            return []
        heads = text(_HEADS[self.dialect])
        if self.dialect == "sqlite":
            heads = heads.bindparams(bindparam("names", expanding=True))
        runs: dict[str, list[Row[Any]]] = {device: [] for device in held}
        for row in connection.execute(heads, {"names": sorted(held), "run": RUN}):
            runs[row.device].append(row)
        return [Leased(row.device, row.route, row.token, row.news, runs[row.device]) for row in held.values()]

    def settle(self, connection: Connection, settled: Sequence[Settled]) -> set[str]:
        """Note what came of leased endpoints. Returns the devices of which nothing more may be sent: the lease is no
        longer ours, and nothing was noted, or what waits has changed, and the endpoint was given back."""
        told = [one.leased.device for one in settled if any(map(_tells, one.results))]
        if told:
            connection.execute(_LOCK_DEVICES, {"names": sorted(told)})
        names = sorted(one.leased.device for one in settled)
        held = {row.device: row for row in connection.execute(_LOCK_ENDPOINTS, {"names": names})}
        ours = [one for one in settled if held[one.leased.device].token == one.leased.token]
        outdated = {one.leased.device for one in ours if held[one.leased.device].news != one.leased.news}
        results = [result for one in ours for result in one.results]
        for result in filter(_tells, results):
            own = devices.update().where(devices.c.device == result.row.device)
            connection.execute(own.values(told=result.row.body))
        parts = [_part(result.row) for result in results if result.state == SENT and result.row.usage_s is not None]
        if parts:
            connection.execute(_ACCEPTED, parts)
        untold = [
            _part(result.row) | {"id": result.row.id}
            for result in results
            if result.state == DEAD and result.row.usage_s is not None and not result.row.attempts
        ]
        if untold:
            connection.execute(_UNTOLD, untold)
        self._part_with(connection, [result.row.customer for result in results if _is_farewell(result)])
        if results:
            connection.execute(self._text(
                """UPDATE queue SET state = :state, reason = :reason, attempts = attempts + :tried,
                done_s = CASE WHEN CAST(:done AS boolean) THEN {now} END
                WHERE id = :id AND message_id = :message_id AND state = 'queued'"""),
                [{"id": result.row.id, "message_id": result.row.message_id, "state": result.state,
                  "reason": result.reason, "tried": int(result.tried), "done": result.state != QUEUED}
                 for result in results])  # fmt: skip
            self._count(connection, results)
        freed = [
            {"of": one.leased.device, "more": one.left or one.leased.more, "news": one.leased.news,
             "after_s": one.due_after_s or 0.0}
            for one in ours if one.due_after_s is not None or one.leased.device in outdated
        ]  # fmt: skip
        if freed:
            connection.execute(self._text(
                """UPDATE endpoints SET leased = false, due_s = CASE WHEN NOT CAST(:more AS boolean) AND news = :news
                THEN NULL ELSE {now} + :after_s END WHERE device = :of"""), freed)  # fmt: skip
        return {one.leased.device for one in settled} - {one.leased.device for one in ours} | outdated

    def mark(self, connection: Connection, row: Row[Any]) -> int:
        """Return the use that an InventoryConsumed adds to what increments have told of its part, in seconds.

        It counts as told from now on: an increment may be lost, but is never told twice. Given back where the gateway
        refuses the event for good at the first try.
        """
        part = {name: getattr(row, name) for name in ("device", "epoch", "consumable", "generation")}
        lock = "" if self.dialect == "sqlite" else "FOR UPDATE"
        marked_s = self._text_run(
            connection, f"SELECT marked_s FROM usage WHERE {_SAME_PART} {lock}", **part
        ).scalar_one()
        drawn_s = self._text_run(connection, "SELECT increment_s FROM queue WHERE id = :id", id=row.id).scalar_one()
        if drawn_s is not None:
            return int(drawn_s)
        increment_s = max(0, row.usage_s - marked_s)
        self._text_run(connection, f"UPDATE usage SET marked_s = marked_s + :more WHERE {_SAME_PART}",
                       more=increment_s, **part)  # fmt: skip
        self._text_run(connection, "UPDATE queue SET increment_s = :increment WHERE id = :id",
                       increment=increment_s, id=row.id)  # fmt: skip
        return increment_s

    def _part_with(self, connection: Connection, names: list[str]) -> None:
        """Forget the tokens of customers whose last device has been released, once their Alexa has been told."""
        for customer in names:
            self._text_run(connection, """UPDATE customers SET access = NULL, refresh = NULL, state = 'new', reason = ''
                WHERE customer = :customer AND NOT EXISTS (SELECT 1 FROM devices WHERE customer = :customer)
                AND (SELECT count(*) FROM queue WHERE state = 'queued' AND customer = :customer) <= 1""",
                customer=customer)  # fmt: skip

    @staticmethod
    def _count(connection: Connection, results: list[Result]) -> None:
        sent = sum(result.state == SENT for result in results)
        if sent:
            connection.execute(text("""INSERT INTO counters (name, value) VALUES (:name, :sent)
                ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value"""),
                {"name": SENT_COUNTER, "sent": sent})  # fmt: skip

    # ---- what becomes of it

    def forget(self, connection: Connection, kept_s: float, most: int = 1000) -> int:
        """Delete what was sent or void for longer than `kept_s`. Returns how many rows that were, at most `most`."""
        return self._text_run(connection, """DELETE FROM queue WHERE id IN (SELECT id FROM queue
            WHERE state IN ('sent', 'void') AND done_s < {now} - :kept_s ORDER BY done_s LIMIT :most)""",
            kept_s=kept_s, most=most).rowcount  # fmt: skip

    def _text_run(self, connection: Connection, statement: str, **values: Any) -> Any:
        return connection.execute(self._text(statement), values)

    def _text(self, statement: str) -> Any:
        return _statement(statement, self.dialect)


SENT_COUNTER = "events sent"
_LOCK_DEVICES = (
    select(devices.c.device).where(devices.c.device.in_(bindparam("names", expanding=True)))
    .order_by(devices.c.device).with_for_update()
)  # fmt: skip
_LOCK_ENDPOINTS = (
    select(endpoints.c.device, endpoints.c.token, endpoints.c.news)
    .where(endpoints.c.device.in_(bindparam("names", expanding=True)))
    .order_by(endpoints.c.device).with_for_update()
)  # fmt: skip
_SAME_PART = "device = :device AND epoch = :epoch AND consumable = :consumable AND generation = :generation"
_ACCEPTED = text(f"UPDATE usage SET gateway_s = :usage_s WHERE {_SAME_PART}")
_UNTOLD = text(
    f"""UPDATE usage SET marked_s = marked_s - COALESCE((SELECT increment_s FROM queue WHERE id = :id), 0)
    WHERE {_SAME_PART}"""
)


@cache
def _statement(statement: str, dialect: str) -> Any:
    return text(statement.replace("{now}", _NOW[dialect]))


def _tells(result: Result) -> bool:
    """Whether the customer's Alexa now knows the device as the event says."""
    return result.state == SENT and result.row.body is not None


def _is_farewell(result: Result) -> bool:
    return result.state in (SENT, DEAD) and result.row.customer is not None and result.row.body is None


def _part(row: Row[Any]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("usage_s", "device", "epoch", "consumable", "generation")}
