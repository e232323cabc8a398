"""Where an event goes: the gateway's address and the token, by the owner of the device, or one address for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from .settings import Clock, Settings
from .store import Store


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

    def __init__(self, settings: Settings) -> None:
        assert settings.gateway is not None
        self._route = Route(settings.gateway, settings.token or "")

    def route(self, row: Any) -> Route:
        return self._route

    def renew(self, route: Route) -> Route | None:
        return None

    def revoke(self, route: Route, reason: str) -> None:
        """There is nothing to forget."""


def routes_for(settings: Settings, store: Store, clock: Clock) -> Routes | None:
    """Return the routes that the settings ask for, None where events go nowhere."""
    return OneGateway(settings) if settings.gateway is not None else None
