"""Relays on three NATS servers: whatever is killed, nothing is lost, nothing told twice, each device's order kept."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.cluster.servers import Missing, Servers
from tools.cluster.storm import storm
from tools.relay.core import wire
from tools.relay.intake.edge import Arrival, open_edge
from tools.relay.settings import Settings
from tools.relay.testing import FakeDevice, report, wait_until

if TYPE_CHECKING:
    from tools.relay.store.stores_for_tests import Cluster

pytest_plugins = ["tools.relay.store.stores_for_tests"]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    try:
        running = Servers(tmp_path)
    except Missing as error:
        pytest.skip(str(error))
    with running:
        yield running


@pytest.mark.slow
def test_servers_and_relays_killed_under_load_lose_nothing_and_tell_nothing_twice(
    servers: Servers, postgresql: Cluster, tmp_path: Path
) -> None:
    seed = random.randrange(10000)
    account = storm(tmp_path, postgresql.url(), servers, seconds=15, seed=seed, devices=6)
    print(f"seed {seed}: {account}; the longest wait {account.wait_s(1.0):.1f} s")
    assert not account.faults, f"seed {seed}"
    assert min(account.server_kills, account.relay_kills) >= 1, f"seed {seed}"
    assert account.wait_s(0.5) < 5, f"seed {seed}"


@pytest.mark.slow
def test_what_a_relay_has_not_acknowledged_is_handed_to_the_next(servers: Servers) -> None:
    settings = Settings(broker=servers.url)
    taken: list[Arrival] = []
    first = open_edge(settings, taken.append)
    first.start()
    assert wait_until(lambda: first.connected)
    with FakeDevice(servers.mqtt_ports[0]) as device:
        assert wait_until(lambda: [arrival.kind for arrival in taken] == ["status"])
        taken[0].done()
        device.publish("up", report(1, 60, 1, 60))
        device.publish("up", report(2, 120, 1, 120))
        assert wait_until(lambda: len(taken) == 3)
        taken[1].done()
        first.stop()
        again: list[Arrival] = []
        second = open_edge(settings, again.append)
        second.start()
        assert wait_until(lambda: bool(again), 30)
        second.send("vacuum1", wire.encode_ack(1, int(time.time()), 1, 2))
        device.wait(wire.ACK)
        second.stop()
    assert [(arrival.device, arrival.kind, arrival.payload) for arrival in again] == [
        ("vacuum1", "up", report(2, 120, 1, 120))
    ]


@pytest.mark.parametrize("broker", ["nats://", "nats://host", "nats://a:4222,b", "host", "host:0"])
def test_an_address_that_is_none_is_refused(broker: str) -> None:
    with pytest.raises(ValueError, match="broker"):
        open_edge(Settings(broker=broker), lambda arrival: None)
