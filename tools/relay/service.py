"""The relay as a whole: `Relay(settings, clock)` with `start` and `stop`, to run by itself or inside another process.

One thread takes what arrives over MQTT, in order, stores it in batches of one commit and answers; another sends the
queue to the gateway. Neither waits for the other.
"""

from __future__ import annotations

import queue as queues
import threading
import time
from dataclasses import dataclass

from tools.relay import metrics
from tools.relay.accounts.fleet import Fleet
from tools.relay.accounts.owners import owners_only, routes_for
from tools.relay.core import wire
from tools.relay.delivery.delivery import Delivery
from tools.relay.delivery.outbox import DEAD, QUEUED, SENT
from tools.relay.intake.edge import Arrival, open_edge
from tools.relay.intake.worker import Worker
from tools.relay.pages.server import Server
from tools.relay.pages.web import serve_pages
from tools.relay.settings import Clock, Settings
from tools.relay.store import schema
from tools.relay.store.retention import Retention
from tools.relay.store.store import Store
from tools.relay.supervisor import Health, Supervisor

STUCK_S = 60.0
"""A turn of the thread that stores takes no longer."""
BUSY = 50
"""Messages received and not yet stored. While one relay keeps up there are fewer: it stores 1,000 a second and more."""


@dataclass(frozen=True)
class AcceptedUsage:
    """What the relay has accepted of one part, in seconds; `replaced_utc_s` once it was taken out."""

    device: str
    epoch: int
    instance: str
    generation: int
    used_s: int
    replaced_utc_s: int | None
    inferred: bool
    gateway_s: int | None


@dataclass(frozen=True)
class Holdings:
    """A snapshot of what the relay holds. `counts`: accepted, duplicate, aside, `refused: ` with each reason."""

    usage: list[AcceptedUsage]
    counts: dict[str, int]
    messages: int
    payload_bytes_max: int
    aside: list[tuple[str, str]]
    queued: int
    sent: int
    dead: list[tuple[str, str, str]]


class Relay:
    """Everything the relay does, under `clock` (a callable that returns UTC seconds).

    `start` raises sqlalchemy.exc.SQLAlchemyError where the store cannot be opened, ValueError for a bad setting.
    """

    def __init__(self, settings: Settings, clock: Clock = time.time) -> None:
        self.settings = settings
        self.clock = clock
        self._arrivals: queues.Queue[Arrival] = queues.Queue()
        self._stopping = threading.Event()
        self._supervisor = Supervisor(self._stopping)

    def start(self) -> None:
        self.mqtt = open_edge(self.settings, self._arrivals.put)
        self.store = Store(self.settings.store, self.clock, self.settings.gap_wait_s, owners_only(self.settings))
        self.fleet = Fleet(self.store)
        self.delivery: Delivery | None = None
        routes = routes_for(self.settings, self.store, self.clock)
        if self.settings.deliver and routes is not None:
            self.delivery = Delivery(self.settings, self.store, routes, self._stopping, self._is_busy)
        wake = self.delivery.wake if self.delivery is not None else lambda: None
        self._worker = Worker(
            self.store, self.fleet, self.mqtt, self._arrivals, self.clock, self.settings.command_resend_s,
            self._stopping, wake,
        )  # fmt: skip
        self.web: Server | None = None
        if self.settings.web is not None:
            self.web = serve_pages(self.store, self.settings, self.clock, self.health)
        if self.delivery is not None:
            self._supervisor.start("relay-delivery", self.delivery.run)
        self._supervisor.start("relay-store", self._worker.run)
        retention = Retention(self.store, self.settings.keep_messages_s, self._stopping)
        self._supervisor.start("relay-retention", retention.run)
        self.mqtt.start()
        metrics.WAITING.set_function(self._arrivals.qsize)
        metrics.CONNECTED.set_function(lambda: self.mqtt.connected)

    def stop(self) -> None:
        """Finish what is in hand and end; what is queued stays in the store."""
        self._stopping.set()
        self._supervisor.join()
        self.mqtt.stop()
        if self.web is not None:
            self.web.stop()
        self.store.close()

    def health(self) -> Health:
        """Return whether this relay is alive, and whether it can take what devices say."""
        failing = self._supervisor.failing()
        if time.monotonic() - self._worker.turned_at > STUCK_S:
            failing.append("relay-store is stuck")
        away = [] if self.mqtt.connected else ["no broker"]
        away += [] if self._worker.answered else ["the store does not answer"]
        return Health(not failing, not failing and not away, failing + away)

    def _is_busy(self) -> bool:
        """Return whether devices wait for the store."""
        return self._arrivals.unfinished_tasks >= BUSY

    def idle(self) -> bool:
        """Return whether everything that arrived is stored and nothing is queued to the gateway (if there is one)."""
        if self._arrivals.unfinished_tasks:
            return False
        return self.delivery is None or not self.store.count(schema.queue, state=QUEUED)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until `idle`, at most `timeout_s` of real time. Returns whether it is."""
        deadline = time.monotonic() + timeout_s
        while not self.idle():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def holdings(self) -> Holdings:
        """Return what the relay holds now."""
        names: dict[str, dict[int, str]] = {}
        for row in self.store.rows(schema.devices):
            if row.about is not None:
                names[row.device] = {part.id: part.instance for part in wire.decode_about(row.about).consumables}
        used = []
        for row in self.store.rows(schema.usage):
            instance = names.get(row.device, {}).get(row.consumable, str(row.consumable))
            used.append(
                AcceptedUsage(
                    row.device,
                    row.epoch,
                    instance,
                    row.generation,
                    row.used_s,
                    row.replaced_s,
                    row.inferred,
                    row.gateway_s,
                )
            )
        return Holdings(
            usage=used,
            counts=self.store.counts(),
            messages=self.store.count(schema.messages),
            payload_bytes_max=self.store.largest_payload(),
            aside=[(row.device, row.reason) for row in self.store.rows(schema.quarantine)],
            queued=self.store.count(schema.queue, state=QUEUED),
            sent=self.store.count(schema.queue, state=SENT),
            dead=[(row.device, row.name, row.reason) for row in self.store.rows(schema.queue, state=DEAD)],
        )
