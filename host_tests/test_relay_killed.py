"""Any relay may be killed at any moment, under load: nothing is lost, nothing told twice, each device's order kept."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools.alexa_gateway.gateway import Gateway
from tools.bench_relay.processes import Missing, Mosquitto, RelayProcess
from tools.bench_relay.swarm import Swarm
from tools.bench_relay.wear import EVERY, expected, message
from tools.relay.core import wire
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, wait_until

if TYPE_CHECKING:
    from tools.relay.store.stores_for_tests import Cluster

pytest_plugins = ["tools.relay.store.stores_for_tests"]

RELAYS, DEVICES, KILLS = 3, 10, 5
DEADLINE_S = 60


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    try:
        running = Mosquitto(tmp_path)
    except Missing as error:
        pytest.skip(str(error))
    yield running
    running.stop()


@pytest.mark.slow
def test_relays_killed_under_load_lose_nothing_and_tell_nothing_twice(
    mosquitto: Mosquitto, postgresql: Cluster, tmp_path: Path
) -> None:
    seed = random.randrange(10000)
    draw = random.Random(seed)
    gateway = Gateway(tokens={"good"})
    settings: dict[str, Any] = {
        "broker": f"127.0.0.1:{mosquitto.port}", "store": postgresql.url(), "gateway": gateway.start(),
        "token": "good", "shared_group": "relays", "lease_s": 1.5, "deadline_s": 1.0,
    }  # fmt: skip
    store = Store(settings["store"], time.time)
    started = 0

    def start() -> RelayProcess:
        nonlocal started
        started += 1
        return RelayProcess(tmp_path / f"relay{started}.log", **settings)

    relays = [start() for _ in range(RELAYS)]
    names = [f"vacuum{number}" for number in range(DEVICES)]
    swarm = Swarm(mosquitto.port, names, message, patience_s=0.5)
    begun = time.monotonic()
    kills: list[tuple[float, int]] = []
    try:
        for relay in relays:
            relay.wait_connected()
        swarm.come_online()
        for device in swarm.devices.values():
            swarm._publish(device, "about", wire.encode(ABOUT))
        kill_at = time.monotonic() + 0.5

        def enough() -> bool:
            nonlocal kill_at
            assert time.monotonic() - begun < DEADLINE_S, f"seed {seed}: {kills}"
            if len(kills) < KILLS and time.monotonic() >= kill_at:
                alive = [number for number, relay in enumerate(relays) if relay.connected()]
                if alive:
                    number = draw.choice(alive)
                    relays[number].kill()
                    kills.append((round(time.monotonic() - begun, 2), number))
                    relays[number] = start()
                kill_at = time.monotonic() + draw.uniform(0.2, 1.2)
            return len(kills) == KILLS and min(device.sequence for device in swarm.devices.values()) > 4 * EVERY

        swarm.run(enough, gap_s=0.05)
        assert swarm.settle(20), f"seed {seed}: not everything was acknowledged"
        assert wait_until(lambda: not store.count(schema.queue, state="queued"), 30), f"seed {seed}: still queued"
        stored = [(row.device, row.sequence) for row in store.rows(schema.messages)]
        aside, dead = store.rows(schema.quarantine), store.count(schema.queue, state="dead")
        counts = store.counts()
    finally:
        for relay in relays:
            relay.kill()
        swarm.close()
        gateway.stop()
        store.close()
    sent = {device.name: device.sequence for device in swarm.devices.values()}
    told: dict[str, list[str]] = {name: [] for name in names}
    for event in (accepted["event"] for accepted in gateway.accepted):
        value = event["payload"]["usage"]["value"] if "usage" in event["payload"] else "replaced"
        told[event["endpoint"]["endpointId"]].append(value)
    print(f"seed {seed}: {sum(sent.values())} messages, {swarm.resent} said again, {len(kills)} kills, "
          f"{gateway.repeated} events again under their id, {counts}")  # fmt: skip
    assert stored == [(name, sequence) for name in names for sequence in range(1, sent[name] + 1)], f"seed {seed}"
    assert (aside, dead, gateway.rejected, counts["accepted"]) == ([], 0, [], len(stored)), f"seed {seed}"
    assert told == {name: expected(messages) for name, messages in sent.items()}, f"seed {seed}"
