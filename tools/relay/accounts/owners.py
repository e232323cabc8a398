"""Each event to its device's owner, with the owner's token. Tokens are refreshed beside the sending, never in its way:
where Login with Amazon does not answer, only those whose tokens have ended wait."""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from tools.relay import logs
from tools.relay.accounts.accounts import Accounts
from tools.relay.delivery.breaker import Breaker
from tools.relay.delivery.gateway_client import REGIONS
from tools.relay.delivery.lwa import LwaRefused, LwaUnreachable
from tools.relay.delivery.outbox import LINKED
from tools.relay.delivery.routes import NoRoute, OneGateway, Route, Routes, TokenAwaited, WithTests
from tools.relay.settings import Clock, Settings
from tools.relay.store.store import Store

log = logs.logger(__name__)
REFRESHES = 16
AWAIT_S = 1.0
BUSY_S = 10.0
"""Before an event asks again whose token's refresh could not be begun: too many are, or there is nobody to ask."""
BELIEVED_S = 300.0
"""A token younger than this that the gateway refuses is the gateway's trouble, not the token's."""


class Owners:
    """Routes by the customer that owns a device."""

    names = tuple(REGIONS)

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._breaker = Breaker()  # of Login with Amazon
        self._refreshing: dict[str, asyncio.Task[None]] = {}
        self._renewed: dict[str, float] = {}
        self._decrypt = lru_cache(maxsize=10_000)(accounts.decrypt)

    def route(self, row: Any) -> Route:
        if row.test and row.customer is None:
            raise NoRoute("a test device, and there is no gateway for tests")
        if row.payer is None or row.link != LINKED:
            raise NoRoute("no customer who has enabled the skill owns the device")
        left_s = row.expires_s - self._accounts.clock()
        begun = left_s <= self._accounts.settings.refresh_ahead_s and self._refresh(row.payer, None)
        if left_s <= 0:
            raise TokenAwaited("the customer's token has ended", AWAIT_S if begun else BUSY_S)
        try:
            access = self._decrypt(row.access)
        except LwaUnreachable as error:
            raise TokenAwaited(str(error), 60.0) from error
        return Route(self._accounts.settings.gateway or REGIONS[row.region], access, row.payer)

    def refused(self, route: Route) -> bool:
        assert route.customer is not None
        if time.monotonic() - self._renewed.get(route.customer, float("-inf")) < BELIEVED_S:
            return False
        return self._refresh(route.customer, route.token)

    def revoke(self, route: Route, reason: str) -> None:
        assert route.customer is not None
        self._start(route.customer, self._forget(route.customer, reason))

    async def close(self) -> None:
        for task in self._refreshing.values():
            task.cancel()
        await asyncio.gather(*self._refreshing.values(), return_exceptions=True)

    def _refresh(self, customer: str, refused: str | None) -> bool:
        """Begin to refresh the customer's token unless that is begun. Returns False where it is not the time to."""
        if customer in self._refreshing:
            return True
        probing = self._breaker.probing(time.monotonic()) and not self._refreshing
        if len(self._refreshing) >= REFRESHES or not (self._breaker.closed or probing):
            return False
        self._start(customer, self._refreshed(customer, refused))
        return True

    def _start(self, customer: str, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._refreshing[customer] = task
        task.add_done_callback(lambda _: self._refreshing.pop(customer, None))

    async def _refreshed(self, customer: str, refused: str | None) -> None:
        try:
            refresh_token = await asyncio.to_thread(self._accounts.begin_refresh, customer, refused)
            if refresh_token is None:
                return
            tokens = await self._accounts.lwa.refresh(refresh_token)
            await asyncio.to_thread(self._accounts.keep, customer, tokens)
            self._breaker.succeeded()
            self._note(customer)
        except LwaRefused as error:
            if error.code == "invalid_grant":
                await self._forget(customer, "Login with Amazon: invalid_grant")
            else:
                await self._failed(customer, error)
        except LwaUnreachable as error:
            await self._failed(customer, error)
        except Exception:  # the event stays queued, and asks again
            log.exception("a token could not be refreshed")

    async def _failed(self, customer: str, error: Exception) -> None:
        if self._breaker.failed(time.monotonic()):
            log.warning("Login with Amazon is left alone for a while", reason=str(error))
        await asyncio.to_thread(self._accounts.end_refresh, customer)

    async def _forget(self, customer: str, reason: str) -> None:
        log.warning("a customer has taken the consent back", reason=reason)
        await asyncio.to_thread(self._accounts.forget, customer, reason)

    def _note(self, customer: str) -> None:
        now = time.monotonic()
        self._renewed[customer] = now
        if len(self._renewed) > 10_000:
            self._renewed = {name: at for name, at in self._renewed.items() if now - at < BELIEVED_S}


def routes_for(settings: Settings, store: Store, clock: Clock) -> Routes | None:
    """Return the routes that the settings ask for, None where events go nowhere. Raises ValueError."""
    routes: Routes
    if settings.gateway is not None and settings.token is not None:
        routes = OneGateway(settings.gateway, settings.token)
    elif settings.key is not None:
        routes = Owners(Accounts(settings, store, clock))
    elif settings.gateway is not None:
        raise ValueError("a gateway needs a token for all events, or a key for the customers' own")
    else:
        return None
    if settings.test_gateway is None:
        return routes
    return WithTests(routes, gateway_for_tests(settings.test_gateway))


def gateway_for_tests(url: str) -> str:
    """Return the URL. Raises ValueError for one of Amazon's own."""
    if urlsplit(url).hostname in [urlsplit(own).hostname for own in REGIONS.values()]:
        raise ValueError("the gateway for tests is Amazon's own")
    return url


def owners_only(settings: Settings) -> bool:
    """Return whether events are queued only for devices that a customer owns: there are accounts, not one gateway."""
    return settings.key is not None and not (settings.gateway is not None and settings.token is not None)
