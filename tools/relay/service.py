"""The relay as a whole: `Relay(settings, clock)` with `start` and `stop`, to run by itself or inside another process.

One thread takes what arrives over MQTT, in order, stores it in batches of one commit and answers; another sends the
queue to the gateway. Neither waits for the other.
"""

from __future__ import annotations

import queue as queues
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from tools.relay import logs, metrics
from tools.relay.accounts.accounts import routes_for
from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire
from tools.relay.delivery.delivery import Delivery
from tools.relay.intake.mqtt import Arrival, MqttEdge
from tools.relay.pages.web import Server, serve_pages
from tools.relay.settings import Clock, Settings
from tools.relay.store import schema
from tools.relay.store.store import QUEUED, Store

log = logs.logger(__name__)
T = TypeVar("T")
BATCH = 200
MAX_PAUSE_S = 30.0


class _Stopping(Exception):
    """The relay was stopped while the store did not answer."""


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
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self.mqtt = MqttEdge(self.settings, self._arrivals.put)
        self.store = Store(self.settings.store, self.clock, self.settings.gap_wait_s)
        self.fleet = Fleet(self.store)
        self.web: Server | None = None
        if self.settings.web is not None:
            self.web = serve_pages(self.store, self.settings, self.clock)
        self.delivery: Delivery | None = None
        routes = routes_for(self.settings, self.store, self.clock)
        if self.settings.deliver and routes is not None:
            self.delivery = Delivery(self.settings, self.store, routes, self.clock, self._stopping)
            self._threads.append(threading.Thread(target=self.delivery.run, name="relay-delivery", daemon=True))
        self._threads.append(threading.Thread(target=self._work, name="relay-store", daemon=True))
        for thread in self._threads:
            thread.start()
        self.mqtt.start()
        metrics.WAITING.set_function(self._arrivals.qsize)
        metrics.CONNECTED.set_function(lambda: self.mqtt.connected)

    def stop(self) -> None:
        """Finish what is in hand and end; what is queued stays in the store."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self.mqtt.stop()
        if self.web is not None:
            self.web.stop()
        self.store.close()

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
            queued=self.store.count(schema.queue, state="queued"),
            sent=self.store.count(schema.queue, state="sent"),
            dead=[(row.device, row.name, row.reason) for row in self.store.rows(schema.queue, state="dead")],
        )

    # ---- the thread that stores

    def _work(self) -> None:
        asked_at = 0.0
        while not self._stopping.is_set():
            try:
                self._process(self._take())
                if self.mqtt.connected and time.monotonic() - asked_at >= 0.5:
                    asked_at = time.monotonic()
                    self._persist(lambda: self._send_commands(None))
            except _Stopping:
                return

    def _take(self) -> list[Arrival]:
        """Return what has arrived, in order; [] after a short wait."""
        arrivals: list[Arrival] = []
        try:
            arrivals.append(self._arrivals.get(timeout=0.1))
            while len(arrivals) < BATCH:
                arrivals.append(self._arrivals.get_nowait())
        except queues.Empty:
            pass
        return arrivals

    def _process(self, arrivals: list[Arrival]) -> None:
        """Handle arrivals in order; ups that follow each other share a commit."""
        batch: list[tuple[Arrival, wire.Up | wire.Unreadable]] = []
        for arrival in arrivals:
            try:
                if arrival.kind == "up":
                    batch.append((arrival, wire.decode_up(arrival.payload)))
                    continue
                self._store_ups(batch)
                batch = []
                self._on_other(arrival)
            except wire.Refused as error:
                self._refuse(arrival.topic, error)
            self._done(arrival)
        self._store_ups(batch)

    def _store_ups(self, batch: list[tuple[Arrival, wire.Up | wire.Unreadable]]) -> None:
        if not batch:
            return
        items = [(arrival.device, arrival.payload, message) for arrival, message in batch]
        try:
            with metrics.COMMIT_SECONDS.time():
                outcomes = self._persist(lambda: self.store.accept(items))
            metrics.COMMIT_MESSAGES.observe(len(batch))
        except SQLAlchemyError:
            if len(batch) > 1:  # one of them is the cause; the others must not suffer for it
                for one in batch:
                    self._store_ups([one])
                return
            log.exception("could not be stored", topic=batch[0][0].topic)
            outcomes = []
        for (arrival, message), outcome in zip(batch, outcomes, strict=False):
            if outcome.reason:
                log.warning("kept aside", topic=arrival.topic, reason=outcome.reason)
            if outcome.nonce is not None:
                ack = wire.encode_ack(outcome.nonce, int(self.clock()), message.epoch, message.sequence)
                self.mqtt.send(arrival.device, ack)
        if self.delivery is not None:
            self.delivery.wake()
        for arrival, _ in batch:
            self._done(arrival)

    def _on_other(self, arrival: Arrival) -> None:
        device, payload = arrival.device, arrival.payload
        if not payload and arrival.kind != "stray":
            return  # somebody has cleared a retained message
        if arrival.kind == "status":
            status = wire.decode_status(payload)
            held = self._persist(lambda: self.store.status(device, status))
            if held is not None:
                now_s = int(self.clock())
                welcome = wire.encode_welcome(status.nonce, now_s, held.epoch, held.have_sequence, held.about_crc)
                self.mqtt.send(device, welcome)
                self._persist(lambda: self._send_commands(device))
        elif arrival.kind == "about":
            wire.decode_about(payload)
            if self._persist(lambda: self.fleet.about(device, payload)) and self.delivery is not None:
                self.delivery.wake()
        else:
            raise wire.Refused("not a device's topic")

    def _send_commands(self, device: str | None) -> None:
        for due in self.store.due_commands(self.settings.command_resend_s, device):
            payload = wire.encode_command(due.nonce, int(self.clock()), due.number, due.operation, due.arguments)
            self.mqtt.send(due.device, payload)

    def _refuse(self, topic: str, error: wire.Refused) -> None:
        log.warning("refused", topic=topic, reason=str(error))
        self._persist(lambda: self.store.refused(error.reason))

    def _done(self, arrival: Arrival) -> None:
        arrival.done()
        self._arrivals.task_done()

    def _persist(self, work: Callable[[], T]) -> T:
        """Do it, again with growing pauses while the database is away. The devices keep what is not stored."""
        pause_s = 0.1
        while True:
            try:
                return work()
            except OperationalError as error:
                log.warning("the store does not answer", again_in_s=pause_s, error=str(error.orig))
            if self._stopping.wait(pause_s):
                raise _Stopping
            pause_s = min(pause_s * 2, MAX_PAUSE_S)
