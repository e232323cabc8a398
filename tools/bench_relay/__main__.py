"""How many reports a second relays accept on this machine, and how many events they deliver: make bench-relay.

Everything runs on this machine's processors, on loopback: a broker, a generator of devices, relays, on SQLite and on a
PostgreSQL that waits for its disk. Beside them bare consumers, which decode and answer and store nothing: the limit
that broker and generator set. A fleet's return is devices that come back at once, each with its status, its
description and a report. Delivery is to a gateway that answers after 0, 100 or 300 ms; the backlog is a queue of
events that drains while reports are accepted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from tools.bench_relay import acceptance, backlog, delivery, tables
from tools.bench_relay.processes import ROOT, Missing, Mosquitto, remove
from tools.cluster.servers import Missing as NoServers
from tools.cluster.servers import Servers
from tools.relay.store.stores_for_tests import Cluster

PARTS = ("acceptance", "jetstream", "delivery", "backlog")


class Bench:
    """What is measured, part by part; each part yields its rows. `folder` is gone afterwards."""

    def __init__(
        self, folder: Path, broker: Mosquitto, cluster: Cluster | None, counts: list[int], events: int
    ) -> None:
        self.folder = folder
        self.broker = broker
        self.cluster = cluster
        self.counts = counts
        self.events = events
        self._number = 0

    def acceptance(self) -> Iterator[dict[str, Any]]:
        way = acceptance.by_mosquitto(self.broker)
        for kind in ("none", *self._kinds()):
            for count in self.counts:
                yield acceptance.measure(self.folder, way, count, self._url(kind), self._server(kind))

    def jetstream(self) -> Iterator[dict[str, Any]]:
        (self.folder / "servers").mkdir()
        with Servers(self.folder / "servers") as servers:
            way = acceptance.by_jetstream(servers)
            for kind in ("none", *self._kinds()[1:]):
                yield acceptance.measure(self.folder, way, 1, self._url(kind), self._server(kind))

    def delivery(self) -> Iterator[dict[str, Any]]:
        for kind in self._kinds():
            for latency_s in delivery.LATENCIES_S:
                url = self._url(kind)
                assert url is not None
                yield delivery.measure(self.folder, f"127.0.0.1:{self.broker.port}", url, latency_s, self._server(kind))

    def backlog(self) -> Iterator[dict[str, Any]]:
        way = acceptance.by_mosquitto(self.broker)
        if self.cluster is not None:
            url = self.cluster.url()
            delivery.fill(url, self.events)
            for sender in (backlog.UNSENT, backlog.TOGETHER, backlog.APART):
                yield {"events": self.events} | backlog.measure(self.folder, way, self.cluster.url(url), sender)

    def _kinds(self) -> list[str]:
        return ["sqlite", *(["postgresql"] if self.cluster is not None else [])]

    def _url(self, kind: str) -> str | None:
        self._number += 1
        if kind == "postgresql":
            assert self.cluster is not None
            return self.cluster.url()
        return f"sqlite:///{self.folder}/{self._number}.sqlite3" if kind == "sqlite" else None

    def _server(self, kind: str) -> psutil.Process | None:
        return psutil.Process(self.cluster.pid()) if kind == "postgresql" and self.cluster is not None else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-relay", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench-relay.json")
    parser.add_argument("--only", choices=PARTS, help="one part (default: all)")
    parser.add_argument("--long", action="store_true", help="four processes, too, and a backlog of a million events")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 132)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-relay-", dir=options.out.parent))
    began = time.monotonic()
    broker: Mosquitto | None = None
    cluster: Cluster | None = None
    skipped: list[str] = []
    result: dict[str, Any] = {
        "cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    try:
        broker = Mosquitto(folder)
        try:
            cluster = Cluster(durable=True)
        except RuntimeError as error:
            skipped.append(str(error))
        counts, events = ([1, 2, 4], 1_000_000) if options.long else ([1, 2], 100_000)
        bench = Bench(folder, broker, cluster, counts, events)
        for part in PARTS if options.only is None else (options.only,):
            measure: Callable[[], Iterator[dict[str, Any]]] = getattr(bench, part)
            rows = result.setdefault(part, [])
            try:
                with console.status(part):
                    for row in measure():
                        rows.append(row | {"load": round(os.getloadavg()[0], 1)})
            except NoServers as error:
                skipped.append(str(error))
            console.print(tables.of(part, rows))
        result["fsync_ms"] = acceptance.disk_ms(folder)
    except (Missing, RuntimeError, TimeoutError) as error:
        print(f"wearmeter: bench-relay: {error}", file=sys.stderr)
        return 2
    finally:
        if broker is not None:
            broker.stop()
        if cluster is not None:
            cluster.stop()
        remove(folder)
    result |= {"skipped": skipped, "took_s": round(time.monotonic() - began)}
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    console.print(
        f"{result['cores']} cores for all; load average before {result['load_before']}, and in each row after it; "
        f"an fsync takes {result['fsync_ms']} ms; {result['took_s']} s in all. CPU in ms a report or event."
    )
    for text in skipped:
        console.print(f"left out: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
