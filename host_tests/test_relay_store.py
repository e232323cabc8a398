"""The store keeps what it has said it keeps, in one commit, and its migrations make the schema."""

from __future__ import annotations

import uuid
import zlib

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire
from tools.relay.store import schema
from tools.relay.store.store import Store, Welcome
from tools.relay.testing import ABOUT, EPOCH, NOW_S, Clock, replacement, report

pytest_plugins = ["tools.relay.store.stores_for_tests"]
ONLINE = wire.Online(5, EPOCH, 0, 0, 3, True, "0.1.0", 1, 0)


@pytest.fixture
def fleet(store: Store) -> Fleet:
    return Fleet(store)


def take(store: Store, *payloads: bytes, device: str = "vacuum1") -> list[str]:
    """Accept payloads in one batch; returns the verdicts."""
    return [outcome.verdict for outcome in store.accept([(device, each, wire.decode_up(each)) for each in payloads])]


def test_the_migrations_make_exactly_the_schema(store: Store) -> None:
    with store.begin() as connection:
        options = {"compare_type": True, "include_name": lambda name, *_: not (name or "").startswith("messages_")}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []


def test_a_second_start_finds_what_the_first_has_stored(store: Store, store_url: str) -> None:
    take(store, report(1, 100, 1, 100))
    again = Store(store_url, Clock())
    assert take(again, report(1, 100, 1, 100)) == ["duplicate"]
    again.close()


def test_a_report_and_its_events_are_stored_together(store: Store) -> None:
    take(store, report(1, 100, 1, 100, 50, 1, 50))
    assert store.count(schema.messages) == 1
    assert [(row.consumable, row.usage_s, row.utc_s) for row in store.rows(schema.queue)] == [
        (1, 100, NOW_S),
        (2, 50, NOW_S),
    ]
    assert [(row.consumable, row.used_s) for row in store.rows(schema.usage)] == [(1, 100), (2, 50)]


