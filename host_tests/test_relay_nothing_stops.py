"""An error with one message, one row or one thread touches that one alone, and says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError

from tools.demo.broker import EmbeddedBroker
from tools.relay.core import state, wire
from tools.relay.service import Relay
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.relay.store.acceptance import DEFERRED, Batch
from tools.relay.store.store import Store
from tools.relay.testing import EPOCH, NOW_S, Clock, FakeDevice, report, wait_until

pytest_plugins = ["tools.relay.store.stores_for_tests"]
ONLINE = wire.Online(5, EPOCH, 0, 0, 3, True, "0.1.0", 1, 0)


@pytest.fixture
def relay(store_url: str, free_port: Callable[[], int]) -> Iterator[Relay]:
    with EmbeddedBroker(free_port()) as broker:
        running = Relay(Settings(broker=f"127.0.0.1:{broker.port}", store=store_url), lambda: float(NOW_S))
        running.start()
        assert wait_until(lambda: running.mqtt.connected)
        yield running
        running.stop()


def take(store: Store, *said: tuple[str, bytes]) -> list[tuple[str, str]]:
    outcomes = store.accept([(device, payload, wire.decode_up(payload)) for device, payload in said])
    return [(outcome.verdict, outcome.reason) for outcome in outcomes]


def keep_state(store: Store, device: str, change: Callable[[list[Any]], Any]) -> str:
    """Change what is stored of a device's epoch; returns the new text."""
    (row,) = store.rows(schema.epochs, device=device)
    changed = json.dumps(change(json.loads(row.state)))
    with store.begin() as connection:
        connection.execute(schema.epochs.update().where(schema.epochs.c.device == device).values(state=changed))
    return changed


def newer(fields: list[Any]) -> list[Any]:
    return [state.VERSION + 1, *fields[1:], "a field that this relay does not know"]


def test_a_newer_relays_state_is_left_alone_and_its_device_to_the_newer_relay(store: Store) -> None:
    take(store, ("vacuum1", report(1, 100, 1, 100)), ("vacuum2", report(1, 100, 1, 100)))
    kept = keep_state(store, "vacuum1", newer)
    said = [("vacuum1", report(2, 110, 1, 110)), ("vacuum2", report(2, 110, 1, 110))]
    assert take(store, *said) == [(DEFERRED, ""), ("accepted", "")]
    assert store.rows(schema.epochs, device="vacuum1")[0].state == kept
    assert store.count(schema.messages) == 3 and store.count(schema.quarantine) == 0
    assert store.statuses([("vacuum1", ONLINE), ("vacuum2", ONLINE)])[0] is None
    store.clock.now_s += 7200  # type: ignore[attr-defined]
    store.end_waits()
    assert store.rows(schema.epochs, device="vacuum1")[0].state == kept


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: {"contiguous": 1, "surprise": 2},
        lambda fields: fields[:3],
        lambda _: [],
        lambda _: 7,
        lambda fields: [fields[0], "1", *fields[2:]],
        lambda fields: [*fields[:4], [[1]], *fields[5:]],
        lambda fields: [*fields[:4], [[1, "x", *fields[4][0][2:]]], *fields[5:]],
    ],
    ids=["fields by name", "too few", "empty", "a number", "text for a number", "a bare part", "text in a part"],
)
def test_a_damaged_state_sets_its_devices_messages_aside_and_no_others(
    store: Store, change: Callable[[list[Any]], Any]
) -> None:
    take(store, ("vacuum1", report(1, 100, 1, 100)), ("vacuum2", report(1, 100, 1, 100)))
    keep_state(store, "vacuum1", change)
    said = [("vacuum1", report(2, 110, 1, 110)), ("vacuum2", report(2, 110, 1, 110))]
    (verdict, reason), other = take(store, *said)
    assert (verdict, other) == ("aside", ("accepted", "")) and "stored state" in reason
    assert [(row.device, row.sequence) for row in store.rows(schema.quarantine)] == [("vacuum1", 2)]
    assert store.statuses([("vacuum1", ONLINE)])[0] is not None


