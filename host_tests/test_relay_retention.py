"""Messages are kept as long as the setting says; a device's curve keeps a point a day for ever."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic import command

from tools.relay.core import wire
from tools.relay.pages.view import View
from tools.relay.store import migrations, schema
from tools.relay.store.retention import Retention
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, EPOCH, NOW_S, Clock, replacement, report

pytest_plugins = ["tools.relay.store.stores_for_tests"]
DAY_S = 86400
KEEP_S = 60 * DAY_S
DAYS = 40


def live(store: Store, clock: Clock, first_day: int, days: int) -> None:
    """Two reports a day, 60 s of use each; on day 10 a new filter."""
    for day in range(first_day, first_day + days):
        clock.now_s = NOW_S + day * DAY_S
        for half in (0, 1):
            number = 2 * day + half + 1
            fitted = 60 * 21 if day > 10 else 0
            generation, used_s = (2, 60 * number - fitted) if fitted else (1, 60 * number)
            at = int(clock.now_s) + half
            payload = report(number + (day > 10), 60 * number, generation, used_s, at=at)
            take(store, payload)
            if (day, half) == (10, 0):
                take(store, replacement(22, 1, 2, 60 * 21, 60 * 21, at=at))
                break


def take(store: Store, payload: bytes) -> None:
    (outcome,) = store.accept([("vacuum1", payload, wire.decode_up(payload))])
    assert (outcome.verdict, outcome.reason) == ("accepted", "")


def expire(store: Store) -> int:
    """Returns how many messages are gone."""
    before = store.count(schema.messages)
    retention = Retention(store, KEEP_S, threading.Event())
    while retention.expire():
        pass
    return before - store.count(schema.messages)


def curve(store: Store, clock: Clock) -> list[tuple[int, int, int, bool]]:
    view = View(store, clock)
    shown = view.device("vacuum1")
    view.close()
    assert shown is not None
    return [(point.utc_s, point.generation, point.used_s, point.new) for point in shown["unit"].parts[1].points]


def test_of_messages_that_are_too_old_a_point_a_day_remains(store: Store, clock: Clock) -> None:
    store.abouts([("vacuum1", wire.encode(ABOUT))])
    live(store, clock, 0, DAYS)
    before = curve(store, clock)
    clock.now_s = NOW_S + 130 * DAY_S
    live(store, clock, 130, 1)
    held = store.count(schema.messages)
    assert expire(store) == held - 2
    after = curve(store, clock)
    days = {(utc_s // DAY_S, generation, new): point for point in before for utc_s, generation, _, new in [point]}
    assert after[:-2] == list(days.values()) and len(after) == DAYS + 1 + 2
    assert [point for point in after if point[3]] == [(NOW_S + 10 * DAY_S, 2, 0, True)]
    assert expire(store) == 0


def test_what_is_young_enough_stays_as_it_came(store: Store, clock: Clock) -> None:
    live(store, clock, 0, 2)
    assert expire(store) == 0
    assert (store.count(schema.messages), store.count(schema.history)) == (4, 0)


def test_a_message_that_cannot_be_read_any_more_keeps_no_other(store: Store, clock: Clock) -> None:
    live(store, clock, 0, 2)
    with store.begin() as connection:
        connection.execute(schema.messages.update().where(schema.messages.c.sequence == 2).values(payload=b"\xff"))
    clock.now_s = NOW_S + 130 * DAY_S
    assert expire(store) == 4
    assert [(row.day, row.used_s) for row in store.rows(schema.history)] == [
        (NOW_S // DAY_S, 60), (NOW_S // DAY_S + 1, 240),
    ]  # fmt: skip


def test_an_old_message_that_comes_again_tells_nothing_new(store: Store, clock: Clock) -> None:
    live(store, clock, 0, 3)
    clock.now_s = NOW_S + 130 * DAY_S
    expire(store)
    told = store.count(schema.queue)
    take(store, report(3, 180, 1, 180, at=NOW_S + DAY_S))
    assert store.count(schema.queue) == told


def test_the_next_month_has_its_partition_and_one_long_over_is_dropped(store: Store, clock: Clock) -> None:
    if store.is_sqlite:
        pytest.skip("SQLite has no partitions")
    live(store, clock, 0, 2)
    assert partitions(store) >= {"messages_202607", "messages_202608"}
    with store.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM messages_202607").scalar() == 4
        assert connection.exec_driver_sql("SELECT count(*) FROM messages_rest").scalar() == 0
    clock.now_s = NOW_S + 130 * DAY_S
    expire(store)
    assert "messages_202607" not in partitions(store)
    assert store.count(schema.history) == 2


def test_a_month_of_which_messages_came_too_early_goes_on_without_a_partition(store: Store, clock: Clock) -> None:
    if store.is_sqlite:
        pytest.skip("SQLite has no partitions")
    live(store, clock, 130, 1)
    Store(str(store.engine.url.render_as_string(False)).replace("+psycopg", ""), clock).close()
    assert "messages_202611" not in partitions(store)
    live(store, clock, 131, 1)
    clock.now_s = NOW_S + 300 * DAY_S
    expire(store)
    assert (store.count(schema.messages), store.count(schema.history)) == (0, 2)


def partitions(store: Store) -> set[str]:
    with store.begin() as connection:
        found = connection.exec_driver_sql("SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid")
        return {row.relname for row in found} & {f"messages_2026{month:02}" for month in range(1, 13)}


def test_the_migration_carries_every_message(store_url: str, tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(store_url.replace("postgresql:", "postgresql+psycopg:"))
    config, _, _ = migrations._scripts()
    row: dict[str, Any] = {
        "device": "vacuum1", "epoch": EPOCH, "sequence": 1, "kind": 1, "received_s": NOW_S, "sample_s": NOW_S,
        "estimated": False, "faults": 0, "late": False, "payload": report(1, 60, 1, 60),
    }  # fmt: skip
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").all():
                connection.exec_driver_sql(f"DROP TABLE {name}")
        else:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        config.attributes["connection"] = connection
        command.upgrade(config, "0003_endpoints")
        connection.execute(schema.messages.insert(), [row, row | {"sequence": 2, "received_s": NOW_S + 40 * DAY_S}])
    engine.dispose()
    store = Store(store_url, Clock())
    assert [(found.sequence, found.payload) for found in store.rows(schema.messages)] == [
        (1, report(1, 60, 1, 60)), (2, report(1, 60, 1, 60)),
    ]  # fmt: skip
    store.close()
