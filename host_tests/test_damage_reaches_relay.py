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
from wearmeter.exchange import wire
from wearmeter.state import faults

House: Any = importlib.import_module("house").House

DEVICE = "unit1"


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
                    held = self.relay.status(DEVICE, status)
                    assert held is not None
                    house.say(wire.WELCOME, held.epoch, held.have_sequence, None)
                elif branch == b"up":
                    message = relay_wire.decode_up(payload)
                    assert not isinstance(message, relay_wire.Unreadable)
                    self.faults |= message.faults
                    self.relay.accept([(DEVICE, payload, message)])
                    house.say(wire.ACK, message.epoch, message.sequence)
        assert not house.entries()

    def usage(self) -> dict[tuple[int, int], tuple[int, bool]]:
        """Of the device's epoch."""
        rows = [row for row in self.relay.rows(schema.usage) if row.epoch == self.house.state.numbers.epoch]
        return {(row.consumable, row.generation): (row.used_s, row.inferred) for row in rows}

    def aside(self) -> list[str]:
        return [row.reason for row in self.relay.rows(schema.quarantine)]

    def damage(self, record: str, backup: bool = False) -> None:
        """No file of it is readable any more, and no backup copy either."""
        for folder in ("a", "b"):
            (Path(self.house.root) / "state" / folder / record).write_bytes(b"\0" * 40)
        if backup:
            self.house.backups[record].data = b""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.relay.close()


def replaced_unheard(pair: Pair) -> None:
    """The relay knows of nine seconds, and not yet of the replacement that followed."""
    house = pair.house
    house.learn_time()
    house.run(1, 9000)
    pair.exchange()
    house.link.online = False
    house.press(1)
    house.wait(660)
    assert [entry.kind for entry in house.entries()] == [wire.REPLACEMENT]


def next_day(pair: Pair) -> None:
    house = pair.house
    house.learn_time()
    house.run(1, 4000)
    pair.exchange()
    house.true_ms += 86_400_000
    house.cut()
    house.learn_time()
    pair.exchange()


def test_a_replacement_whose_files_are_damaged_comes_from_the_backup_copy(pair: Pair) -> None:
    replaced_unheard(pair)
    pair.damage("ledger")
    pair.house.cut()
    next_day(pair)
    assert pair.usage()[1, 2] == (4, False)
    assert pair.usage()[1, 1] == (9, False)
    assert pair.faults & faults.COPY_DAMAGED
    assert pair.aside() == []


def test_with_no_copy_of_the_ledger_left_the_total_goes_on_and_no_part_is_told_older_than_it_is(pair: Pair) -> None:
    replaced_unheard(pair)
    pair.damage("ledger", backup=True)
    pair.house.cut()
    next_day(pair)
    assert pair.house.part(1).lifetime_ms // 1000 == 13
    assert pair.usage()[1, 1] == (4, False), "it ran for 4 s since then"
    assert pair.faults & faults.QUEUE_LOST
    assert pair.aside() == []


def test_a_flash_taken_back_in_time_brings_nothing_under_a_number_that_is_taken(pair: Pair) -> None:
    house = pair.house
    house.learn_time()
    house.run(1, 9000)
    pair.exchange()
    old = Path(house.root + ".old")
    shutil.copytree(house.root, old)
    backups = {name: backup.data for name, backup in house.backups.items()}
    for _ in range(6):
        house.link.online = False
        house.run(1, 3000)
        house.report()
        pair.exchange()
    # All of the flash is as it was a while ago: nothing on the device can tell.
    shutil.rmtree(house.root)
    shutil.copytree(old, house.root)
    for name, backup in house.backups.items():
        backup.data = backups.get(name, b"")
    house.cut()
    house.learn_time()
    house.press(2)
    house.wait(660)
    pair.exchange()
    assert house.state.numbers.next_sequence > 8
    house.run(1, 30_000)
    house.report()
    pair.exchange()
    newest = house.part(1).lifetime_ms // 1000
    assert pair.usage()[1, 1] == (newest, False)
    assert pair.usage()[2, 2] == (0, False)
    assert pair.faults & faults.QUEUE_LOST
