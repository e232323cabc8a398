"""Every kind of input against every fault of the network, beside a second input that toggles every 20 to 600 ms.

Nothing is counted that had not run, no callback is lost, and each stop of a motor costs what README says of its input.
"""

from __future__ import annotations

import json
import random
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from host_tests.unit_for_tests import BRUSH, PRODUCT, SUCTION, Unit, config
from tools.demo.broker import EmbeddedBroker
from tools.mosquitto.broker import Mosquitto
from tools.mosquitto.certificates import Authority
from tools.setup import system_packages
from tools.simulator.testing import BoardRun
from tools.torture.proxy import Fault, Proxy

CURRENT, SPEED = 34, 21
END_MS = 30_000
QUIET_MS = 3_000  # at the end: what was counted is in flash
FIRST_MS = 500
PATIENCE_MS = 60  # real time for an answer: no relay is there to give one
NAME = "broker.example"
DEVICE = "246f28a1b2c3"


@dataclass(frozen=True)
class Driver:
    """An input of the product: how a motor that runs is put to its pin, and what a stop may cost."""

    signal: str
    options: dict[str, int]
    events: Callable[[bool], list[Any]]
    stop_ms: int


DRIVERS = {
    "level": Driver("suction_motor", {"active": 1}, lambda on: ["pin", SUCTION, int(on)], 100),
    "hardware": Driver("suction_motor", {"active": 1}, lambda on: ["pin", SUCTION, int(on)], 2),
    "mains": Driver(
        "motor_current", {"on_rms": 60, "off_rms": 30}, lambda on: ["mains", CURRENT, 500 if on else 0, 50], 200
    ),
    "current": Driver(
        "motor_current", {"on_raw": 3277, "off_raw": 1638}, lambda on: ["adc", CURRENT, 5000 if on else 100], 200
    ),
}


@dataclass(frozen=True)
class Network:
    """What the network does. `packet` is what happens to a packet of each connection."""

    events: list[list[Any]] = field(default_factory=list)
    host: str = "127.0.0.1"
    hosts: dict[str, str] = field(default_factory=dict)
    packet: Fault | None = None
    reason: int | None = None  # that the link tells at least once


