"""Whatever happens to whichever packet: each message arrives once, the totals agree, and counting goes on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tools.torture.network import Day, House, draw
from tools.torture.proxy import Fault

# CONNECT, CONNACK, SUBSCRIBE, SUBACK, then status, welcome, about, report and acknowledgment, each with its PUBACK.
PACKETS = 14


@pytest.fixture(autouse=True)
def compiled(firmware: Path) -> None:
    """The unit runs what build/mpy holds."""


def check(house: House, days: list[Day]) -> None:
    for day in days:
        house.live(day)
    house.settle()
    assert house.broken() is None
    held = house.relay.holdings()
    assert held.counts["accepted"] == held.messages > len(days) // 2


@pytest.mark.parametrize("kind", ["reset", "reset_after", "close", "garbage", "twice", "half_open", "lose"])
def test_a_fault_at_every_packet_of_the_dialogue(kind: str, tmp_path: Path) -> None:
    with House(tmp_path) as house:
        check(house, [Day([Fault(kind, at)]) for at in range(1, PACKETS + 1)])
        assert house.proxy.connections > PACKETS, "the faults have struck"


def test_a_byte_a_second_and_five_seconds_late(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        faults = [Fault("trickle", 2), Fault("trickle", 6), Fault("delay", 2), Fault("delay", 9), Fault("delay", 14)]
        check(house, [Day([fault]) for fault in faults])


def test_a_cut_at_any_moment_of_connecting_and_talking(tmp_path: Path) -> None:
    """The dialogue lies between 3.5 and 5.2 s after power-on."""
    with House(tmp_path) as house:
        check(house, [Day(end_ms=end_ms, motor=(1000, 99_999)) for end_ms in range(3500, 5200, 73)])


def test_random_days_of_a_bad_network(tmp_path: Path) -> None:
    seed = 7
    dice = random.Random(seed)
    with House(tmp_path, seed) as house:
        days = [draw(dice) for _ in range(15)]
        for day in days:
            house.live(day)
        house.settle()
        assert house.broken() is None, "seed 7; make torture draws others"
