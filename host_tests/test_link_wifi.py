"""Each state of the Wi-Fi and each outage, on the virtual board: its reason is told, and counting goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tools.relay.store import schema
from tools.torture.network import Day, House

WIFI_TIMEOUT, WRONG_PASSWORD, NO_ACCESS_POINT, WIFI_LOST, NO_ADDRESS, NAME_LOOKUP = 1, 2, 3, 4, 5, 6
CONNECT_FAILED, PING_LOST, CLOSED, TIMEOUT = 7, 10, 11, 12
HALF_MS, END_MS = 60_000, 1_100_000


def lived(house: House, events: list[list[Any]], **keys: Any) -> tuple[list[int], list[str]]:
    """A day with these events and the motor on; the reasons told, and all `wm` lines."""
    before_ms = house.ledger_ms()[0] if house.cuts else 0
    run = house.live(Day(events=events, end_ms=END_MS, motor=(1_000, 9_999_999)), **keys)
    assert END_MS - 2_000 <= house.ledger_ms()[0] - before_ms <= END_MS - 1_000
    lines = [line for line in run.lines if line.startswith("wm ")]
    return [int(line.split("reason=")[1].split()[0]) for line in lines if "state=lost" in line], lines


@pytest.mark.parametrize(
    ("what", "mode", "reasons"),
    [
        ("wifi", "gone", {WIFI_LOST, NO_ACCESS_POINT}),
        ("wifi", "no_address", {WIFI_LOST, NO_ADDRESS}),
        ("wifi", "no_internet", {PING_LOST, TIMEOUT}),
        ("broker", "silent", {PING_LOST, TIMEOUT}),
        ("broker", "refused", {CLOSED, CONNECT_FAILED}),
    ],
)
def test_an_outage_while_connected_is_told_and_ends(
    what: str, mode: str, reasons: set[int], tmp_path: Path, firmware: Path
) -> None:
    with House(tmp_path) as house:
        found, lines = lived(house, [[HALF_MS, what, mode], [200_000, what, "up"]])
        assert found and set(found) <= reasons, lines
        assert "state=online" in [line for line in lines if line.startswith("wm link")][-1], lines
        (device,) = house.relay.store.rows(schema.devices)
        assert (device.link_reason, device.link_losses) == (found[-1], len(found)), "the relay can see it"
        house.settle()
        assert house.broken() is None


def test_an_outage_at_power_on_is_told_and_ends(tmp_path: Path, firmware: Path) -> None:
    with House(tmp_path) as house:
        for mode, reason in (("gone", NO_ACCESS_POINT), ("no_address", NO_ADDRESS), ("no_internet", TIMEOUT)):
            found, lines = lived(house, [[0, "wifi", mode], [100_000, "wifi", "up"]])
            assert set(found) == {reason}, (mode, lines)
            assert any("state=online" in line for line in lines), mode


def test_a_wrong_password_and_a_network_that_is_not_there_have_their_reasons(tmp_path: Path, firmware: Path) -> None:
    with House(tmp_path) as house:
        found, lines = lived(house, [], wifi={"ssid": "Home", "password": "changed by the owner"})
        assert set(found) == {WRONG_PASSWORD}, lines
        found, lines = lived(house, [], wifi={"ssid": "Another", "password": "a password"})
        assert set(found) == {NO_ACCESS_POINT}, lines


def test_a_broker_whose_name_is_unknown_is_looked_for_again_and_again(tmp_path: Path, firmware: Path) -> None:
    with House(tmp_path) as house:
        house.configure(host="nowhere.example")
        found, lines = lived(house, [])
        assert set(found) == {NAME_LOOKUP} and len(found) >= 3, lines
