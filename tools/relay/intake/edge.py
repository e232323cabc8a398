"""What every way in has in common: arrivals in, payloads to a device out. `open_edge` goes by the broker's address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tools.relay.core.wire import DEVICE_ID
from tools.relay.settings import Settings

KINDS = ("up", "status", "about")


@dataclass(frozen=True)
class Arrival:
    """A payload on a device's topic of one of KINDS, or `stray` on another.

    `done()` acknowledges it to whoever keeps it until then; it may be called from any thread, after the commit only.
    """

    kind: str
    device: str
    topic: str
    payload: bytes
    done: Callable[[], None]


class Edge(Protocol):
    """The connection to a broker or a cluster of them, made again for ever with growing pauses."""

    connected: bool

    def start(self) -> None:
        """Connect in the background."""

    def stop(self) -> None:
        """Disconnect; returns when nothing more arrives."""

    def send(self, device: str, payload: bytes) -> None:
        """Publish on the device's down topic. A device that is away does not get it: its next status asks again."""


def arrival(root: str, topic: str, payload: bytes, done: Callable[[], None]) -> Arrival:
    """Return what came on an MQTT topic."""
    parts = topic[len(root) + 1 :].split("/")
    known = len(parts) == 2 and parts[1] in KINDS and DEVICE_ID.fullmatch(parts[0])
    return Arrival(parts[-1] if known else "stray", parts[0], topic, payload, done)


def open_edge(settings: Settings, on_arrival: Callable[[Arrival], None]) -> Edge:
    """Return the edge to `settings.broker`, which calls `on_arrival`, in a thread of its own, for each message.

    Raises ValueError for an address that is neither HOST:PORT nor nats://HOST:PORT,...
    """
    # Imported here: a relay on MQTT needs no NATS client, and the other way round.
    if settings.broker.startswith("nats://"):
        from tools.relay.intake.jetstream import JetStreamEdge

        return JetStreamEdge(settings, on_arrival)
    from tools.relay.intake.mqtt import MqttEdge

    return MqttEdge(settings, on_arrival)
