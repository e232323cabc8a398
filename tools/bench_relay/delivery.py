"""How many events a second one relay delivers to a gateway that takes its time."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import psutil

from tools.bench_relay.acceptance import cpu_s, family
from tools.bench_relay.processes import RelayProcess
from tools.bench_relay.slow_gateway import SlowGateway
from tools.relay.core import wire
from tools.relay.core.events import CONSUMED
from tools.relay.delivery.outbox import ALL, QUEUED
from tools.relay.store import bulk, schema
from tools.relay.store.known import blank
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, EPOCH

EVENTS_EACH = 2  # of a device: a report tells the use of two parts
AT_ONCE = 5000
LATENCIES_S = (0.0, 0.1, 0.3)
LEARNING_S = 7.0  # the pace begins with 64 a second and doubles each second
FULL_S = 6.0
MOST_PER_S = 3000  # more than any relay here sends


def fill(url: str, events: int, name: str = "told") -> None:
    """Queue so many events, as if as many devices had reported while the gateway was away."""
    store = Store(url, time.time)
    now_s = int(time.time())
    about = wire.encode(ABOUT)
    device_values = blank(now_s)
    device_columns = ("device", *device_values, "about", "epoch")
    try:
        for first in range(0, events // EVENTS_EACH, AT_ONCE):
            names = [f"{name}{number}" for number in range(first, min(first + AT_ONCE, events // EVENTS_EACH))]
            rows = [
                (device, CONSUMED, str(uuid.uuid4()), EPOCH, part, 1, 60, now_s, False, False, QUEUED, 0, now_s, "")
                for device in names for part in range(1, EVENTS_EACH + 1)
            ]  # fmt: skip
            used = [(device, EPOCH, part, 1, 60, False) for device in names for part in range(1, EVENTS_EACH + 1)]
            with store.begin() as connection:
                described = [(device, *device_values.values(), about, EPOCH) for device in names]
                bulk.insert(connection, schema.devices, device_columns, described)
                bulk.insert(connection, schema.usage, _USAGE, used)
                bulk.insert(connection, schema.endpoints, _ENDPOINT, [(each, ALL, 0.0, False, 0, 1) for each in names])
                bulk.insert(connection, schema.queue, _QUEUE, rows)
    finally:
        store.close()


_USAGE = ("device", "epoch", "consumable", "generation", "used_s", "inferred")
_ENDPOINT = ("device", "route", "due_s", "leased", "token", "news")
_QUEUE = ("device", "name", "message_id", "epoch", "consumable", "generation", "usage_s", "utc_s", "estimated",
          "inferred", "state", "attempts", "queued_s", "reason")  # fmt: skip


def measure(folder: Path, broker: str, url: str, latency_s: float, server: psutil.Process | None) -> dict[str, Any]:
    """Return what one relay sends a second once it has learnt the gateway's pace, out of a queue that does not end."""
    fill(url, int(MOST_PER_S * FULL_S) + 4000)
    gateway = SlowGateway(latency_s)
    relay = RelayProcess(folder / "delivery.log", broker=broker, store=url, gateway=gateway.url, token="good")
    try:
        relay.wait_connected()
        time.sleep(LEARNING_S)
        ours = [psutil.Process(relay.process.pid)]
        before = [gateway.taken()[0], time.monotonic(), cpu_s(ours), cpu_s(family(server))]
        time.sleep(FULL_S)
        different, again = gateway.taken()
        after = [different, time.monotonic(), cpu_s(ours), cpu_s(family(server))]
    finally:
        relay.kill()
        gateway.stop()
    sent, passed_s, relay_s, database_s = (last - first for first, last in zip(before, after, strict=True))
    return {
        "store": "sqlite" if url.startswith("sqlite") else "postgresql", "latency_ms": round(latency_s * 1000),
        "events_per_s": round(sent / passed_s), "again": again,
        "cpu_ms_per_event": {"relay": round(relay_s / sent * 1000, 2), "database": round(database_s / sent * 1000, 2)},
    }  # fmt: skip
