"""The queue to Alexa: what waits, and when it is due.

An *endpoint* is a device that something has been queued for. Its row says by which `route` it is reached, when it is
due (`due_s`, NULL: nothing waits), and how often something was queued (`news`); leases.py says who may send it.

Every time compared here is the database's, whatever a relay's clock says. Rows are locked in one order everywhere:
devices, endpoints, usage, queue.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from tools.relay.delivery import fate
from tools.relay.delivery.statements import run, run_with
from tools.relay.store import bulk
from tools.relay.store.schema import customers, queue

QUEUED, SENT, DEAD, VOID = "queued", "sent", "dead", "void"
"""States of an event. `dead`: the gateway refused it for good; `void`: nobody is left who should be told."""
LINKED = "linked"  # of a customer
TEST, ALL = "test", "all"
SENT_COUNTER = "events sent"
_NAMES = (("device", "text"),)
_COLUMNS = ("device", "name", "message_id", "epoch", "consumable", "generation", "usage_s", "utc_s", "estimated",
            "inferred", "customer", "body", "state", "attempts", "queued_s", "reason")  # fmt: skip


def queued(device: str, name: str, now_s: float, **fields: Any) -> dict[str, Any]:
    """A row of the queue. Its message id is drawn here, once, and stays the same however often it is sent."""
    return {
        "device": device, "name": name, "message_id": str(uuid.uuid4()), "epoch": None, "consumable": None,
        "generation": None, "usage_s": None, "utc_s": int(now_s), "estimated": False, "inferred": False,
        "customer": None, "body": None, "state": QUEUED, "attempts": 0, "queued_s": float(now_s), "reason": "",
        **fields,
    }  # fmt: skip


class Outbox:
    """The queue's statements, each for a transaction of the caller's. With `owners_only`, what a device says is queued
    if a linked customer owns it, and for nobody else; otherwise all goes to one address."""

    def __init__(self, owners_only: bool = False) -> None:
        self.owners_only = owners_only

    def enqueue(self, connection: Connection, rows: Iterable[dict[str, Any]]) -> int:
        """Queue the rows that somebody is to be told of. Returns how many those are."""
        wanted = list(rows)
        if not wanted:
            return 0
        routes = self._routes(connection, wanted)
        kept = [row for row in wanted if routes[row["device"], row["customer"]][0] is not None]
        if kept:
            lanes = {row["device"]: routes[row["device"], row["customer"]] for row in kept}
            run_with(connection, """INSERT INTO endpoints (device, route, due_s, leased, token, news)
                SELECT k.device, k.route, CASE WHEN k.described THEN {now} END, false, 0, 1 FROM {rows} k WHERE true
                ON CONFLICT (device) DO UPDATE SET route = excluded.route, news = endpoints.news + 1,
                due_s = COALESCE(endpoints.due_s, excluded.due_s)""",
                (("device", "text"), ("route", "text"), ("described", "boolean")),
                [(device, *lanes[device]) for device in sorted(lanes)])  # fmt: skip
            bulk.insert(connection, queue, _COLUMNS, [tuple(row[name] for name in _COLUMNS) for row in kept])
            for row in kept:
                fate.tell("queued", row["device"], row["name"], row["message_id"], row["consumable"])
        return len(kept)

    def _routes(
        self, connection: Connection, rows: list[dict[str, Any]]
    ) -> dict[tuple[str, str | None], tuple[str | None, bool]]:
        """Return, by device and the customer a row names (None: its owner), the route and whether the device has
        described itself: before that nothing of it can be told."""
        known = run_with(connection, """SELECT d.device, d.test, d.about IS NOT NULL AS described, c.state, c.region
            FROM {rows} k JOIN devices d ON d.device = k.device LEFT JOIN customers c ON c.customer = d.customer""",
            _NAMES, [(device,) for device in sorted({row["device"] for row in rows})])  # fmt: skip
        of = {row.device: row for row in known}
        found: dict[tuple[str, str | None], tuple[str | None, bool]] = {}
        for device, customer in {(row["device"], row["customer"]) for row in rows}:
            row = of[device]
            route: str | None = ALL
            if customer is not None:
                route = connection.execute(select(customers.c.region).where(customers.c.customer == customer)).scalar()
            elif row.test:
                route = TEST
            elif self.owners_only:
                route = row.region if row.state == LINKED else None
            found[device, customer] = route, bool(row.described)
        return found

    def now_s(self, connection: Connection) -> float:
        """Return the database's time."""
        return float(run(connection, "SELECT {now}").scalar_one())

    def touch(self, connection: Connection, device: str) -> None:
        """What waits of the device has changed, or can be told now: it is due, unless it was put off."""
        run(connection, """UPDATE endpoints SET due_s = COALESCE(due_s, {now}), news = news + 1
            WHERE device = :device""", device=device)  # fmt: skip

    def described(self, connection: Connection, names: list[str]) -> None:
        """The devices have described themselves: what could not be told for want of that is due."""
        if names:
            run_with(connection, """UPDATE endpoints SET due_s = {now}, news = news + 1 FROM {rows} k
                WHERE endpoints.device = k.device AND due_s IS NULL
                AND EXISTS (SELECT 1 FROM queue WHERE queue.device = k.device AND queue.state = 'queued')""",
                _NAMES, [(device,) for device in names])  # fmt: skip

    def requeue(self, connection: Connection, rows: Sequence[Row[Any]]) -> None:
        """Queue events again that were given up, with the places and message ids they had."""
        for row in rows:
            run(connection, "UPDATE queue SET state = 'queued', attempts = 0, done_s = NULL WHERE id = :id", id=row.id)
            self.touch(connection, row.device)
            fate.tell_row("queued again", row)

    def void(self, connection: Connection, names: list[str], reason: str) -> None:
        """Nobody is to be told what waits for these devices; a sender who has an event in hand sends no other."""
        for device in sorted(names):
            run(connection, """UPDATE endpoints SET news = news + 1,
                due_s = CASE WHEN leased THEN due_s ELSE {now} END WHERE device = :device""",
                device=device)  # fmt: skip
            run(connection, """UPDATE queue SET state = 'void', reason = :reason, done_s = {now}
                WHERE device = :device AND state = 'queued'""", device=device, reason=reason)  # fmt: skip
            fate.log.debug("whatever waited is void", device=device, reason=reason)

    def hurry(self, connection: Connection, customer: str) -> None:
        """The customer has a good token again: what waited for it is due."""
        run(connection, """UPDATE endpoints SET due_s = {now} WHERE due_s > {now} AND NOT leased
            AND device IN (SELECT device FROM devices WHERE customer = :customer)""", customer=customer)  # fmt: skip

    def due(self, connection: Connection, most: int) -> list[str]:
        """Return devices of which something could be sent now, the longest waiting first."""
        found = run(
            connection, "SELECT device FROM endpoints WHERE due_s <= {now} ORDER BY due_s LIMIT :most", most=most
        )
        return [row.device for row in found]

    def forget(self, connection: Connection, kept_s: float, most: int = 1000) -> int:
        """Delete what was sent or void for longer than `kept_s`. Returns how many rows that were, at most `most`."""
        return int(run(connection, """DELETE FROM queue WHERE id IN (SELECT id FROM queue
            WHERE state IN ('sent', 'void') AND done_s < {now} - :kept_s ORDER BY done_s LIMIT :most)""",
            kept_s=kept_s, most=most).rowcount)  # fmt: skip
