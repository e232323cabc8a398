"""A stand-in for Login with Amazon: POST /auth/o2/token, GET /user/profile, tokens that expire and are revoked."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ACCESS_S = 3600


@dataclass(frozen=True)
class LwaFault:
    """One answer that is not the true one: an HTTP status, OAuth's error, and a wait before it."""

    status: int = 503
    error: str = "server_error"
    delay_s: float = 0.0


class Lwa:
    """Knows one client. A code works once; each refresh gives a new refresh token, and the one before is void."""

    def __init__(
        self, client_id: str = "client", client_secret: str = "secret", clock: Callable[[], float] = time.time
    ) -> None:
        self.clock = clock
        self.regions: dict[str, str] = {}
        self.disabled: set[str] = set()
        self.faults: deque[LwaFault] = deque()
        self.refreshes = 0
        self._client = (client_id, client_secret)
        self._codes: dict[str, str] = {}
        self._access: dict[str, tuple[str, float]] = {}
        self._audience: dict[str, str] = {}
        self._refresh: dict[str, str] = {}

    def forget(self) -> None:
        """Be as new: no customer, no token, no fault ahead."""
        for held in (
            self.regions,
            self.disabled,
            self.faults,
            self._codes,
            self._access,
            self._refresh,
            self._audience,
        ):
            held.clear()
        self.refreshes = 0

    def code(self, customer: str, region: str = "NA") -> str:
        """Return the grant code of an AcceptGrant for a customer, who lives in a region."""
        self.regions[customer] = region
        code = secrets.token_urlsafe(8)
        self._codes[code] = customer
        return code

    def user_token(self, customer: str, client_id: str | None = None) -> str:
        """Return an access token as a directive carries it, given to this client (None: the one known here)."""
        token = "user." + secrets.token_urlsafe(8)
        self._access[token] = (customer, self.clock() + ACCESS_S)
        self._audience[token] = client_id or self._client[0]
        return token

    def revoke(self, customer: str) -> None:
        """The customer takes their consent back: no token of theirs works any more."""
        self._access = {token: entry for token, entry in self._access.items() if entry[0] != customer}
        self._refresh = {token: of for token, of in self._refresh.items() if of != customer}

    def expire(self, customer: str) -> None:
        """The customer's access tokens end now; refresh tokens go on."""
        for token, (of, _) in list(self._access.items()):
            if of == customer:
                self._access[token] = (of, self.clock())

    def customer_of(self, token: str) -> str | None:
        """Return whose valid access token it is, None if it is none."""
        customer, expires_s = self._access.get(token, ("", 0.0))
        return customer if expires_s > self.clock() else None

    def routes(self) -> list[Route]:
        return [
            Route("/auth/o2/token", self._token, methods=["POST"]),
            Route("/user/profile", self._profile, methods=["GET"]),
            Route("/auth/o2/tokeninfo", self._whose, methods=["GET"]),
        ]

    async def _token(self, request: Request) -> Response:
        if self.faults:
            fault = self.faults.popleft()
            await asyncio.sleep(fault.delay_s)
            if fault.status != 200:
                return _error(fault.status, fault.error)
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()}
        if (form.get("client_id"), form.get("client_secret")) != self._client:
            return _error(401, "invalid_client")
        kind = form.get("grant_type")
        if kind not in ("authorization_code", "refresh_token"):
            return _error(400, "unsupported_grant_type")
        known = self._codes if kind == "authorization_code" else self._refresh
        customer = known.pop(form.get("code" if kind == "authorization_code" else "refresh_token", ""), None)
        if customer is None:
            return _error(400, "invalid_grant")
        self.refreshes += kind == "refresh_token"
        access, refresh = "access." + secrets.token_urlsafe(8), "refresh." + secrets.token_urlsafe(8)
        self._access[access] = (customer, self.clock() + ACCESS_S)
        self._refresh[refresh] = customer
        return JSONResponse(
            {"access_token": access, "refresh_token": refresh, "token_type": "bearer", "expires_in": ACCESS_S}
        )

    async def _whose(self, request: Request) -> Response:
        """Whose token it is, and given to which client; Amazon's answer has `iss`, `exp`, `app_id` and `iat` too."""
        token = request.query_params.get("access_token", "")
        customer = self.customer_of(token)
        if customer is None:
            return _error(400, "invalid_token")
        return JSONResponse({"aud": self._audience.get(token, self._client[0]), "user_id": customer})

    async def _profile(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        customer = self.customer_of(token) if scheme.lower() == "bearer" else None
        if customer is None:
            return _error(401, "invalid_token")
        profile: dict[str, Any] = {"user_id": customer}
        return JSONResponse(profile)


def _error(status: int, error: str) -> Response:
    return JSONResponse({"error": error, "error_description": f"stand-in: {error}"}, status_code=status)