def each(step_ms: int, *changes: list[Any]) -> list[list[Any]]:
    """One change after the other, again and again, to the end."""
    return [[at_ms, *changes[at_ms // step_ms % len(changes)]] for at_ms in range(0, END_MS, step_ms)]


NETWORKS = {
    "broker up": Network(),
    "broker silent": Network([[0, "broker", "silent"]], reason=12),
    "broker refuses": Network([[0, "broker", "refused"]], reason=7),
    "broker drips": Network(packet=Fault("trickle", 2)),
    "broker drips after CONNACK": Network(packet=Fault("trickle", 3)),
    "broker talks rubbish": Network(packet=Fault("garbage", 2)),
    "broker comes and goes": Network(each(3_100, ["broker", "up"], ["broker", "silent"], ["broker", "refused"])),
    "Wi-Fi gone": Network([[0, "wifi", "gone"]], reason=3),
    "Wi-Fi comes and goes": Network(each(4_700, ["wifi", "up"], ["wifi", "gone"])),
    "no address": Network([[0, "wifi", "no_address"]], reason=5),
    "no internet": Network([[0, "wifi", "no_internet"]], reason=12),
    "name unknown": Network(host=NAME, reason=6),
    "name server silent": Network([[0, "wifi", "no_internet"]], host=NAME, reason=6),
    "time server silent": Network([[0, "ntp", False]]),
}


class Motor:
    """A motor that starts and stops at random moments: its changes, and how long it has run."""

    def __init__(self, dice: random.Random, shortest_ms: int, longest_ms: int) -> None:
        self.changes: list[float] = []
        at_ms: float = FIRST_MS
        while (at_ms := round(at_ms + dice.uniform(shortest_ms, longest_ms), 3)) < END_MS - QUIET_MS:
            self.changes.append(at_ms)
        if len(self.changes) % 2:
            self.changes.append(END_MS - QUIET_MS)
        self.stops = len(self.changes) // 2
        self.ran_ms = sum(self.changes[1::2]) - sum(self.changes[::2])

    def events(self, drive: Callable[[bool], list[Any]]) -> list[list[Any]]:
        return [[0, *drive(False)]] + [[at, *drive(number % 2 == 0)] for number, at in enumerate(self.changes)]


def product(driver: str) -> dict[str, Any]:
    """The filter wears with an input of this driver, the brush with a level input."""
    data: dict[str, Any] = json.loads(PRODUCT.read_text())
    kind = DRIVERS[driver]
    data["inputs"] = [
        {"name": "suction", "driver": driver, "signal": kind.signal, **kind.options},
        {"name": "brush", "driver": "level", "signal": "brush_motor", "active": 1},
    ]
    for part, name in zip(data["consumables"], ("suction", "brush"), strict=True):
        part["input"] = name
    return data


def check(unit: Unit, driver: str, seed: str, events: list[list[Any]], slack_ms: int = 0, **keys: Any) -> BoardRun:
    """Let both motors run while `events` go on; `power` raises where a callback was dropped. `slack_ms` is what a stop
    may cost beyond the promise."""
    dice = random.Random(seed)
    slow, fast = Motor(dice, 300, 3_000), Motor(dice, 20, 600)
    kind = DRIVERS[driver]
    lines = [*slow.events(kind.events), *fast.events(lambda on: ["pin", BRUSH, int(on)]), *events]
    (run,) = unit.power(END_MS, lines, pcnt=True, patience_ms=PATIENCE_MS, **keys)
    for part, motor, stop_ms in zip(unit.counted(), (slow, fast), (kind.stop_ms, 100), strict=True):
        lost_ms = motor.ran_ms - part.lifetime_ms
        assert 0 <= lost_ms <= (stop_ms + slack_ms) * motor.stops, (motor.ran_ms, part.lifetime_ms, motor.stops)
    return run


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with EmbeddedBroker() as broker, Proxy(broker.port, 1) as running:
        yield running


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("driver", DRIVERS)
def test_nothing_is_counted_too_much_and_a_stop_costs_little(
    tmp_path: Path, firmware: Path, proxy: Proxy, driver: str, network: str
) -> None:
    fault = NETWORKS[network]
    proxy.plan = [fault.packet] * 20 if fault.packet else []
    entry = {"host": fault.host, "port": proxy.port, "transport": "plain"}
    unit = Unit(tmp_path, product=product(driver), config=config(broker=entry, ntp_host="pool.ntp.org"))
    run = check(unit, driver, driver + network, fault.events, hosts=fault.hosts)
    assert fault.reason is None or f" reason={fault.reason} " in run.text, run.text


@pytest.mark.parametrize(("erase_ms", "slack_ms"), [(150, 0), (400, 200)])
@pytest.mark.parametrize("driver", DRIVERS)
def test_nothing_is_counted_too_much_while_slow_flash_holds_callbacks_up(
    tmp_path: Path, firmware: Path, driver: str, erase_ms: int, slack_ms: int
) -> None:
    """Four erases of 400 ms, the worst of data sheets, are longer than eight changes of the second input: some
    are lost, and with them up to 0.2 s more a stop."""
    unit = Unit(tmp_path, product=product(driver))
    check(unit, driver, f"{driver} {erase_ms}", [], slack_ms, erase_ms=erase_ms, storm=slack_ms > 0)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a unit's config says of a broker that speaks TLS only."""
    if system_packages.where("mosquitto") is None:
        pytest.skip("MOSQUITTO IS NOT INSTALLED: nothing is counted beside TLS (apt-get install mosquitto)")
    authority = Authority()
    passwords = {DEVICE: "the device's own", "relay": "the relay's"}
    with Mosquitto(tmp_path_factory.mktemp("mosquitto"), authority, passwords) as broker:
        yield {
            "host": NAME,
            "port": broker.password_port,
            "transport": "tls",
            "ca": ssl.PEM_cert_to_DER_cert(authority.pem.decode()),
            "user": DEVICE,
            "password": passwords[DEVICE],
        }


@pytest.mark.parametrize("network", ["broker up", "broker comes and goes"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_nothing_is_counted_too_much_while_tls_computes(
    tmp_path: Path, firmware: Path, tls: dict[str, Any], driver: str, network: str
) -> None:
    unit = Unit(tmp_path, product=product(driver), config=config(broker=tls, ntp_host="pool.ntp.org"))
    run = check(unit, driver, driver + network, NETWORKS[network].events, hosts={NAME: "127.0.0.1"})
    assert "wm link state=online" in run.text or network != "broker up"
