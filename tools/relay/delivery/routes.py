"""Where an event goes: the gateway's address and the token, by the owner of the device, or one address for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

TEST_TOKEN = "test"


class NoRoute(Exception):
    """The event can go nowhere; the text says why."""


@dataclass(frozen=True)
class Route:
    """`url` is the gateway's base address. `customer` is None where one token serves all."""

    url: str
    token: str
    customer: str | None = None


class Routes(Protocol):
    def route(self, row: Any) -> Route:
        """Return where the row of the queue goes. Raises NoRoute."""

    def renew(self, route: Route) -> Route | None:
        """Return the route with a token newer than the one refused, None if there is none."""

    def revoke(self, route: Route, reason: str) -> None:
        """The customer has disabled the skill: forget the tokens."""


class OneGateway:
    """Every event to one address with one token: a test, a demonstration, a fleet of one account."""

    def __init__(self, url: str, token: str) -> None:
        self._route = Route(url, token)

    def route(self, row: Any) -> Route:
        if row.test:
            raise NoRoute("a test device, and there is no gateway for tests")
        return self._route

    def renew(self, route: Route) -> Route | None:
        return None

    def revoke(self, route: Route, reason: str) -> None:
        """There is nothing to forget."""


class WithTests:
    """Other routes, but those of test devices: they lead to the gateway for tests and nowhere else."""

    def __init__(self, others: Routes, url: str) -> None:
        self._others = others
        self._test = Route(url, TEST_TOKEN, TEST_TOKEN)

    def route(self, row: Any) -> Route:
        return self._test if row.test else self._others.route(row)

    def renew(self, route: Route) -> Route | None:
        return None if route is self._test else self._others.renew(route)

    def revoke(self, route: Route, reason: str) -> None:
        if route is not self._test:
            self._others.revoke(route, reason)
