"""Many rows in one statement arrive as they were given, on both databases."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.relay.store import bulk, schema
from tools.relay.store.store import Store

pytest_plugins = ["tools.relay.store.stores_for_tests"]
ASIDE = ("device", "epoch", "sequence", "received_s", "reason", "payload")
numbers = st.integers(0, (1 << 32) - 1)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


def asides() -> st.SearchStrategy[list[tuple[Any, ...]]]:
    row = st.tuples(st.just("vacuum1"), numbers, numbers, numbers, texts, st.binary(max_size=40))
    return st.lists(row, min_size=1, max_size=8, unique_by=lambda row: (row[1], row[2], row[5]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(asides())
def test_whatever_texts_and_bytes_are_written_is_what_is_read(store: Store, rows: list[tuple[Any, ...]]) -> None:
    with store.begin() as connection:
        connection.execute(schema.quarantine.delete())
        bulk.insert(connection, schema.quarantine, ASIDE, rows)
        keys = ("device", "epoch", "sequence")
        found = bulk.read(connection, schema.quarantine, keys, ASIDE[3:], sorted({row[:3] for row in rows}))
    assert sorted((*row[:5], bytes(row[5])) for row in found) == sorted(rows)


def test_an_upsert_changes_what_is_there_and_nothing_it_was_not_told_of(store: Store) -> None:
    columns = ("device", "epoch", "first_seen_s", "gap_since_s", "state")
    with store.begin() as connection:
        bulk.upsert(connection, schema.epochs, columns, ("gap_since_s", "state"), [("a", 1, 10, None, "x")])
        again = [("a", 1, 20, 7, "y"), ("b", 1, 20, None, "z")]
        bulk.upsert(connection, schema.epochs, columns, ("gap_since_s", "state"), again)
    rows = [(row.device, row.first_seen_s, row.gap_since_s, row.state) for row in store.rows(schema.epochs)]
    assert rows == [("a", 10, 7, "y"), ("b", 20, None, "z")]


def test_an_insert_that_ignores_leaves_the_row_that_is_there(store: Store) -> None:
    row = ("a", 1, 1, 5, "the first reason", b"x")
    with store.begin() as connection:
        bulk.insert(connection, schema.quarantine, ASIDE, [row], ignore=True)
        bulk.insert(connection, schema.quarantine, ASIDE, [(*row[:4], "another", b"x")], ignore=True)
    assert [found.reason for found in store.rows(schema.quarantine)] == ["the first reason"]
