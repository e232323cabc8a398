"""Many rows in one statement: arrays and unnest on PostgreSQL; on SQLite one prepared statement for many rows.

The text of a statement depends on nothing but table and columns, so that it is made and prepared once. Rows are tuples
in the order of the columns named.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql

Rows = Sequence[tuple[Any, ...]]
Names = tuple[str, ...]
Types = tuple[tuple[str, str], ...]
"""Names and PostgreSQL's types of columns."""


def read(connection: Connection, table: Table, keys: Names, columns: Names, wanted: Rows) -> list[Any]:
    """Return rows of (*keys, *columns) whose keys are among `wanted`, numbers and texts."""
    if not wanted:
        return []
    if _is_sqlite(connection):
        return list(connection.exec_driver_sql(_read_sqlite(table, keys, columns), (json.dumps(wanted),)))
    return list(connection.exec_driver_sql(_read_postgresql(table, keys, columns), _arrays(wanted)))


def lock(connection: Connection, table: Table, key: str, columns: Names, wanted: Sequence[str]) -> list[Any]:
    """Return rows of (key, *columns), locked in the order of the key until the transaction ends."""
    if _is_sqlite(connection):  # BEGIN IMMEDIATE has locked everything
        return read(connection, table, (key,), columns, [(each,) for each in wanted])
    names = ", ".join((key, *columns))
    sql = f"SELECT {names} FROM {table.name} WHERE {key} = ANY(%s::text[]) ORDER BY {key} FOR UPDATE"
    return list(connection.exec_driver_sql(sql, (list(wanted),)))


def given(connection: Connection, types: Types, rows: Rows) -> tuple[str, tuple[str, ...]]:
    """Return the rows as a table for a statement of the caller's, and the values of its parameters.

    Numbers, texts and NULL; on SQLite a boolean is 0 or 1.
    """
    if _is_sqlite(connection):
        return _given_sqlite(types), (json.dumps(rows),)
    return _given_postgresql(types), _arrays(rows) if rows else ("{}",) * len(types)


def insert(connection: Connection, table: Table, columns: Names, rows: Rows, ignore: bool = False) -> None:
    """Insert the rows; `ignore` those whose key is there already."""
    _write(connection, table, columns, rows, " ON CONFLICT DO NOTHING" if ignore else "")


def upsert(connection: Connection, table: Table, columns: Names, update: Names, rows: Rows) -> None:
    """Insert the rows, or set `update` where the primary key is there already. A key comes once among the rows."""
    keys = ", ".join(column.name for column in table.primary_key)
    values = ", ".join(f"{name} = excluded.{name}" for name in update)
    _write(connection, table, columns, rows, f" ON CONFLICT ({keys}) DO UPDATE SET {values}")


def update(connection: Connection, table: Table, key: str, columns: Names, rows: Rows) -> None:
    """Set `columns` of the rows, each of which is (key, *columns)."""
    if not rows:
        return
    if _is_sqlite(connection):
        values = ", ".join(f"{name} = ?{at + 2}" for at, name in enumerate(columns))
        sql = f"UPDATE {table.name} SET {values} WHERE {key} = ?1"
        connection.exec_driver_sql(sql, list(rows))
    else:
        values = ", ".join(f"{name} = k.{name}" for name in columns)
        sql = f"UPDATE {table.name} t SET {values} FROM {_unnest(table, (key, *columns))} WHERE t.{key} = k.{key}"
        connection.exec_driver_sql(sql, _arrays(rows))


def _write(connection: Connection, table: Table, columns: Names, rows: Rows, conflict: str) -> None:
    if not rows:
        return
    into = f"INSERT INTO {table.name} ({', '.join(columns)})"
    if _is_sqlite(connection):
        connection.exec_driver_sql(f"{into} VALUES ({', '.join('?' * len(columns))}){conflict}", list(rows))
    else:
        connection.exec_driver_sql(f"{into} SELECT * FROM {_unnest(table, columns)}{conflict}", _arrays(rows))


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


@cache
def _given_sqlite(types: Types) -> str:
    columns = ", ".join(f"json_extract(value, '$[{at}]') AS {name}" for at, (name, _) in enumerate(types))
    return f"(SELECT {columns} FROM json_each(?))"


@cache
def _given_postgresql(types: Types) -> str:
    columns = ", ".join(name for name, _ in types)
    return f"(SELECT * FROM unnest({', '.join(f'%s::{each}[]' for _, each in types)}) AS given({columns}))"


@cache
def _read_sqlite(table: Table, keys: Names, columns: Names) -> str:
    """CROSS JOIN: the keys come first, so that each is looked up in the index."""
    names = ", ".join(f"t.{name}" for name in (*keys, *columns))
    on = " AND ".join(f"t.{name} = json_extract(k.value, '$[{at}]')" for at, name in enumerate(keys))
    return f"SELECT {names} FROM json_each(?) k CROSS JOIN {table.name} t ON {on}"


@cache
def _read_postgresql(table: Table, keys: Names, columns: Names) -> str:
    names = ", ".join(f"t.{name}" for name in (*keys, *columns))
    on = " AND ".join(f"t.{name} = k.{name}" for name in keys)
    return f"SELECT {names} FROM {_unnest(table, keys)} JOIN {table.name} t ON {on}"


@cache
def _unnest(table: Table, columns: Names) -> str:
    """The rows as a table `k`: one array for each column."""
    dialect = postgresql.dialect()
    types = (table.c[name].type.compile(dialect).split("(")[0] for name in columns)
    return f"unnest({', '.join(f'%s::{each}[]' for each in types)}) AS k({', '.join(columns)})"


def _arrays(rows: Rows) -> tuple[str, ...]:
    """The columns of the rows as array literals: psycopg's own, one item at a time, took a third of a batch's time."""
    return tuple(_literal(column) for column in zip(*rows, strict=True))


def _literal(values: tuple[Any, ...]) -> str:
    kinds = set(map(type, values))
    if kinds == {str}:  # all at once: no text of a database holds the character 0
        text = _escaped("\0".join(values))
        if text.count("\0") == len(values) - 1:
            return '{"' + text.replace("\0", '","') + '"}'
    if str in kinds:
        return "{" + ",".join("NULL" if value is None else f'"{_escaped(value)}"' for value in values) + "}"
    if bytes in kinds or memoryview in kinds:
        return "{" + ",".join("NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values) + "}"
    if type(None) in kinds:
        return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"
    return "{" + ",".join(map(str, values)) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
