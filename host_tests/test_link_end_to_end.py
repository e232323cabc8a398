"""Exactly once, from the motor to the relay's database, through every loss on the way: firmware, broker and relay."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tools.relay.core import wire
from tools.relay.store import schema
from tools.simulator import counts
from tools.torture.network import DEVICE, Day, House

FILTER_BUTTON = 18


@pytest.fixture
def house(tmp_path: Path, firmware: Path) -> Iterator[House]:
    with House(tmp_path) as running:
        yield running


def press(at_ms: int) -> list[list[Any]]:
    """The filter's button, held for 3.5 s."""
    return [[at_ms, "pin", FILTER_BUTTON, 0], [at_ms + 3_500, "pin", FILTER_BUTTON, 1]]


def waiting(house: House) -> list[int]:
    """The kinds of what the unit's flash keeps for the relay, oldest first."""
    return [entry.kind for entry in counts.queue(house.board.flash)]


def messages(house: House) -> list[tuple[int, int]]:
    """(sequence, kind) of what the relay has accepted, in order of arrival."""
    rows = house.relay.store.rows(schema.messages, device=DEVICE)
    return [(row.sequence, cbor2.loads(row.payload)[1]) for row in rows]


def stop_relay(house: House) -> None:
    house.relay.stop()


def start_relay(house: House) -> None:
    house.relay = house.make_relay()


def test_a_broker_that_dies_wiped_between_its_own_word_and_the_relays_loses_nothing(house: House) -> None:
    stop_relay(house)
    house.live(Day())
    kept = len(waiting(house))
    assert kept >= 1
    house.broker.stop()
    house.broker.start()
    start_relay(house)
    house.live(Day())
    assert len(messages(house)) >= kept + 1 and not waiting(house)
    house.settle()
    assert house.broken() is None


def test_a_relay_that_is_down_for_a_week_then_gets_every_day_in_order(house: House) -> None:
    house.live(Day())
    stop_relay(house)
    for _ in range(7):
        house.live(Day(), patience_ms=50)
    start_relay(house)
    house.live(Day())
    house.settle()
    assert house.broken() is None
    sequences = [sequence for sequence, kind in messages(house)]
    assert sequences == sorted(sequences) and sequences[:9] == list(range(1, 10))


def test_a_replacement_during_an_outage_arrives_once_with_its_own_moment(house: House) -> None:
    house.live(Day())
    stop_relay(house)
    house.live(Day(events=press(20_000), end_ms=700_000), patience_ms=50)
    start_relay(house)
    house.live(Day())
    house.settle()
    assert house.broken() is None
    assert [kind for _, kind in messages(house)].count(wire.REPLACEMENT) == 1


def test_a_relay_restored_from_an_old_backup_asks_again_and_ends_with_the_same_totals(
    house: House, tmp_path: Path
) -> None:
    database, backup = tmp_path / "relay.sqlite3", tmp_path / "backup.sqlite3"
    for _ in range(2):
        house.live(Day())
    stop_relay(house)
    shutil.copy(database, backup)
    start_relay(house)
    house.live(Day(events=press(20_000), end_ms=700_000))
    for _ in range(2):
        house.live(Day())
    assert [kind for _, kind in messages(house)].count(wire.REPLACEMENT) == 1
    stop_relay(house)
    for path in tmp_path.glob("relay.sqlite3*"):
        path.unlink()
    shutil.copy(backup, database)
    start_relay(house)
    house.live(Day())
    house.settle()
    assert house.broken() is None
    assert [kind for _, kind in messages(house)].count(wire.REPLACEMENT) == 1, "asked for and sent again"
    usage = house.relay.holdings().usage
    assert sorted(used.generation for used in usage if used.instance == "Sensor.DustFilter") == [1, 2]


def test_a_relay_that_has_lost_everything_gets_the_totals_of_now(house: House, tmp_path: Path) -> None:
    for _ in range(3):
        house.live(Day())
    stop_relay(house)
    for path in tmp_path.glob("relay.sqlite3*"):
        path.unlink()
    start_relay(house)
    house.live(Day())
    house.settle()
    assert house.broken() is None


def test_forged_acknowledgments_by_somebody_on_the_broker_take_nothing_out_of_the_outbox(house: House) -> None:
    stop_relay(house)
    forger = paho.Client(CallbackAPIVersion.VERSION2)

    forged: list[int] = []

    def forge(client: Any, data: Any, message: Any) -> None:
        epoch, sequence = cbor2.loads(message.payload)[2:4]
        forged.append(sequence)
        nonce, now_s = house_nonce[0], int(house.now_s())
        for payload in (
            wire.encode_ack(nonce + 1, now_s, epoch, sequence),
            wire.encode_ack(nonce, now_s, epoch + 1, sequence),
            wire.encode_ack(nonce, now_s, epoch, sequence + 50),
            wire.encode_ack(nonce, now_s, epoch, 0xFFFFFFFF),
            wire.encode_welcome(nonce, now_s, epoch, sequence + 50, None),
            b"\x86\x01\x01",
        ):
            client.publish(f"wearmeter/{DEVICE}/down", payload, 1)

    house_nonce = [1]

    def note(client: Any, data: Any, message: Any) -> None:
        fields = cbor2.loads(message.payload)
        if fields[1] == 1:
            house_nonce[0] = fields[2]

    forger.message_callback_add("wearmeter/+/up", forge)
    forger.message_callback_add("wearmeter/+/status", note)
    forger.connect("127.0.0.1", house.broker.port)
    forger.subscribe([("wearmeter/+/up", 1), ("wearmeter/+/status", 1)])
    forger.loop_start()
    run = house.live(Day())
    forger.disconnect()
    forger.loop_stop()
    assert forged and waiting(house), "nothing that was forged is the relay's word"
    assert any(line.startswith("wm refused") for line in run.lines)
    start_relay(house)
    house.live(Day())
    house.settle()
    assert house.broken() is None


def test_a_season_offline_is_merged_and_drains_in_order_while_the_motor_runs(house: House) -> None:
    offline = [[0, "broker", "refused"]]
    days = 60
    for _ in range(days):
        house.live(Day(events=offline, end_ms=12_000, motor=(4_000, 20_000)))
    kept = counts.queue(house.board.flash)
    assert 20 <= len(kept) < days, "neighbouring reports have become one"
    assert sum(1 + entry.merged for entry in kept) == kept[-1].sequence, "which stands for the others"
    heard_ms: list[int] = []
    listener = paho.Client(CallbackAPIVersion.VERSION2)
    listener.on_message = lambda *_: heard_ms.append(house.board.clock_utc_ms())
    listener.connect("127.0.0.1", house.broker.port)
    listener.subscribe("wearmeter/+/up", 1)
    listener.loop_start()
    house.live(Day(end_ms=90_000, motor=(1_000, 99_999)))
    listener.disconnect()
    listener.loop_stop()
    assert len(heard_ms) >= 20 and not waiting(house)
    assert heard_ms[-1] - heard_ms[0] >= 100 * (len(heard_ms) - 2), "paced"
    house.settle()
    assert house.broken() is None
    sequences = [sequence for sequence, _ in messages(house)]
    assert sequences == sorted(sequences)
