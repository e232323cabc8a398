"""What each device is and is called, and what its owner's Alexa is to know of that.

A change that Alexa should know of is queued in the transaction that makes it.
"""

from __future__ import annotations

import zlib
from typing import Any

from sqlalchemy import Row, select

from tools.relay.accounts import telling
from tools.relay.core import events, state
from tools.relay.core.wear import worst_permille
from tools.relay.delivery.outbox import DEAD
from tools.relay.store.schema import devices, epochs, queue, replenishment
from tools.relay.store.store import Store, upsert


class Fleet:
    """Every method is one transaction."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def about(self, device: str, payload: bytes) -> bool:
        """Keep the device's description of itself. Returns whether it is a new one."""
        with self.store.begin() as connection:
            row = self.store.lock(connection, device)
            if row["about"] == payload:
                return False
            own = (epochs.c.device == device) & (epochs.c.epoch == row["epoch"])
            held = connection.execute(select(epochs.c.state).where(own)).scalar()
            worn = worst_permille(payload, state.load(held)) if held is not None else None
            new = {"about": payload, "about_crc": zlib.crc32(payload), "wear_permille": worn}
            connection.execute(_own(device).values(**new))
            if row["about"] is None:
                self.store.outbox.touch(connection, device)  # nothing of it could be told before
            telling.tell_endpoint(self.store, connection, device)
            return True

    def name(self, device: str, name: str) -> None:
        """Call the device so in Alexa, in at most 128 characters."""
        with self.store.begin() as connection:
            self.store.lock(connection, device)
            connection.execute(_own(device).values(name=name))
            telling.tell_endpoint(self.store, connection, device)

    def mark_test(self, device: str, test: bool = True) -> None:
        """A test device's events go to the gateway for tests, or nowhere; what waits goes to neither."""
        with self.store.begin() as connection:
            row = self.store.lock(connection, device)
            if row["test"] != test:
                connection.execute(_own(device).values(test=test))
                self.store.outbox.void(connection, [device], "the device has become one for tests, or is none any more")

    def replenish(self, model: str, instance: str, dash_id: str) -> int:
        """Amazon has given the Dash id for this consumable of a model. Returns how many owners' Alexas are told."""
        with self.store.begin() as connection:
            upsert(connection, replenishment, {"model": model, "instance": instance, "value": dash_id}, ["value"])
            names = connection.execute(select(devices.c.device).where(devices.c.customer.is_not(None))).scalars().all()
        told = 0
        for device in names:
            with self.store.begin() as connection:
                self.store.lock(connection, device)
                told += telling.tell_endpoint(self.store, connection, device)
        return told

    def discover(self, customer: str | None, note: bool = True) -> list[dict[str, Any]]:
        """Return a customer's endpoints (None: everyone's); with `note`, remember that Alexa was told."""
        wanted = select(devices).where(devices.c.about.is_not(None)).order_by(devices.c.device)
        if customer is not None:
            wanted = wanted.where(devices.c.customer == customer)
        with self.store.begin() as connection:
            endpoints = []
            for row in connection.execute(wanted).all():
                endpoint = telling.endpoint(connection, row)
                endpoints.append(endpoint)
                if note and customer is not None and row.told != telling.dump(endpoint):
                    connection.execute(_own(row.device).values(told=telling.dump(endpoint)))
            return endpoints

    def send_now(self, device: str) -> int:
        """Queue the newest accepted use of each fitted part once more, with its time of sample. Returns how many."""
        with self.store.begin() as connection:
            self.store.lock(connection, device)
            return telling.tell_usage(self.store, connection, device)

    def replay(self, device: str) -> tuple[int, int]:
        """Queue the device's dead letters again, in their order and with their message ids.

        Those that newer events have overtaken stay dead. Returns how many were queued, and how many stay.
        """
        with self.store.begin() as connection:
            self.store.lock(connection, device)
            wanted = select(queue).where(queue.c.device == device).order_by(queue.c.id)
            rows = list(connection.execute(wanted).all())
            dead = [row for row in rows if row.state == DEAD]
            again = [row for row in dead if not _overtaken(row, rows)]
            self.store.outbox.requeue(connection, again)
            return len(again), len(dead) - len(again)


def _own(device: str) -> Any:
    return devices.update().where(devices.c.device == device)


def _overtaken(row: Row[Any], rows: list[Row[Any]]) -> bool:
    """Whether a newer event of the same part, or a newer report of the same device, has been told. A replacement is
    overtaken only by the next replacement."""
    return any(
        later.id > row.id
        and (later.consumable, later.epoch) == (row.consumable, row.epoch)
        and later.state != DEAD
        and (row.name != events.REPLACED or later.name == events.REPLACED)
        for later in rows
    )
