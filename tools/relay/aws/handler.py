"""The functions: `intake` stores what devices say and answers, `deliver` sends what is queued to Alexa, `tend` does
each minute what time alone brings.

    device ──MQTT──> IoT Core ──rule──> SQS ──> intake ──> PostgreSQL
                         └<── publish ───────────┘ └──> SQS FIFO, grouped by device ──> deliver ──> Alexa

The rule's own queue cannot be FIFO: AWS IoT has no such action, as it does not keep the order of messages. It need not
be: a device sends the next message when the last is acknowledged, and what comes late all the same tells nothing.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import boto3

from tools.relay import logs
from tools.relay.accounts.fleet import Fleet
from tools.relay.accounts.owners import owners_only, routes_for
from tools.relay.aws.queues import failed, read
from tools.relay.delivery.delivery import Delivery
from tools.relay.delivery.outbox import QUEUED
from tools.relay.intake.edge import Arrival
from tools.relay.intake.worker import Stopping, Worker
from tools.relay.settings import Clock, Settings, load
from tools.relay.store import schema
from tools.relay.store.retention import Retention
from tools.relay.store.store import Store

log = logs.logger(__name__)
DELIVER_S = 20.0  # of one call; what then still waits comes again with the queue's visibility timeout
POLL_S = 0.05
WAKES = 1000  # of one minute
RETAIN_S = 20.0


class Publisher:
    """An edge (see intake/edge.py) that only sends: `publish(topic, payload)`."""

    connected = True

    def __init__(self, root: str, publish: Callable[[str, bytes], None]) -> None:
        self._root = root
        self._publish = publish

    def start(self) -> None:
        """Nothing to connect: each call of a function is a connection."""

    def stop(self) -> None:
        """Nothing to disconnect."""

    def send(self, device: str, payload: bytes) -> None:
        """Publish on the device's down topic."""
        self._publish(f"{self._root}/{device}/down", payload)


class Intake:
    """`handler` takes a batch of SQS; `wake(device)` is called for each device of which something was stored."""

    def __init__(
        self, settings: Settings, store: Store, publish: Callable[[str, bytes], None], wake: Callable[[str], None],
        clock: Clock = time.time,
    ) -> None:  # fmt: skip
        self._root = settings.topic_root
        self._store = store
        self._wake = wake
        self._arrivals: queue.Queue[Arrival] = queue.Queue()
        # Stopping from the start: where the database is away the function fails at once, and SQS tries again.
        stopping = threading.Event()
        stopping.set()
        self._worker = Worker(
            store, Fleet(store), Publisher(self._root, publish), self._arrivals, clock, settings.command_resend_s,
            stopping, lambda: None,
        )  # fmt: skip

    def handler(self, event: dict[str, Any], context: Any = None) -> dict[str, Any]:
        """Return which records SQS is to keep: all where the database did not answer, else what the rule did not make.

        SQS moves what has failed five times to the queue of dead letters.
        """
        records = event["Records"]
        arrivals, strange = [], []
        for record in records:
            try:
                arrivals.append(read(record, self._root))
            except ValueError as error:
                log.error("cannot be read", message=record["messageId"], reason=str(error))
                strange.append(record)
        for arrival in arrivals:
            self._arrivals.put(arrival)
        try:
            self._worker.process([self._arrivals.get() for _ in arrivals])
        except Stopping:
            return failed(records)
        for device in sorted({arrival.device for arrival in arrivals if arrival.kind in ("up", "about")}):
            self._wake(device)
        return failed(strange)

    def tend(self) -> None:
        """End waits, send commands again, and wake the delivery of whatever is due: a wake may have been lost."""
        self._worker.tend()
        with self._store.begin() as connection:
            names = self._store.outbox.due(connection, WAKES)
        for device in names:
            self._wake(device)


class Deliverer:
    """`handler` is called for devices of which something is queued to Alexa, and sends all that is due."""

    def __init__(self, settings: Settings, store: Store, clock: Clock = time.time, limit_s: float = DELIVER_S) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._limit_s = limit_s

    def handler(self, event: dict[str, Any], context: Any = None) -> dict[str, Any]:
        """Return the records whose device still waits, so that SQS calls for them again."""
        stopping = threading.Event()
        routes = routes_for(self._settings, self._store, self._clock)
        if routes is None:
            raise ValueError("no gateway and no key: events have nowhere to go")
        delivery = Delivery(self._settings, self._store, routes, stopping)
        thread = threading.Thread(target=delivery.run, name="relay-delivery")
        thread.start()
        try:
            until = time.monotonic() + self._limit_s
            records = event["Records"]
            while (waiting := [record for record in records if self._waits(record["body"])]) and (
                time.monotonic() < until
            ):
                time.sleep(POLL_S)
        finally:
            stopping.set()
            thread.join()
        return failed(waiting)

    def _waits(self, device: str) -> bool:
        return self._store.count(schema.queue, device=device, state=QUEUED) > 0


@cache
def _store() -> tuple[Settings, Store]:
    """What one instance of a function opens once."""
    logs.configure()
    settings = load()
    return settings, Store(settings.store, time.time, settings.gap_wait_s, owners_only(settings))


@cache
def _intake() -> Intake:
    settings, store = _store()
    iot, sqs, url = boto3.client("iot-data"), boto3.client("sqs"), os.environ["DELIVERY_QUEUE_URL"]

    def wake(device: str) -> None:
        # SQS drops a message with the id of one of the last five minutes: each wake has an id of its own.
        sqs.send_message(
            QueueUrl=url, MessageBody=device, MessageGroupId=device, MessageDeduplicationId=f"{device}-{time.time_ns()}"
        )

    return Intake(settings, store, lambda topic, payload: iot.publish(topic=topic, qos=1, payload=payload), wake)


def intake(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The function behind the rule's queue."""
    return _intake().handler(event, context)


def tend(event: dict[str, Any], context: Any) -> None:
    """The function that a schedule calls."""
    settings, store = _store()
    _intake().tend()
    Retention(store, settings.keep_messages_s, threading.Event()).turn(RETAIN_S)


def deliver(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The function behind the FIFO queue."""
    return Deliverer(*_store()).handler(event, context)
