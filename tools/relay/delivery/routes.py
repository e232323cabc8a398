"""Where an event goes: the gateway's address and the token, by the owner of the device, or one address for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tools.relay.delivery.outbox import ALL, TEST

TEST_TOKEN = "test"


class NoRoute(Exception):
    """There is nobody to tell the event to; the text says why."""


class TokenAwaited(Exception):
    """There will be a token, not at once; the event may be tried again after `after_s`, or sooner when it has come."""

    def __init__(self, reason: str, after_s: float) -> None:
        super().__init__(reason)
        self.after_s = after_s


@dataclass(frozen=True)
class Route:
    """`url` is the gateway's base address. `customer` is None where one token serves all."""

    url: str
    token: str
    customer: str | None = None


class Routes(Protocol):
    """Called in the event loop of the delivery; nothing here waits."""

    @property
    def names(self) -> tuple[str, ...]:
        """The routes that are served: each has senders, a pace and a breaker of its own."""

    def route(self, row: Any) -> Route:
        """Return where the row of the queue goes. Raises NoRoute, TokenAwaited."""

    def refused(self, route: Route) -> bool:
        """The gateway has refused the token. Returns whether another one will come."""

    def revoke(self, route: Route, reason: str) -> None:
        """The customer has disabled the skill: forget the tokens."""

    async def close(self) -> None:
        """Finish what is in hand."""


class OneGateway:
    """Every event to one address with one token: a test, a demonstration, a fleet of one account."""

    def __init__(self, url: str, token: str, name: str = ALL) -> None:
        self._route = Route(url, token)
        self.names = (name,)

    def route(self, row: Any) -> Route:
        if (row.test and row.customer is None) != (self.names == (TEST,)):
            raise NoRoute("a test device's event, or one that no longer is")
        return self._route

    def refused(self, route: Route) -> bool:
        return False

    def revoke(self, route: Route, reason: str) -> None:
        """There is nothing to forget."""

    async def close(self) -> None:
        """There is nothing in hand."""


class WithTests:
    """Other routes, but those of test devices: they lead to the gateway for tests and nowhere else."""

    def __init__(self, others: Routes, url: str) -> None:
        self._others = others
        self._tests = OneGateway(url, TEST_TOKEN, TEST)
        self.names = (*others.names, TEST)

    def route(self, row: Any) -> Route:
        return (self._tests if row.test and row.customer is None else self._others).route(row)

    def refused(self, route: Route) -> bool:
        return route.token != TEST_TOKEN and self._others.refused(route)

    def revoke(self, route: Route, reason: str) -> None:
        if route.token != TEST_TOKEN:
            self._others.revoke(route, reason)

    async def close(self) -> None:
        await self._others.close()
