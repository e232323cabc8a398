"""Whose a device is: the code on its label, who claimed it with that, and what a release takes back."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from sqlalchemy import Connection, select

from tools.relay.accounts import telling
from tools.relay.store.schema import customers, devices, usage
from tools.relay.store.store import Store, upsert

NEW, REVOKED = "new", "revoked"
"""States of a customer beside LINKED: one who has not enabled the skill, one who has taken the consent back."""
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: none is taken for another
CODE_LETTERS = 12  # 60 bits


class ClaimRefused(Exception):
    """The code is wrong, or the device has an owner; the text says which."""


class Claims:
    """Every method is one transaction."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def new_code(self, device: str) -> str:
        """Return a new claim code for the device's label; the one before is void. Only its hash is stored."""
        code = "".join(secrets.choice(_LETTERS) for _ in range(CODE_LETTERS))
        with self.store.begin() as connection:
            self.store.lock(connection, device)
            connection.execute(_own(device).values(claim=_hash(code)))
        return "-".join(code[at : at + 4] for at in range(0, CODE_LETTERS, 4))

    def claim(self, customer: str, code: str, region: str) -> str:
        """The customer has the label: the device is theirs, and their Alexa is told of it and its use so far.

        Returns the device. Raises ClaimRefused.
        """
        with self.store.begin() as connection:
            found = connection.execute(select(devices.c.device).where(devices.c.claim == _hash(code))).scalar()
            row = self.store.lock(connection, found) if found is not None else {}
            if found is None or row["claim"] != _hash(code):
                raise ClaimRefused("no device has this code")
            if row["customer"] not in (None, customer):
                raise ClaimRefused("the device has another owner, who must release it first")
            add_customer(connection, customer, region)
            if row["customer"] is None:
                connection.execute(_own(found).values(customer=customer))
                if telling.is_linked(connection, customer):
                    telling.tell_endpoint(self.store, connection, found)
                    telling.tell_usage(self.store, connection, found)
            return str(found)

    def release(self, device: str) -> None:
        """The device is its owner's no longer: their Alexa forgets it, what was queued for them is void, and so are the
        code on the label, the name they gave it, and their tokens if it was their last device.

        What increments have told so far is settled: the next owner is told only what is used from now on.
        """
        with self.store.begin() as connection:
            row = self.store.lock(connection, device)
            owner = row["customer"]
            if owner is None:
                return
            self.store.outbox.void(connection, [device], "released by its owner")
            cleared = {"customer": None, "told": None, "name": None, "claim": None}
            connection.execute(_own(device).values(**cleared))
            used = {"marked_s": usage.c.used_s, "gateway_s": None}
            connection.execute(usage.update().where(usage.c.device == device).values(**used))
            if row["about"] is not None and telling.is_linked(connection, owner):
                telling.tell_gone(self.store, connection, device, owner)

    def linked(self, customer: str) -> None:
        """The customer has enabled the skill: their Alexa is told of their devices and of their use so far."""
        for device in self._of(customer):
            with self.store.begin() as connection:
                self.store.lock(connection, device)
                telling.tell_endpoint(self.store, connection, device)
                telling.tell_usage(self.store, connection, device, replacements=True)

    def unlinked(self, customer: str, reason: str) -> None:
        """The customer has taken the consent back: what waits for them is void, and their Alexa knows nothing."""
        for device in self._of(customer):
            with self.store.begin() as connection:
                self.store.lock(connection, device)
                self.store.outbox.void(connection, [device], reason)
                connection.execute(_own(device).values(told=None))

    def _of(self, customer: str) -> list[str]:
        with self.store.begin() as connection:
            owned = select(devices.c.device).where(devices.c.customer == customer).order_by(devices.c.device)
            return list(connection.execute(owned).scalars())


def add_customer(connection: Connection, customer: str, region: str) -> None:
    """Make the customer known; one that is known is left alone."""
    values = {
        "customer": customer,
        "region": region,
        "expires_s": 0.0,
        "state": NEW,
        "reason": "",
        "lease_until_s": 0.0,
    }
    upsert(connection, customers, values, [])


def _own(device: str) -> Any:
    return devices.update().where(devices.c.device == device)


def _hash(code: str) -> str:
    """Codes are read off labels: case, spaces and dashes do not count, nor do letters that look like digits."""
    plain = code.upper().replace("-", "").replace(" ", "").translate(str.maketrans("OIL", "011"))
    return hashlib.sha256(plain.encode()).hexdigest()
