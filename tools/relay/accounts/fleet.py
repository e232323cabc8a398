"""What each device is, whose it is, and what its owner's Alexa has been told of it.

A change that Alexa should know of is queued in the transaction that makes it, once: `devices.told` is the endpoint as
Alexa has it, from a discovery or an AddOrUpdateReport.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import zlib
from typing import Any

from sqlalchemy import Connection, Row, select

from tools.relay.core import events, state, wire
from tools.relay.core.wear import worst_permille
from tools.relay.store.schema import customers, devices, epochs, queue, replenishment
from tools.relay.store.store import DEAD, LINKED, NEW, QUEUED, SENSOR_EVENTS, Store, queued, upsert

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: none is taken for another
CODE_LETTERS = 12  # 60 bits


class ClaimRefused(Exception):
    """The code is wrong, or the device has an owner; the text says which."""


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
            self._tell_change(connection, device)
            return True

    def name(self, device: str, name: str) -> None:
        """Call the device so in Alexa, in at most 128 characters."""
        with self.store.begin() as connection:
            self.store.lock(connection, device)
            connection.execute(_own(device).values(name=name))
            self._tell_change(connection, device)

    def mark_test(self, device: str, test: bool = True) -> None:
        """A test device's events go to the gateway for tests, or nowhere."""
        with self.store.begin() as connection:
            self.store.lock(connection, device)
            connection.execute(_own(device).values(test=test))

    def replenish(self, model: str, instance: str, dash_id: str) -> int:
        """Amazon has given the Dash id for this consumable of a model. Returns how many owners' Alexas are told."""
        with self.store.begin() as connection:
            upsert(connection, replenishment, {"model": model, "instance": instance, "value": dash_id}, ["value"])
            names = connection.execute(select(devices.c.device).where(devices.c.customer.is_not(None))).scalars().all()
        told = 0
        for device in names:
            with self.store.begin() as connection:
                self.store.lock(connection, device)
                told += self._tell_change(connection, device)
        return told

    # ---- owners

    def add_customer(self, customer: str, region: str) -> None:
        """Make the customer known; one that is known is left alone."""
        with self.store.begin() as connection:
            _add_customer(connection, customer, region)

    def new_code(self, device: str) -> str:
        """Return a new claim code for the device's label; the one before is void. Only its hash is stored."""
        code = "".join(secrets.choice(_LETTERS) for _ in range(CODE_LETTERS))
        with self.store.begin() as connection:
            self.store.lock(connection, device)
            connection.execute(_own(device).values(claim=_hash(code)))
        return "-".join(code[at : at + 4] for at in range(0, CODE_LETTERS, 4))

    def claim(self, customer: str, code: str, region: str) -> str:
        """The customer has the label: the device is theirs. Returns it. Raises ClaimRefused."""
        with self.store.begin() as connection:
            found = connection.execute(select(devices.c.device).where(devices.c.claim == _hash(code))).scalar()
            if found is None:
                raise ClaimRefused("no device has this code")
            row = self.store.lock(connection, found)
            if row["customer"] not in (None, customer):
                raise ClaimRefused("the device has another owner, who must release it first")
            _add_customer(connection, customer, region)
            connection.execute(_own(found).values(customer=customer))
            self._tell_change(connection, found)
            return str(found)

    def release(self, device: str) -> None:
        """The device is its owner's no longer: what was queued for them is void, and their Alexa forgets it."""
        with self.store.begin() as connection:
            row = self.store.lock(connection, device)
            owner = row["customer"]
            if owner is None:
                return
            waiting = (queue.c.device == device) & (queue.c.state == QUEUED)
            now_s = self.store.clock()
            dead = {"state": DEAD, "reason": "released by its owner", "done_s": now_s}
            connection.execute(queue.update().where(waiting).values(**dead))
            connection.execute(_own(device).values(customer=None, told=None))
            if row["told"] is not None and _is_linked(connection, owner):
                body = json.dumps([device])
                connection.execute(queue.insert(), [queued(device, "DeleteReport", now_s, customer=owner, body=body)])

    # ---- what Alexa is told

    def discover(self, customer: str | None, note: bool = True) -> list[dict[str, Any]]:
        """Return a customer's endpoints (None: everyone's); with `note`, remember that Alexa was told."""
        wanted = select(devices).where(devices.c.about.is_not(None)).order_by(devices.c.device)
        if customer is not None:
            wanted = wanted.where(devices.c.customer == customer)
        with self.store.begin() as connection:
            endpoints = []
            for row in connection.execute(wanted).all():
                endpoint = _endpoint(connection, row)
                endpoints.append(endpoint)
                if note and customer is not None and row.told != _dump(endpoint):
                    connection.execute(_own(row.device).values(told=_dump(endpoint)))
            return endpoints

    def send_now(self, device: str) -> int:
        """Queue the newest accepted use of each fitted part once more, with its time of sample. Returns how many."""
        with self.store.begin() as connection:
            self.store.lock(connection, device)
            newest: dict[int, Any] = {}
            wanted = select(queue).where(queue.c.device == device, queue.c.name.in_(SENSOR_EVENTS)).order_by(queue.c.id)
            for row in connection.execute(wanted).all():
                newest[row.consumable] = row
            rows = [
                queued(
                    device, row.name, self.store.clock(), epoch=row.epoch, consumable=consumable,
                    generation=row.generation,
                    usage_s=row.usage_s, utc_s=row.utc_s, estimated=row.estimated, inferred=row.inferred,
                )
                for consumable, row in sorted(newest.items())
                if row.name == events.CONSUMED
            ]  # fmt: skip
            if rows:
                connection.execute(queue.insert(), rows)
            return len(rows)

    def replay(self, device: str) -> tuple[int, int]:
        """Queue the device's dead letters again, in their order and with their message ids.

        Those that newer events have overtaken stay dead. Returns how many were queued, and how many stay.
        """
        with self.store.begin() as connection:
            self.store.lock(connection, device)
            wanted = select(queue).where(queue.c.device == device, queue.c.name.in_(SENSOR_EVENTS)).order_by(queue.c.id)
            rows = list(connection.execute(wanted).all())
            dead = [row for row in rows if row.state == DEAD and row.reason != "released by its owner"]
            again = [row.id for row in dead if not _overtaken(row, rows)]
            fresh = {"state": QUEUED, "attempts": 0, "next_try_s": 0.0, "done_s": None}
            connection.execute(queue.update().where(queue.c.id.in_(again)).values(**fresh))
            return len(again), len(dead) - len(again)

    def _tell_change(self, connection: Connection, device: str) -> bool:
        """Queue an AddOrUpdateReport if the owner's Alexa knows the device otherwise than it is now."""
        row = connection.execute(select(devices).where(devices.c.device == device)).one()
        if row.about is None or row.customer is None or not _is_linked(connection, row.customer):
            return False
        endpoint = _endpoint(connection, row)
        if row.told == _dump(endpoint):
            return False
        now_s = self.store.clock()
        told = queued(device, "AddOrUpdateReport", now_s, customer=row.customer, body=json.dumps([endpoint]))
        connection.execute(queue.insert(), [told])
        connection.execute(_own(device).values(told=_dump(endpoint)))
        return True


