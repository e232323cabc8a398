"""Kills servers and relays of a running cluster, one after another, under a swarm of devices, and accounts for all."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.alexa_gateway.gateway import Gateway
from tools.bench_relay.processes import RelayProcess
from tools.bench_relay.swarm import Swarm
from tools.bench_relay.wear import EVERY, expected, message
from tools.cluster.servers import COUNT, Servers
from tools.relay.core import wire
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, wait_until

RELAYS = 3
DOWN_S = (0.5, 2.0)  # how long a killed server stays away; one at a time: two of three are a majority
SETTLE_S = 60.0


class Wanderer(Swarm):
    """A swarm that goes to the next server when its own is gone, as devices do by DNS or a balancer."""

    def __init__(self, ports: list[int], *arguments: Any, **options: Any) -> None:
        self._ports = ports
        self._at = 0
        super().__init__(ports[0], *arguments, **options)

    def say_about(self) -> None:
        """Every device describes itself."""
        for device in self.devices.values():
            self._publish(device, "about", wire.encode(ABOUT))

    def _turn(self, wait_s: float) -> None:
        try:
            super()._turn(wait_s)
        except OSError:
            self._wander()

    def _wander(self) -> None:
        self._socket.close()
        self._at += 1
        try:
            self._connect(self._ports[self._at % len(self._ports)])
        except OSError:
            time.sleep(0.1)  # the next turn tries the next server
            return
        for device in self.devices.values():
            if device.waits:
                self._again(device)
            else:
                self._say_status(device)


@dataclass
class Account:
    """What became of every message. `faults` is empty where nothing was lost, told twice or told out of order."""

    messages: int
    said_again: int
    server_kills: int
    relay_kills: int
    repeated: int
    waits_s: list[float] = field(repr=False)
    faults: list[str] = field(repr=False)

    def wait_s(self, share: float) -> float:
        """Return the wait from first saying to acknowledgment that this share of the messages did not exceed."""
        return sorted(self.waits_s)[min(len(self.waits_s) - 1, int(len(self.waits_s) * share))]


def storm(
    folder: Path, store_url: str, servers: Servers, seconds: float, seed: int, devices: int = 12,
    every_s: tuple[float, float] = (1.5, 4.0), gap_s: float = 0.2,
) -> Account:  # fmt: skip
    """Kill a server or a relay each `every_s` for `seconds`; `gap_s` lies between two messages of a device.

    Raises TimeoutError where the cluster does not come to rest within a minute of the last kill.
    """
    draw = random.Random(seed)
    gateway = Gateway(tokens={"good"})
    settings: dict[str, Any] = {
        "broker": servers.url, "store": store_url, "gateway": gateway.start(), "token": "good",
        "lease_s": 1.5, "deadline_s": 1.0,
    }  # fmt: skip
    logs = iter(range(1_000_000))
    relays = [RelayProcess(folder / f"relay{next(logs)}.log", **settings) for _ in range(RELAYS)]
    swarms: list[Wanderer] = []
    threads: list[threading.Thread] = []
    ended = threading.Event()
    kills = {"server": 0, "relay": 0}
    store = Store(store_url, time.time)
    try:
        for relay in relays:
            relay.wait_connected()
        for number in range(COUNT):
            ports = servers.mqtt_ports[number:] + servers.mqtt_ports[:number]
            names = [f"vacuum{number}x{device}" for device in range(devices // COUNT)]
            swarms.append(Wanderer(ports, names, message, patience_s=2.0, name=f"swarm{number}"))
            swarms[-1].come_online(SETTLE_S)
            swarms[-1].say_about()
            swarms[-1].settle(0.0)
            swarms[-1]._turn(0.2)
        if not wait_until(lambda: store.count(schema.devices) - store.count(schema.devices, about=None) >= devices, 20):
            raise TimeoutError("not every device's description was stored")
        threads = [
            threading.Thread(target=swarm.run, args=(ended.is_set,), kwargs={"gap_s": gap_s}, daemon=True)
            for swarm in swarms
        ]
        for thread in threads:
            thread.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(draw.uniform(*every_s))
            if kills["server"] <= kills["relay"]:
                victim = draw.randrange(COUNT)
                servers.kill(victim)
                time.sleep(draw.uniform(*DOWN_S))
                servers.start(victim)
                kills["server"] += 1
            else:
                victim = draw.randrange(RELAYS)
                relays[victim].kill()
                relays[victim] = RelayProcess(folder / f"relay{next(logs)}.log", **settings)
                kills["relay"] += 1
        ended.set()
        for thread in threads:
            thread.join(SETTLE_S)
        if not all(swarm.settle(SETTLE_S) for swarm in swarms):
            raise TimeoutError(f"seed {seed}: not everything was acknowledged")
        if not wait_until(lambda: not store.count(schema.queue, state="queued"), SETTLE_S):
            raise TimeoutError(f"seed {seed}: events are still queued")
        sent = {device.name: device.sequence for swarm in swarms for device in swarm.devices.values()}
        return Account(
            messages=sum(sent.values()), said_again=sum(swarm.resent for swarm in swarms),
            server_kills=kills["server"], relay_kills=kills["relay"], repeated=gateway.repeated,
            waits_s=[wait_s for swarm in swarms for wait_s in swarm.latencies_s()],
            faults=_faults(store, gateway, sent),
        )  # fmt: skip
    finally:
        ended.set()
        for relay in relays:
            relay.kill()
        for swarm in swarms:
            swarm.close()
        gateway.stop()
        store.close()


def _faults(store: Store, gateway: Gateway, sent: dict[str, int]) -> list[str]:
    """Compare what was sent with what the store has and what the gateway was told, device by device."""
    stored: dict[str, list[int]] = {name: [] for name in sent}
    for row in store.rows(schema.messages):
        stored[row.device].append(row.sequence)
    told: dict[str, list[str]] = {name: [] for name in sent}
    for event in (accepted["event"] for accepted in gateway.accepted):
        value = event["payload"]["usage"]["value"] if "usage" in event["payload"] else "replaced"
        told[event["endpoint"]["endpointId"]].append(value)
    faults = [f"kept aside: {row.device} {row.sequence} {row.reason}" for row in store.rows(schema.quarantine)]
    faults += [f"dead: {row.device} {row.reason}" for row in store.rows(schema.queue, state="dead")]
    faults += [f"refused by the gateway: {event}" for event in gateway.rejected]
    for name, messages in sent.items():
        if stored[name] != list(range(1, messages + 1)):
            faults.append(f"{name}: sent {messages}, stored {stored[name]}")
        if told[name] != expected(messages):
            faults.append(f"{name}: sent {messages}, told {told[name]}")
    if min(sent.values()) < EVERY:
        faults.append(f"a device sent too little to show anything: {sent}")
    return faults
