"""How many reports a second relays accept, how long a device waits, and how fast a fleet comes back."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg

from tools.bench_relay.processes import Mosquitto, RelayProcess
from tools.bench_relay.swarm import EPOCH, Device, Swarm
from tools.cluster.servers import Servers
from tools.relay.core import wire
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, report

DEVICES = 512  # each with one report on its way
RETURNING = 3000  # each with a status, a description and a report, all at once
WARM_S, FULL_S, PACED_S = 1.0, 4.0, 4.0
PACED_PER_S = 50  # what four million devices say when their reports are spread over the day


def message(device: Device, sequence: int) -> bytes:
    """A report of two consumables: a second more of use each time, for no device runs faster than time."""
    return report(sequence, sequence, 1, sequence, sequence, 1, sequence, at=int(time.time()), epoch=EPOCH)


def quantiles(latencies_s: list[float]) -> dict[str, float]:
    if not latencies_s:
        raise RuntimeError("nothing was acknowledged")
    ordered = sorted(latencies_s)
    return {
        name: round(ordered[int(len(ordered) * share)] * 1000, 1) for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99))
    }


def cpu_s(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
            total += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return total


class Way(NamedTuple):
    """How devices reach relays: the settings that a relay needs for it, the port of the devices, who else works."""

    settings: dict[str, str]
    port: int
    pids: list[int]


def by_mosquitto(broker: Mosquitto) -> Way:
    return Way({"broker": f"127.0.0.1:{broker.port}", "shared_group": "relays"}, broker.port, [broker.process.pid])


def by_jetstream(servers: Servers) -> Way:
    """Every device on the first server: the others hold copies, as they would of what each of them takes."""
    return Way({"broker": servers.url}, servers.mqtt_ports[0], servers.pids())


def measure(folder: Path, way: Way, count: int, url: str | None, server: psutil.Process | None) -> dict[str, Any]:
    """Return the figures of `count` relays on a database, or of bare consumers."""
    settings = way.settings | ({"store": url} if url else {})
    relays: list[RelayProcess] = []
    swarm: Swarm | None = None
    empty = 0
    try:
        for number in range(count):
            relays.append(RelayProcess(folder / f"relay{number}.log", bare=url is None, **settings))
            if number == 0:
                relays[0].wait_connected()  # it makes the tables
        for relay in relays:
            relay.wait_connected()
        empty = _size(url) if url else 0
        swarm = Swarm(way.port, [f"unit{number:03}" for number in range(DEVICES)], message, patience_s=20)
        swarm.come_online()
        ours = [psutil.Process(relay.process.pid) for relay in relays]
        of_broker = [psutil.Process(pid) for pid in way.pids]
        run(swarm, WARM_S)
        swarm.latencies_s()
        psutil.cpu_percent()
        before = [cpu_s(ours), cpu_s(of_broker), cpu_s(family(server)), time.process_time(), time.monotonic()]
        run(swarm, FULL_S)
        after = [cpu_s(ours), cpu_s(of_broker), cpu_s(family(server)), time.process_time(), time.monotonic()]
        full = swarm.latencies_s()
        busy = psutil.cpu_percent() / 100
        relay_s, broker_s, database_s, own_s, passed_s = (
            last - first for first, last in zip(before, after, strict=True)
        )
        others = busy - (relay_s + broker_s + database_s + own_s) / passed_s / (os.cpu_count() or 1)
        swarm.settle(20)
        swarm.latencies_s()
        run(swarm, PACED_S, gap_s=DEVICES / PACED_PER_S)
        swarm.settle(20)
        paced = swarm.latencies_s()
        sent = sum(device.sequence for device in swarm.devices.values()) + RETURNING
        swarm.close()
        swarm = Swarm(way.port, [f"back{number:04}" for number in range(RETURNING)], message)
        returned_s = swarm.come_back(wire.encode(ABOUT))
    finally:
        for relay in relays:
            relay.kill()
        if swarm is not None:
            swarm.close()
    found: dict[str, Any] = {
        "processes": count, "store": "none" if url is None else "sqlite" if url.startswith("sqlite") else "postgresql",
        "reports_per_s": round(len(full) / passed_s), "full_load": quantiles(full),
        f"at_{PACED_PER_S}_per_s": quantiles(paced) | {"reports": len(paced)},
        "devices_returned_per_s": round(RETURNING / returned_s),
        "cpu_share_of_others": round(max(0.0, others), 2),
        "cpu_ms_per_report": {
            "relays": round(relay_s / len(full) * 1000, 2), "broker": round(broker_s / len(full) * 1000, 2),
            "database": round(database_s / len(full) * 1000, 2),
        },
    }  # fmt: skip
    if url is not None:
        store = Store(url, time.time)
        held, counts = store.count(schema.messages), store.counts()
        store.close()
        if held != sent or counts != {"accepted": sent}:
            raise RuntimeError(f"{sent} reports were acknowledged, and the store has {held}: {counts}")
        found["bytes_per_report"] = round((_size(url) - empty) / held)
    return found


def run(swarm: Swarm, seconds: float, gap_s: float = 0.0) -> None:
    until = time.monotonic() + seconds
    swarm.run(lambda: time.monotonic() >= until, gap_s)


def family(server: psutil.Process | None) -> list[psutil.Process]:
    return [] if server is None else [server, *server.children(recursive=True)]


def _size(url: str) -> int:
    if url.startswith("sqlite"):
        return os.path.getsize(url.removeprefix("sqlite:///"))
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(row[0])


def disk_ms(folder: Path) -> float:
    """Return the median time of writing 4 KiB through to the disk: no commit can be faster."""
    times = []
    with (folder / "disk").open("wb") as file:
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return round(sorted(times)[25] * 1000, 2)