def test_a_message_nothing_can_be_made_of_is_set_aside_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = Batch._decide

    def fragile(self: Batch, row: Any, key: tuple[str, int, int], message: Any) -> Any:
        if key[0] == "vacuum1":
            raise ZeroDivisionError("a fault of ours")
        return decide(self, row, key, message)

    monkeypatch.setattr(Batch, "_decide", fragile)
    said = [("vacuum1", report(1, 100, 1, 100)), ("vacuum2", report(1, 100, 1, 100))]
    assert take(store, *said) == [("aside", "ZeroDivisionError: a fault of ours"), ("accepted", "")]


def test_a_report_that_waits_is_told_by_the_clock_alone(store: Store) -> None:
    take(store, ("vacuum1", report(1, 100, 1, 100)), ("vacuum1", report(3, 120, 2, 5)))
    assert store.end_waits() == 0 and store.count(schema.queue) == 1
    store.clock.now_s += 3600  # type: ignore[attr-defined]
    assert store.end_waits() == 1
    assert [(row.name, row.inferred) for row in store.rows(schema.queue)][1:] == [
        ("InventoryReplaced", True), ("InventoryConsumed", False),
    ]  # fmt: skip
    assert store.end_waits() == 0


def test_sequences_the_device_will_never_reach_are_forgotten_at_its_next_status(store: Store) -> None:
    take(store, ("vacuum1", report(4294967000, 100, 1, 100)))  # nothing is known of the device yet
    (welcome,) = store.statuses([("vacuum1", ONLINE)])
    assert welcome is not None and welcome.have_sequence == 0
    assert take(store, ("vacuum1", report(1, 200, 1, 200))) == [("accepted", "")]
    assert [row.usage_s for row in store.rows(schema.queue)] == [100, 200]


def test_what_the_database_refuses_is_set_aside_and_acknowledged(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    accept = relay.store.accept

    def fragile(items: Any, trusted: bool = False) -> Any:
        if any(message.sequence == 2 for _, _, message in items):
            raise DataError("INSERT", {}, ValueError("no such number"))
        return accept(items, trusted)

    monkeypatch.setattr(relay.store, "accept", fragile)
    port = int(relay.settings.broker.rpartition(":")[2])
    with FakeDevice(port) as device:
        device.wait(wire.WELCOME)
        for sequence in (1, 2, 3):
            device.publish("up", report(sequence, 100 * sequence, 1, 100 * sequence))
        assert sorted(fields[5] for fields in device.wait(wire.ACK, 3)) == [1, 2, 3]
    (row,) = relay.store.rows(schema.quarantine)
    assert (row.sequence, row.reason) == (2, "the database refuses it: DataError")


def test_a_thread_that_fails_is_begun_again_and_the_relay_says_so(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wait_until(lambda: relay.health().ready)
    end_waits, failures = relay.store.end_waits, [RuntimeError("a fault of ours")]

    def fragile() -> int:
        if failures:
            raise failures.pop()
        return end_waits()

    monkeypatch.setattr(relay.store, "end_waits", fragile)
    assert wait_until(lambda: not relay.health().live)
    assert relay.health().reasons == ["relay-store failed: RuntimeError"]
    port = int(relay.settings.broker.rpartition(":")[2])
    with FakeDevice(port) as device:
        device.wait(wire.WELCOME)
        device.publish("up", report(1, 100, 1, 100))
        device.wait(wire.ACK)


def test_a_relay_without_a_broker_is_alive_and_not_ready(store_url: str, free_port: Callable[[], int]) -> None:
    relay = Relay(Settings(broker=f"127.0.0.1:{free_port()}", store=store_url))
    relay.start()
    health = relay.health()
    relay.stop()
    assert (health.live, health.ready, health.reasons) == (True, False, ["no broker"])


def test_a_database_that_a_newer_relay_has_migrated_is_left_alone(store_url: str, tmp_path: Path) -> None:
    store = Store(store_url, Clock())
    with store.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_from_the_future'"))
    store.close()
    again = Store(store_url, Clock())
    assert take(again, ("vacuum1", report(1, 100, 1, 100))) == [("accepted", "")]
    again.close()
