"""How the queue's statements are run: SQL of our own, the same on both databases, in a transaction of the caller's.

`{now}` in a statement is the database's time, `{rows}` many rows given at once, as a table.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Connection, text

from tools.relay.store import bulk

_NOW = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS double precision)",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}


def run(connection: Connection, statement: str, **values: Any) -> Any:
    """Run a statement with `:name` values."""
    return connection.execute(_prepared(statement, connection.dialect.name), values)


def run_with(connection: Connection, statement: str, types: bulk.Types, rows: bulk.Rows) -> Any:
    """Run a statement once with all the rows; `types` are the columns of `{rows}`."""
    source, values = bulk.given(connection, types, rows)
    now = _NOW[connection.dialect.name]
    return connection.exec_driver_sql(statement.replace("{now}", now).replace("{rows}", source), values)


@cache
def _prepared(statement: str, dialect: str) -> Any:
    return text(statement.replace("{now}", _NOW[dialect]))