def _own(device: str) -> Any:
    return devices.update().where(devices.c.device == device)


def _add_customer(connection: Connection, customer: str, region: str) -> None:
    values = {
        "customer": customer,
        "region": region,
        "expires_s": 0.0,
        "state": NEW,
        "reason": "",
        "lease_until_s": 0.0,
    }
    upsert(connection, customers, values, [])


def _is_linked(connection: Connection, customer: str) -> bool:
    return connection.execute(select(customers.c.state).where(customers.c.customer == customer)).scalar() == LINKED


def _endpoint(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    about = wire.decode_about(row.about)
    known = select(replenishment.c.instance, replenishment.c.value).where(replenishment.c.model == about.model)
    dash_ids = {instance: value for instance, value in connection.execute(known).all()}
    return events.endpoint(row.device, about, row.name, dash_ids)


def _overtaken(row: Row[Any], rows: list[Row[Any]]) -> bool:
    """Whether a newer event of the same part has been told. A replacement is overtaken only by the next replacement."""
    return any(
        later.id > row.id
        and (later.consumable, later.epoch) == (row.consumable, row.epoch)
        and later.state != DEAD
        and (row.name == events.CONSUMED or later.name == events.REPLACED)
        for later in rows
    )


def _hash(code: str) -> str:
    """Codes are read off labels: case, spaces and dashes do not count, nor do letters that look like digits."""
    plain = code.upper().replace("-", "").replace(" ", "").translate(str.maketrans("OIL", "011"))
    return hashlib.sha256(plain.encode()).hexdigest()


def _dump(endpoint: dict[str, Any]) -> str:
    return json.dumps(endpoint, sort_keys=True)
