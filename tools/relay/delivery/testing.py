"""A store with devices and a delivery that runs against the stand-in gateway, for tests and measurements."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from tools.alexa_gateway.gateway import Gateway
from tools.relay.accounts.fleet import Fleet
from tools.relay.accounts.owners import owners_only, routes_for
from tools.relay.core import wire
from tools.relay.delivery.delivery import Delivery
from tools.relay.delivery.outbox import QUEUED
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, Clock, wait_until


class Sending:
    """`vacuum1` has described itself; between `start` and `stop`, or within `with`, what is queued is sent."""

    def __init__(self, store_url: str, server: Gateway, clock: Any = None, **settings: Any) -> None:
        one: dict[str, Any] = {} if "key" in settings else {"gateway": server.url, "token": "good"}
        quick: dict[str, Any] = {"store": store_url, "resend_after_s": 0.05, "deadline_s": 2.0, "lease_s": 20.0}
        self.settings = Settings(**(quick | one | settings))
        self.clock = clock or Clock()
        self.gateway = server
        self.store = Store(store_url, self.clock, owners_only=owners_only(self.settings))
        self.fleet = Fleet(self.store)
        self.describe("vacuum1")

    def describe(self, *devices: str) -> None:
        for device in devices:
            self.fleet.about(device, wire.encode(ABOUT))

    def take(self, *payloads: bytes, device: str = "vacuum1") -> None:
        """A device has said so."""
        self.store.accept([(device, payload, wire.decode_up(payload)) for payload in payloads])

    def start(self, busy: bool = False) -> Sending:
        routes = routes_for(self.settings, self.store, self.clock)
        assert routes is not None
        self._stopping = threading.Event()
        self.delivery = Delivery(self.settings, self.store, routes, self._stopping, lambda: busy)
        self._thread = threading.Thread(target=self.delivery.run, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self.delivery.wake()
        self._thread.join(20)

    def drain(self, timeout_s: float = 20.0) -> bool:
        """Send until nothing waits, in a delivery of its own. Returns whether that came in time."""
        with self:
            return wait_until(lambda: not self.count(QUEUED), timeout_s)

    def hurry(self) -> None:
        """Whatever was put off is due now."""
        with self.store.begin() as connection:
            due = schema.endpoints.c.due_s.is_not(None) & ~schema.endpoints.c.leased
            connection.execute(schema.endpoints.update().where(due).values(due_s=0.0))

    def count(self, state: str) -> int:
        return self.store.count(schema.queue, state=state)

    def reasons(self, state: str) -> list[str]:
        return [row.reason for row in self.store.rows(schema.queue, state=state)]

    def accepted(self) -> list[tuple[str, str]]:
        """Instance and usage (or `new`) of each sensor event that the gateway has."""
        events = [message["event"] for message in self.gateway.accepted if "endpoint" in message["event"]]
        return [
            (event["header"]["instance"], event["payload"].get("usage", {"value": "new"})["value"]) for event in events
        ]

    def names(self) -> list[str]:
        return [message["event"]["header"]["name"] for message in self.gateway.accepted]

    def __enter__(self) -> Sending:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
