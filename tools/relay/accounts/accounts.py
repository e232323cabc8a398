"""Customers and their tokens: encrypted at rest, refreshed ahead of time, forgotten when revoked."""

from __future__ import annotations

import time
from typing import Any

import httpx
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import Row, select

from tools.relay.accounts.fleet import Fleet
from tools.relay.delivery.gateway_client import REGIONS, Unreachable
from tools.relay.delivery.lwa import LwaClient, LwaRefused, LwaUnreachable, Tokens
from tools.relay.delivery.routes import NoRoute, OneGateway, Route, Routes, WithTests
from tools.relay.settings import Clock, Settings
from tools.relay.store.schema import customers
from tools.relay.store.store import LINKED, REVOKED, Store

REFRESH_LEASE_S = 30.0
REFRESH_WAIT_S = 10.0


class Accounts:
    """The customers of the skill. As routes: each event goes to its device's owner. Raises ValueError for a bad key."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.lwa = LwaClient(settings)
        try:
            self._cipher = MultiFernet([Fernet(key.strip()) for key in (settings.key or "").split(",")])
        except ValueError as error:
            raise ValueError("the key is not one made by `wearmeter-relay new-key`") from error
        if settings.region not in REGIONS:
            raise ValueError(f"region {settings.region!r} is not one of {', '.join(REGIONS)}")

    def accept_grant(self, code: str, grantee_token: str) -> str:
        """Link a customer by what an AcceptGrant brings; returns who it is. Raises LwaRefused, LwaUnreachable."""
        customer = self.lwa.customer_of(grantee_token)
        tokens = self.lwa.exchange(code)
        Fleet(self.store).add_customer(customer, self.settings.region)
        self._keep(customer, tokens, state=LINKED, region=self.settings.region)
        return customer

    def route(self, row: Any) -> Route:
        customer = row.customer or row.owner
        if row.test:
            raise NoRoute("a test device, and there is no gateway for tests")
        if customer is None:
            raise NoRoute("no customer has claimed the device")
        return self._route(customer, refused=None)

    def renew(self, route: Route) -> Route | None:
        assert route.customer is not None
        return self._route(route.customer, refused=route.token)

    def revoke(self, route: Route, reason: str) -> None:
        assert route.customer is not None
        self._forget(route.customer, reason)

    def rotate_keys(self) -> int:
        """Encrypt every token anew with the newest key; returns for how many customers."""
        rows = [row for row in self.store.rows(customers) if row.access is not None]
        for row in rows:
            new = {name: self._cipher.rotate(getattr(row, name)) for name in ("access", "refresh")}
            with self.store.begin() as connection:
                own = (customers.c.customer == row.customer) & (customers.c.access == row.access)
                connection.execute(customers.update().where(own).values(**new))
        return len(rows)

    def _route(self, customer: str, refused: str | None) -> Route:
        """Return the customer's route with a token that is good for a while and is not the one refused.

        One refresh at a time for a customer, in all relays: the others use the old token while it lasts, or wait.
        """
        deadline = time.monotonic() + REFRESH_WAIT_S
        while True:
            row, ours = self._look(customer, refused)
            access = self._decrypt(row.access)
            if ours:
                tokens = self._refresh(row)
                return Route(self._url(row), tokens.access, customer)
            if access != refused and row.expires_s > self.clock():
                return Route(self._url(row), access, customer)
            if time.monotonic() > deadline:
                raise Unreachable("another relay has not finished refreshing the token")
            time.sleep(0.05)

    def _look(self, customer: str, refused: str | None) -> tuple[Row[Any], bool]:
        """Return the customer, and whether it is now ours to refresh the token."""
        now_s = self.clock()
        wanted = select(customers).where(customers.c.customer == customer).with_for_update()
        with self.store.begin() as connection:
            row = connection.execute(wanted).one()
            if row.state != LINKED:
                raise NoRoute(f"the customer is {row.state}: {row.reason or 'the skill has not been enabled'}")
            good = row.expires_s - self.settings.refresh_ahead_s > now_s and self._decrypt(row.access) != refused
            ours = not good and row.lease_until_s <= now_s
            if ours:
                own = customers.update().where(customers.c.customer == customer)
                connection.execute(own.values(lease_until_s=now_s + REFRESH_LEASE_S))
            return row, ours

    def _refresh(self, row: Row[Any]) -> Tokens:
        try:
            tokens = self.lwa.refresh(self._decrypt(row.refresh))
        except LwaRefused as error:
            if error.code == "invalid_grant":
                self._forget(row.customer, "Login with Amazon: invalid_grant")
                raise NoRoute("the customer is revoked: Login with Amazon: invalid_grant") from error
            self._release(row.customer)
            raise Unreachable(f"Login with Amazon: {error}") from error
        except LwaUnreachable as error:
            self._release(row.customer)
            raise Unreachable(f"Login with Amazon: {error}") from error
        self._keep(row.customer, tokens)
        return tokens

    def _keep(self, customer: str, tokens: Tokens, **more: str) -> None:
        values = {
            "access": self._cipher.encrypt(tokens.access.encode()),
            "refresh": self._cipher.encrypt(tokens.refresh.encode()),
            "expires_s": self.clock() + tokens.expires_in_s,
            "reason": "",
            "lease_until_s": 0.0,
        }
        self._update(customer, **values, **more)

    def _forget(self, customer: str, reason: str) -> None:
        self._update(customer, access=None, refresh=None, state=REVOKED, reason=reason, lease_until_s=0.0)

    def _release(self, customer: str) -> None:
        self._update(customer, lease_until_s=0.0)

    def _update(self, customer: str, **values: Any) -> None:
        with self.store.begin() as connection:
            connection.execute(customers.update().where(customers.c.customer == customer).values(**values))

    def _decrypt(self, secret: bytes) -> str:
        try:
            return self._cipher.decrypt(secret).decode()
        except InvalidToken as error:
            raise Unreachable("the stored tokens are not encrypted with any key given") from error

    def _url(self, row: Row[Any]) -> str:
        return self.settings.gateway or REGIONS[row.region]


def routes_for(settings: Settings, store: Store, clock: Clock) -> Routes | None:
    """Return the routes that the settings ask for, None where events go nowhere. Raises ValueError."""
    routes: Routes
    if settings.gateway is not None and settings.token is not None:
        routes = OneGateway(settings.gateway, settings.token)
    elif settings.key is not None:
        routes = Accounts(settings, store, clock)
    elif settings.gateway is not None:
        raise ValueError("a gateway needs a token for all events, or a key for the customers' own")
    else:
        return None
    if settings.test_gateway is None:
        return routes
    if httpx.URL(settings.test_gateway).host in [httpx.URL(url).host for url in REGIONS.values()]:
        raise ValueError("the gateway for tests is Amazon's own")
    return WithTests(routes, settings.test_gateway)
