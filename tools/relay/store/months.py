"""PostgreSQL's partitions of `messages`, one for each month of arrival: `messages_202611` and so on."""

from __future__ import annotations

import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from tools.relay import logs

log = logs.logger(__name__)
_LOCK = 0x77656174  # one relay makes them
_LONGER_THAN_A_MONTH = datetime.timedelta(days=32)


def prepare(connection: Connection, now_s: float) -> None:
    """Make the partitions of this month and the next, before messages of theirs come."""
    if connection.dialect.name == "sqlite":
        return
    this = _begin(datetime.datetime.fromtimestamp(now_s, datetime.timezone.utc))
    following = _begin(this + _LONGER_THAN_A_MONTH)
    for first, last in ((this, following), (following, _begin(following + _LONGER_THAN_A_MONTH))):
        name = f"messages_{first:%Y%m}"
        if connection.exec_driver_sql("SELECT to_regclass(%s)", (name,)).scalar() is not None:
            continue
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        bounds = f"FROM ({int(first.timestamp())}) TO ({int(last.timestamp())})"
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(
                    f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF messages FOR VALUES {bounds}"
                )
        except IntegrityError:  # some are in messages_rest, where the others of that month now go, too
            log.warning("a month's messages stay without a partition", name=name)


def oldest(connection: Connection, before_s: int) -> str | None:
    """Return the name of the oldest partition that ends before `before_s`, None if there is none."""
    if connection.dialect.name == "sqlite":
        return None
    found = connection.exec_driver_sql(
        """SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'messages'::regclass AND c.relname <> 'messages_rest' ORDER BY c.relname LIMIT 1"""
    ).scalar()
    if found is None:
        return None
    first = datetime.datetime.strptime(found, "messages_%Y%m").replace(tzinfo=datetime.timezone.utc)
    return str(found) if _begin(first + _LONGER_THAN_A_MONTH).timestamp() <= before_s else None


def _begin(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
