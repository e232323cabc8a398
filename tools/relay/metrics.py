"""Prometheus metrics. `wearmeter_fleet_*` is read from the database and the same in every relay that shares it;
`wearmeter_relay_*` is of this process. No label names a device, a customer or anything secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tools.relay.core.names import FAULTS
from tools.relay.pages.view import View

COMMIT_SECONDS = Histogram(
    "wearmeter_relay_commit_seconds", "Time to store a batch of messages, until it is durable.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)  # fmt: skip
COMMIT_MESSAGES = Histogram(
    "wearmeter_relay_commit_messages", "Messages stored in one commit.", buckets=(1, 2, 5, 10, 20, 50, 100, 200)
)
WAITING = Gauge("wearmeter_relay_arrivals_waiting", "Messages received and not yet stored.")
CONNECTED = Gauge("wearmeter_relay_broker_connected", "1 while the connection to the broker stands.")
RESTARTS = Counter("wearmeter_relay_thread_restarts", "Threads of this process begun again after an error.", ["thread"])
ANSWERS = Counter(
    "wearmeter_relay_gateway_answers", "Answers of the event gateway, `none` where there was none.", ["status"]
)
PACE = Gauge("wearmeter_relay_route_events_per_second", "How fast a route to Alexa may be sent to now.", ["route"])
LEFT_ALONE = Gauge(
    "wearmeter_relay_route_left_alone", "1 while a route fails and is only tried now and then.", ["route"]
)
SENDING = Gauge("wearmeter_relay_route_sending", "Devices whose events a route is sending now.", ["route"])


class Watched(Protocol):
    """A route as it is now."""

    @property
    def per_s(self) -> float: ...

    @property
    def left_alone(self) -> bool: ...

    @property
    def active(self) -> int: ...


def watch(route: str, lane: Watched) -> None:
    """Show how the route is doing whenever Prometheus asks."""
    PACE.labels(route).set_function(lambda: lane.per_s)
    LEFT_ALONE.labels(route).set_function(lambda: lane.left_alone)
    SENDING.labels(route).set_function(lambda: lane.active)


class _Fleet(Collector):
    def __init__(self, view: View) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        found = self._view.summary()
        for name, text, value in (
            ("devices", "Devices that have been heard of.", found.devices),
            ("devices_online", "Devices whose connection stands.", found.online),
            ("devices_silent", "Devices not heard of for two days.", found.silent),
            ("devices_faulty", "Devices that tell of a fault.", found.faulty),
            ("devices_due", "Devices with a part at or beyond its rated life.", found.due),
            ("kept_aside", "Messages kept aside with their reason.", found.aside),
            ("queue_oldest_seconds", "Age of the oldest event that waits for the gateway.", found.oldest_queued_s),
            ("last_seen_timestamp_seconds", "When any device was last heard of.", found.last_seen_s or 0),
        ):
            yield GaugeMetricFamily(f"wearmeter_fleet_{name}", text, value=value)
        faults = GaugeMetricFamily("wearmeter_fleet_faults", "Devices that tell of this fault.", labels=["fault"])
        for name in {**dict.fromkeys((fault.name for fault in FAULTS), 0), **found.faults}:
            faults.add_metric([name], found.faults.get(name, 0))
        yield faults
        queue = GaugeMetricFamily(
            "wearmeter_fleet_events", "Events waiting for the gateway, and dead letters.", labels=["state"]
        )
        for state, count in found.queue.items():
            queue.add_metric([state], count)
        yield queue
        messages = CounterMetricFamily(
            "wearmeter_fleet_messages", "Messages by what became of them.", labels=["verdict"]
        )
        for verdict, count in found.counts.items():
            messages.add_metric([verdict], count)
        yield messages


def exposition(view: View) -> bytes:
    """Return all metrics in Prometheus' text format."""
    fleet = CollectorRegistry()
    fleet.register(_Fleet(view))
    return generate_latest(REGISTRY) + generate_latest(fleet)
