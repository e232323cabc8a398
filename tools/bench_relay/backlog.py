"""What a long queue to the gateway costs: how many reports are accepted while it drains, and while nothing is sent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tools.bench_relay import delivery
from tools.bench_relay.acceptance import DEVICES, Way, message, run
from tools.bench_relay.processes import RelayProcess
from tools.bench_relay.slow_gateway import SlowGateway
from tools.bench_relay.swarm import Swarm

LATENCY_S = 0.1
FULL_S = 8.0
UNSENT, TOGETHER, APART = "nothing is sent", "sent by the same process", "sent by another process"


def measure(folder: Path, way: Way, url: str, sender: str) -> dict[str, Any]:
    """Return what is accepted and delivered a second, of a database that has a backlog; `sender` as above."""
    gateway = SlowGateway(LATENCY_S)
    accepts: dict[str, Any] = way.settings | {"store": url}
    sends = {"gateway": gateway.url, "token": "good"}
    relays = [RelayProcess(folder / "accepts.log", **accepts | (sends if sender == TOGETHER else {}))]
    swarm: Swarm | None = None
    try:
        relays[0].wait_connected()
        if sender == APART:
            relays.append(RelayProcess(folder / "sends.log", **accepts | sends | {"topic_root": "elsewhere"}))
        swarm = Swarm(way.port, [f"unit{number:03}" for number in range(DEVICES)], message, patience_s=20)
        swarm.come_online()
        run(swarm, delivery.LEARNING_S)
        swarm.latencies_s()
        before, began = gateway.taken()[0], time.monotonic()
        run(swarm, FULL_S)
        passed_s = time.monotonic() - began
        accepted, sent = len(swarm.latencies_s()), gateway.taken()[0] - before
    finally:
        if swarm is not None:
            swarm.close()
        for relay in relays:
            relay.kill()
        gateway.stop()
    return {"sender": sender, "reports_per_s": round(accepted / passed_s), "events_per_s": round(sent / passed_s)}
