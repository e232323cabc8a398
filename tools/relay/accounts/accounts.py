"""Customers and their tokens: encrypted at rest, one refresh at a time, forgotten when revoked."""

from __future__ import annotations

import asyncio
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import select

from tools.relay.accounts.claims import REVOKED, Claims, add_customer
from tools.relay.delivery.lwa import LwaClient, LwaUnreachable, Tokens
from tools.relay.delivery.outbox import LINKED
from tools.relay.settings import Clock, Settings
from tools.relay.store.schema import customers
from tools.relay.store.store import Store

REFRESH_LEASE_S = 30.0


class Accounts:
    """The customers of the skill. Raises ValueError for a bad key, or no client id to hold tokens against."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.lwa = LwaClient(settings)
        try:
            self._cipher = MultiFernet([Fernet(key.strip()) for key in (settings.key or "").split(",")])
        except ValueError as error:
            raise ValueError("the key is not one made by `wearmeter-relay new-key`") from error
        if not settings.lwa_client_id:
            raise ValueError("a key needs --lwa-client-id: whose tokens are for this skill cannot be told without")

    def accept_grant(self, code: str, grantee_token: str) -> str:
        """Link a customer by what an AcceptGrant brings, and tell their Alexa of their devices; returns who it is.

        Raises LwaRefused, LwaUnreachable.
        """
        customer, tokens = asyncio.run(self._exchanged(code, grantee_token))
        with self.store.begin() as connection:
            add_customer(connection, customer, self.settings.region)
        self.keep(customer, tokens, state=LINKED, region=self.settings.region)
        Claims(self.store).linked(customer)
        return customer

    async def _exchanged(self, code: str, grantee_token: str) -> tuple[str, Tokens]:
        return await self.lwa.customer_of(grantee_token), await self.lwa.exchange(code)

    def customer_of(self, access_token: str) -> str:
        """Return whose token, given to this skill, it is. Raises LwaRefused, LwaUnreachable."""
        return asyncio.run(self.lwa.customer_of(access_token))

    def rotate_keys(self) -> int:
        """Encrypt every token anew with the newest key; returns for how many customers."""
        rows = [row for row in self.store.rows(customers) if row.access is not None]
        for row in rows:
            new = {name: self._cipher.rotate(getattr(row, name)) for name in ("access", "refresh")}
            with self.store.begin() as connection:
                own = (customers.c.customer == row.customer) & (customers.c.access == row.access)
                connection.execute(customers.update().where(own).values(**new))
        return len(rows)

    # ---- tokens, for who refreshes them

    def decrypt(self, secret: bytes) -> str:
        """Raises LwaUnreachable where no key given opens it: another relay may have the right one."""
        try:
            return self._cipher.decrypt(secret).decode()
        except InvalidToken as error:
            raise LwaUnreachable("the stored tokens are not encrypted with any key given") from error

    def begin_refresh(self, customer: str, refused: str | None) -> str | None:
        """Return the refresh token if it is now ours to use, None if another relay is at it or already was.

        `refused` is the access token that is not good any more, None for one that ends soon.
        """
        wanted = select(customers).where(customers.c.customer == customer).with_for_update()
        with self.store.begin() as connection:
            row = connection.execute(wanted).one()
            if row.state != LINKED or row.lease_until_s > self._now_s(connection):
                return None
            fresh = row.expires_s - self.settings.refresh_ahead_s > self.clock()
            if fresh and self.decrypt(row.access) != refused:
                return None
            until_s = self._now_s(connection) + REFRESH_LEASE_S
            connection.execute(_own(customer).values(lease_until_s=until_s))
            return self.decrypt(row.refresh)

    def keep(self, customer: str, tokens: Tokens, **more: str) -> None:
        """Store new tokens, and hurry what waited for them."""
        values: dict[str, Any] = {
            "access": self._cipher.encrypt(tokens.access.encode()),
            "refresh": self._cipher.encrypt(tokens.refresh.encode()),
            "expires_s": self.clock() + tokens.expires_in_s,
            "reason": "",
            "lease_until_s": 0.0,
        }
        with self.store.begin() as connection:
            connection.execute(_own(customer).values(**values, **more))
            self.store.outbox.hurry(connection, customer)

    def end_refresh(self, customer: str) -> None:
        """It did not work out: another may try."""
        with self.store.begin() as connection:
            connection.execute(_own(customer).values(lease_until_s=0.0))

    def forget(self, customer: str, reason: str) -> None:
        """The customer has taken the consent back: delete the tokens, and what waits for them."""
        with self.store.begin() as connection:
            connection.execute(_own(customer).values(access=None, refresh=None, state=REVOKED, reason=reason))
        Claims(self.store).unlinked(customer, reason)

    def _now_s(self, connection: Any) -> float:
        return self.store.outbox.now_s(connection)


def _own(customer: str) -> Any:
    return customers.update().where(customers.c.customer == customer)
