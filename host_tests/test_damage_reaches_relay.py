"""After damage to the device's flash the relay still gets every replacement, once, and hears what happened."""

from __future__ import annotations

import importlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.relay.core import wire as relay_wire
from tools.relay.store import schema
from tools.relay.store.store import Store as RelayStore
from wearmeter import faults, outbox, wire

House: Any = importlib.import_module("house").House


class Pair:
    """A unit and its relay, joined by a network that works."""

    def __init__(self, folder: Path) -> None:
        self.house = House(str(folder / "unit"))
        self.relay = RelayStore("sqlite://", lambda: self.house.true_s)
        self.nonces = itertools.count(10)
        self.faults = 0

    def exchange(self, turns: int = 40) -> None:
        house = self.house
        house.link.online = True
        house.link.nonce = next(self.nonces)
        for _ in range(turns):
            house.go(300)
            sent, house.link.sent = house.link.sent, []
            for branch, payload in sent:
                if branch == b"status":
                    status = relay_wire.decode_status(payload)
                    held = self.relay.status("unit", status)
                    assert held is not None
                    house.say(wire.WELCOME, held.epoch, held.have_sequence, None)
                elif branch == b"up":
                    message = relay_wire.decode_up(payload)
                    assert not isinstance(message, relay_wire.Unreadable)
                    self.faults |= message.faults
                    self.relay.accept([("unit", payload, message)])
                    house.say(wire.ACK, message.epoch, message.sequence)
        assert not house.outbox.entries

    def usage(self) -> dict[tuple[int, int], tuple[int, bool]]:
        return {(row.consumable, row.generation): (row.used_s, row.inferred) for row in self.relay.rows(schema.usage)}

    def aside(self) -> list[str]:
        return [row.reason for row in self.relay.rows(schema.quarantine)]

    def damage(self, record: str) -> None:
        """Both copies of it are gone; then a start, which says so."""
        for folder in ("a", "b"):
            path = Path(self.house.name) / folder / record
            if path.exists():
                path.write_bytes(b"\0" * 40)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    made = Pair(tmp_path)

    def load(self: Any, *arguments: Any) -> bool:
        lost = not whole(self, *arguments)
        made.lost = lost  # type: ignore[attr-defined]
        return True

    whole = outbox.Outbox.load
    monkeypatch.setattr(outbox.Outbox, "load", load)  # the house takes a lost queue for a mistake of the test
    yield made
    made.relay.close()


def restart(pair: Pair) -> None:
    """Power off and on, as App does it: a lost queue is a fault."""
    pair.house.cut()
    if pair.lost:  # type: ignore[attr-defined]
        pair.house.faults.raise_(faults.OUTBOX_LOST)


def test_a_replacement_in_a_lost_queue_is_inferred_by_the_relay(pair: Pair) -> None:
    house = pair.house
    house.learn_time()
    house.run(0, 9000)
    pair.exchange()
    house.link.online = False
    house.press(0)
    house.wait(660)
    assert [entry[outbox.KIND] for entry in house.outbox.entries] == [wire.REPLACEMENT]
    pair.damage("outbox")
    restart(pair)
    house.learn_time()
    house.run(0, 4000)
    pair.exchange()
    house.true_ms += 86_400_000
    house.learn_time()
    house.go(300)
    pair.exchange()
    assert pair.usage()[1, 2] == (4, False)
    assert pair.usage()[1, 1][1], "the relay says that it was inferred"
    assert pair.faults & faults.OUTBOX_LOST
    assert pair.aside() == []


def test_a_flash_taken_back_in_time_brings_nothing_under_a_number_that_is_taken(pair: Pair) -> None:
    house = pair.house
    house.learn_time()
    house.run(0, 9000)
    pair.exchange()
    old = Path(house.name + ".old")
    shutil.copytree(house.name, old)
    home = house.home.data
    for _ in range(6):
        house.link.online = False
        house.run(0, 3000)
        house.reporter._report(house.outbox.last_period)
        pair.exchange()
    # All of the flash is as it was a while ago: nothing on the device can tell.
    shutil.rmtree(house.name)
    shutil.copytree(old, house.name)
    house.home.data = home
    restart(pair)
    house.learn_time()
    house.press(1)
    house.wait(660)
    pair.exchange()
    assert house.outbox.next_sequence > 8
    house.run(0, 30_000)
    house.reporter._report(house.outbox.last_period)
    pair.exchange()
    newest = house.ledger.consumables[0].lifetime_ms // 1000
    assert pair.usage()[1, 1] == (newest, False)
    assert pair.usage()[2, 2] == (0, False)
    assert pair.faults & faults.OUTBOX_LOST
