"""How long messages are kept: `keep_messages_s`. Of older ones a point a day of each part remains, for ever.

On PostgreSQL `messages` has a partition for each month of arrival, made before the month begins; a month that is over
for long enough is condensed into `history` and dropped whole, so that nothing need be vacuumed. What is in none of them
(`messages_rest`), and all of SQLite's, is deleted a few rows at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from tools.relay import logs
from tools.relay.core import wear, wire
from tools.relay.store import bulk, months
from tools.relay.store.schema import history
from tools.relay.store.store import Store

log = logs.logger(__name__)
EVERY_S = 3600.0
AT_ONCE = 1000
"""Rows in one transaction: some 20 ms, in which SQLite takes no other write."""
PAUSE_S = 0.1
_LOCK = 0x77656173  # one relay condenses a month, the others go on
_READ = "device, kind, sample_s, estimated, late, payload"
_COLUMNS = ("device", "epoch", "consumable", "generation", "fitted", "day", "utc_s", "used_s", "lifetime_s",
            "estimated")  # fmt: skip


class Retention:
    """`run` works until `stopping` is set, every EVERY_S; `turn` does once what there is to do."""

    def __init__(self, store: Store, keep_s: float, stopping: threading.Event) -> None:
        self._store = store
        self._keep_s = keep_s
        self._stopping = stopping

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.turn()
            except OperationalError as error:
                log.warning("the store does not answer", error=str(error.orig))
            self._stopping.wait(EVERY_S)

    def turn(self, most_s: float = float("inf")) -> None:
        """Make the coming months, and condense what is too old, for so long at most."""
        until = time.monotonic() + most_s
        with self._store.begin() as connection:
            months.prepare(connection, self._store.clock())
        while self.expire() and time.monotonic() < until and not self._stopping.wait(PAUSE_S):
            pass

    def expire(self) -> bool:
        """Condense some of what is too old. Returns whether there was any."""
        before_s = int(self._store.clock() - self._keep_s)
        with self._store.begin() as connection:
            return _a_month(connection, before_s) or _some(connection, before_s)


def _a_month(connection: Connection, before_s: int) -> bool:
    """Condense and drop the oldest partition if all of it is too old. Returns whether it was."""
    name = months.oldest(connection, before_s)
    if name is None or not connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({_LOCK})").scalar():
        return False
    count = 0
    wanted = text(f"SELECT {_READ} FROM {name} ORDER BY device, epoch, sequence")
    found = connection.execute(wanted.execution_options(yield_per=AT_ONCE))
    for rows in found.partitions(AT_ONCE):
        _condense(connection, rows)
        count += len(rows)
    connection.exec_driver_sql(f"DROP TABLE {name}")
    log.info("a month's messages became points of each day", name=name, messages=count)
    return True


def _some(connection: Connection, before_s: int) -> bool:
    """Condense and delete up to AT_ONCE of the oldest messages without a partition. Returns whether there were any."""
    if connection.dialect.name == "sqlite":  # rows are numbered as they come
        oldest = "SELECT rowid FROM messages ORDER BY rowid LIMIT"
        sql = f"DELETE FROM messages WHERE rowid IN ({oldest} {AT_ONCE}) AND received_s < ? RETURNING {_READ}"
    else:
        oldest = "SELECT ctid FROM messages_rest WHERE received_s < %s LIMIT"
        sql = f"DELETE FROM messages_rest WHERE ctid = ANY(ARRAY({oldest} {AT_ONCE})) RETURNING {_READ}"
    rows = connection.exec_driver_sql(sql, (before_s,)).all()
    _condense(connection, rows)
    return bool(rows)


def _condense(connection: Connection, rows: Iterable[Any]) -> None:
    """Keep of each part and day the last point, and every moment at which a part was fitted."""
    points: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for row in rows:
        try:
            message = wire.decode_up(bytes(row.payload))
        except wire.Refused:  # damaged, or of another version: no reason to keep it, or the others, for ever
            continue
        if not row.late and isinstance(message, (wire.Report, wire.Replacement)):
            for consumable, known in wear.history([(message, row.sample_s, bool(row.estimated))]).items():
                for point in known:
                    day = point.utc_s // wear.DAY_S
                    key = (row.device, point.epoch, consumable, point.generation, point.new, day)
                    points[key] = (*key, point.utc_s, point.used_s, point.lifetime_s, point.estimated)
    bulk.upsert(connection, history, _COLUMNS, _COLUMNS[6:], list(points.values()))
