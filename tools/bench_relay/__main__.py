"""How many reports a second relays accept on this machine, and how long a device waits: make bench-relay.

One mosquitto, one generator of devices, one, two and four relays on SQLite and on a PostgreSQL that waits for its disk;
beside them as many bare consumers, which decode and answer and store nothing: the limit that broker and generator set.
A fleet's return is measured too: devices that come back at once, each with its status, its description and a report.
Everything runs on this machine's processors, on loopback.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
from rich.console import Console
from rich.table import Table

from tools.bench_relay.processes import ROOT, Missing, Mosquitto, RelayProcess, remove
from tools.bench_relay.swarm import EPOCH, Device, Swarm
from tools.relay.core import wire
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.store.stores_for_tests import Cluster
from tools.relay.testing import ABOUT, report

DEVICES = 256  # each with one report on its way
RETURNING = 3000  # each with a status, a description and a report, all at once
WARM_S, FULL_S, PACED_S = 1.0, 4.0, 4.0
PACED_PER_S = 50  # what four million devices say when their reports are spread over the day
LIMIT_S = 180


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


def measure(
    folder: Path, broker: Mosquitto, count: int, url: str | None, server: psutil.Process | None
) -> dict[str, Any]:
    """Return the figures of `count` relays on a database, or of bare consumers."""
    settings = {"broker": f"127.0.0.1:{broker.port}", "shared_group": "relays"} | ({"store": url} if url else {})
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
        swarm = Swarm(broker.port, [f"unit{number:03}" for number in range(DEVICES)], message, patience_s=20)
        swarm.come_online()
        ours = [psutil.Process(relay.process.pid) for relay in relays]
        of_broker = [psutil.Process(broker.process.pid)]
        _run(swarm, WARM_S)
        swarm.latencies_s()
        psutil.cpu_percent()
        before = [cpu_s(ours), cpu_s(of_broker), cpu_s(_family(server)), time.process_time(), time.monotonic()]
        _run(swarm, FULL_S)
        after = [cpu_s(ours), cpu_s(of_broker), cpu_s(_family(server)), time.process_time(), time.monotonic()]
        full = swarm.latencies_s()
        busy = psutil.cpu_percent() / 100
        relay_s, broker_s, database_s, own_s, passed_s = (
            last - first for first, last in zip(before, after, strict=True)
        )
        others = busy - (relay_s + broker_s + database_s + own_s) / passed_s / (os.cpu_count() or 1)
        swarm.settle(20)
        swarm.latencies_s()
        _run(swarm, PACED_S, gap_s=DEVICES / PACED_PER_S)
        swarm.settle(20)
        paced = swarm.latencies_s()
        sent = sum(device.sequence for device in swarm.devices.values()) + RETURNING
        swarm.close()
        swarm = Swarm(broker.port, [f"back{number:04}" for number in range(RETURNING)], message)
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


def _run(swarm: Swarm, seconds: float, gap_s: float = 0.0) -> None:
    until = time.monotonic() + seconds
    swarm.run(lambda: time.monotonic() >= until, gap_s)


def _family(server: psutil.Process | None) -> list[psutil.Process]:
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-relay", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench-relay.json")
    parser.add_argument("--processes", default="1,2,4", help="how many relays, in turn (default 1,2,4)")
    options = parser.parse_args()
    counts = [int(text) for text in options.processes.split(",")]
    console = Console(width=None if sys.stdout.isatty() else 132)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-relay-", dir=options.out.parent))
    began = time.monotonic()
    broker: Mosquitto | None = None
    cluster: Cluster | None = None
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    try:
        broker = Mosquitto(folder)
        kinds = ["none", "sqlite", "postgresql"]
        try:
            cluster = Cluster(durable=True)
        except RuntimeError as error:
            skipped.append(str(error))
            kinds.remove("postgresql")
        for kind in kinds:
            for count in counts:
                if time.monotonic() - began > LIMIT_S - 25:
                    skipped.append(f"{count} on {kind}: the {LIMIT_S} s were over")
                    continue
                url = f"sqlite:///{folder}/{count}.sqlite3" if kind == "sqlite" else None
                server = None
                if kind == "postgresql":
                    assert cluster is not None
                    url, server = cluster.url(), psutil.Process(cluster.pid())
                with console.status(f"{count} on {kind}"):
                    rows.append(measure(folder, broker, count, url, server))
        fsync_ms = disk_ms(folder)
    except (Missing, RuntimeError, TimeoutError) as error:
        print(f"wearmeter: bench-relay: {error}", file=sys.stderr)
        return 2
    finally:
        if broker is not None:
            broker.stop()
        if cluster is not None:
            cluster.stop()
        remove(folder)
    machine = {
        "cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(),
        "fsync_ms": fsync_ms,
        "load_before": round(os.getloadavg()[2], 1),
    }  # fmt: skip
    took_s = round(time.monotonic() - began)
    result = {"devices": DEVICES, "machine": machine, "runs": rows, "skipped": skipped, "took_s": took_s}
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    table = Table(title=f"{DEVICES} devices, {machine['cores']} cores for all, fsync {fsync_ms} ms, {took_s} s")
    headings = ("", "store", "reports/s", "back/s", "p50 ms", "p99 ms", f"at {PACED_PER_S}/s p50", "p99 ms",
                "CPU: relay", "broker", "database", "bytes", "others")  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        full, paced, cpu = row["full_load"], row[f"at_{PACED_PER_S}_per_s"], row["cpu_ms_per_report"]
        cells = (row["processes"], "bare consumer" if row["store"] == "none" else row["store"], row["reports_per_s"],
                 row["devices_returned_per_s"],
                 full["p50_ms"], full["p99_ms"], paced["p50_ms"], paced["p99_ms"], cpu["relays"], cpu["broker"],
                 cpu["database"], row.get("bytes_per_report", ""),
                 f"{row['cpu_share_of_others']:.0%}")  # fmt: skip
        table.add_row(*map(str, cells))
    console.print(table)
    console.print(
        "CPU in ms a report; others: the share of the processors that other work on this machine had meanwhile."
    )
    for text in skipped:
        console.print(f"left out: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