def test_when_the_events_cannot_be_queued_the_report_is_not_accepted_either(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise sqlalchemy.exc.OperationalError("INSERT", {}, Exception("disk full"))

    monkeypatch.setattr(store.outbox, "enqueue", full)
    with pytest.raises(sqlalchemy.exc.OperationalError):
        take(store, report(1, 100, 1, 100, 50, 1, 50))
    assert (store.count(schema.messages), store.count(schema.queue), store.counts()) == (0, 0, {})


def test_message_ids_are_drawn_once_when_the_event_is_queued(store: Store) -> None:
    take(store, report(1, 100, 1, 100, 50, 1, 50))
    ids = [row.message_id for row in store.rows(schema.queue)]
    assert len({uuid.UUID(each) for each in ids}) == 2 and {uuid.UUID(each).version for each in ids} == {4}


def test_each_message_is_accepted_once_also_within_a_batch(store: Store) -> None:
    one, two = report(1, 100, 1, 100), replacement(2, 1, 2, 110, 110)
    assert take(store, one, one, two) == ["accepted", "duplicate", "accepted"]
    assert take(store, two, one) == ["duplicate", "duplicate"]
    assert store.counts() == {"accepted": 2, "duplicate": 3}
    assert [row.name for row in store.rows(schema.queue)] == [
        "InventoryConsumed", "InventoryConsumed", "InventoryReplaced",
    ]  # fmt: skip


def test_devices_do_not_share_sequences(store: Store) -> None:
    assert take(store, report(1, 100, 1, 100)) == take(store, report(1, 100, 1, 100), device="vacuum2") == ["accepted"]


def test_an_impossible_message_is_kept_with_its_reason_and_once(store: Store) -> None:
    take(store, report(1, 100, 1, 100))
    bad = report(2, 99, 1, 99)
    assert take(store, bad) == ["aside"] and take(store, bad) == ["duplicate"]
    assert [(row.sequence, row.reason, row.payload) for row in store.rows(schema.quarantine)] == [
        (2, "total smaller than before", bad)
    ]


def test_a_forged_message_does_not_take_the_place_of_the_true_one(store: Store) -> None:
    take(store, report(1, 100, 1, 100))
    assert take(store, report(2, 110, 9, 1)) == ["aside"]
    assert take(store, report(2, 110, 1, 110)) == ["accepted"]


def test_an_unreadable_message_with_an_address_is_kept_aside(store: Store) -> None:
    take(store, report(1, 100, 1, 100))
    assert take(store, wire.encode([wire.VERSION, 1, EPOCH, 2, "now"])) == ["aside"]
    assert take(store, report(3, 110, 2, 5)) == ["accepted"]
    assert [row.name for row in store.rows(schema.queue)][-2:] == ["InventoryReplaced", "InventoryConsumed"]


def test_a_welcome_says_what_is_held_of_the_epoch_and_of_the_about_message(store: Store, fleet: Fleet) -> None:
    assert store.status("vacuum1", ONLINE) == Welcome(EPOCH, 0, None)
    about = wire.encode(ABOUT)
    assert fleet.about("vacuum1", about) and not fleet.about("vacuum1", about)
    take(store, report(1, 100, 1, 100), report(2, 110, 1, 110), report(4, 120, 1, 120))
    welcome = store.status("vacuum1", ONLINE)
    assert welcome is not None and (welcome.have_sequence, welcome.about_crc) == (2, zlib.crc32(about))


def test_a_will_ends_only_its_own_connection(store: Store) -> None:
    store.status("vacuum1", ONLINE)
    store.status("vacuum1", wire.Offline(4))
    assert store.rows(schema.devices)[0].online
    store.status("vacuum1", wire.Offline(5))
    assert not store.rows(schema.devices)[0].online


def test_the_acknowledgment_carries_the_nonce_of_the_latest_status(store: Store) -> None:
    payload = report(1, 100, 1, 100)
    assert store.accept([("vacuum1", payload, wire.decode_up(payload))])[0].nonce is None
    store.status("vacuum1", ONLINE)
    assert store.accept([("vacuum1", payload, wire.decode_up(payload))])[0].nonce == 5


def test_a_command_is_due_until_it_is_answered(store: Store, clock: Clock) -> None:
    number = store.add_command("vacuum1", wire.REPLACED, [0, 1])
    assert store.due_commands(30) == []
    store.status("vacuum1", ONLINE)
    assert [(due.number, due.nonce, due.arguments) for due in store.due_commands(30)] == [(number, 5, [0, 1])]
    assert store.due_commands(30) == []
    clock.now_s += 30
    assert len(store.due_commands(30)) == 1 and len(store.due_commands(30, ["vacuum1"])) == 1
    take(store, wire.encode([wire.VERSION, wire.ANSWER, EPOCH, 1, NOW_S, 0, number, 0]))
    clock.now_s += 30
    assert store.due_commands(30) == []
    assert store.rows(schema.commands)[0].result == 0


def test_a_fault_is_shown_with_its_detail(store: Store) -> None:
    take(store, wire.encode([wire.VERSION, wire.FAULT, EPOCH, 1, NOW_S, 32, "product.json: unknown key"]))
    row = store.rows(schema.devices)[0]
    assert (row.faults, row.fault_detail) == (32, "product.json: unknown key")


def test_a_new_epoch_is_recorded_beside_the_old_one(store: Store) -> None:
    take(store, report(1, 100, 1, 100), report(1, 3, 1, 3, epoch=EPOCH + 1))
    assert [row.epoch for row in store.rows(schema.epochs)] == [EPOCH, EPOCH + 1]
    assert store.rows(schema.devices)[0].epoch == EPOCH + 1


def test_a_devices_wear_is_that_of_its_most_worn_part(store: Store, fleet: Fleet) -> None:
    """Whichever came first, the report or the description of the parts."""

    def worn() -> int | None:
        found: int | None = store.rows(schema.devices, device="vacuum1")[0].wear_permille
        return found

    def say(payload: bytes) -> None:
        store.accept([("vacuum1", payload, wire.decode_up(payload))])

    say(report(1, 270000, 1, 270000, 540000, 1, 540000))
    assert worn() is None
    fleet.about("vacuum1", wire.encode(ABOUT))
    assert worn() == 500  # of a filter rated 150 h and a brush rated 300 h
    say(report(2, 272700, 1, 272700, 542700, 1, 542700))
    assert worn() == 505
    say(replacement(3, 1, 2, 272700, 272700))
    assert worn() == 502
    say(replacement(4, 2, 2, 542700, 542700))
    assert worn() == 0


def test_the_audit_log_keeps_who_did_what(store: Store, clock: Clock) -> None:
    store.note("cli:" + "x" * 80, "replay", "vacuum1", "the gateway was down")
    (line,) = store.rows(schema.audit)
    assert (line.at_s, line.who, line.action, line.device, line.detail) == (
        NOW_S, "cli:" + "x" * 60, "replay", "vacuum1", "the gateway was down",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("SELECT faults, count(*) FROM devices WHERE faults <> 0 GROUP BY faults", "ix_devices_faulty"),
        ("SELECT number FROM commands WHERE result IS NULL ORDER BY number LIMIT 100", "ix_commands_open"),
        ("SELECT device FROM epochs WHERE gap_since_s <= 5 ORDER BY gap_since_s LIMIT 200", "ix_epochs_gap_since_s"),
        ("SELECT device FROM endpoints WHERE route = 'all' AND due_s <= 5 ORDER BY due_s LIMIT 8", "ix_endpoints_due"),
    ],
)
def test_what_is_due_is_found_by_an_index_of_what_is_due_alone(store: Store, wanted: str, index: str) -> None:
    with store.begin() as connection:
        if store.is_sqlite:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {wanted}").all()
        else:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            plan = connection.exec_driver_sql(f"EXPLAIN {wanted}").all()
    assert index in str(plan)
