"""Login with Amazon: codes and refresh tokens for access tokens, and whose an access token is."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import aiohttp

from tools.relay.delivery.gateway_client import tls
from tools.relay.settings import Settings

PASSING = ("server_error", "temporarily_unavailable")  # of OAuth's errors


class LwaRefused(Exception):
    """A definite no; `code` is OAuth's, `invalid_grant` for a code or token that is used up or revoked."""

    def __init__(self, code: str, description: str = "") -> None:
        super().__init__(f"{code} {description}".strip())
        self.code = code


class LwaUnreachable(Exception):
    """No answer in time, or one that means try again later."""


@dataclass(frozen=True)
class Tokens:
    """An access token, for so many seconds from now, and the refresh token for the next; never printed."""

    access: str
    refresh: str
    expires_in_s: float

    def __repr__(self) -> str:
        return "Tokens(...)"


class LwaClient:
    """Speaks to `settings.lwa` as the skill's client. Every call raises LwaRefused or LwaUnreachable, and ends in
    `settings.deadline_s`, however slowly the answer comes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def exchange(self, code: str) -> Tokens:
        """Return the tokens for the code of an AcceptGrant."""
        return await self._tokens({"grant_type": "authorization_code", "code": code})

    async def refresh(self, refresh_token: str) -> Tokens:
        """Return new tokens; the answer's refresh token takes the place of the old one."""
        return await self._tokens({"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def customer_of(self, access_token: str) -> str:
        """Return who the token of a directive belongs to, once it is sure that it was given to this skill: a token that
        the same customer gave to somebody else's skill names them as well."""
        if not re.fullmatch(r"[!-~]+", access_token):
            raise LwaRefused("invalid_token", "not a text that a request can carry")
        fields = await self._ask("GET", "/auth/o2/tokeninfo", params={"access_token": access_token})
        try:
            audience, customer = str(fields["aud"]), str(fields["user_id"])
        except (KeyError, TypeError) as error:
            raise LwaUnreachable("an answer without audience or user_id") from error
        if audience != self._settings.lwa_client_id:
            raise LwaRefused("invalid_token", "given to another client")
        return customer

    async def _tokens(self, form: dict[str, str]) -> Tokens:
        client = {
            "client_id": self._settings.lwa_client_id or "",
            "client_secret": self._settings.lwa_client_secret or "",
        }
        fields = await self._ask("POST", "/auth/o2/token", data=form | client)
        try:
            return Tokens(str(fields["access_token"]), str(fields["refresh_token"]), float(fields["expires_in"]))
        except (ValueError, KeyError, TypeError) as error:
            raise LwaUnreachable("an answer without tokens") from error

    async def _ask(self, method: str, path: str, **more: Any) -> Any:
        """Return the fields of a 200."""
        url, timeout = self._settings.lwa.rstrip("/") + path, aiohttp.ClientTimeout(total=self._settings.deadline_s)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, url, ssl=tls(), allow_redirects=False, **more) as response,
            ):
                fields = await response.json(content_type=None)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise LwaUnreachable(type(error).__name__) from error
        except (ValueError, RecursionError):
            fields = None
        if response.status == 200:
            return fields
        code = str(fields.get("error", "")) if isinstance(fields, dict) else ""
        if response.status >= 500 or response.status == 429 or code in PASSING:
            raise LwaUnreachable(code or str(response.status))
        description = str(fields.get("error_description", "")) if isinstance(fields, dict) else ""
        raise LwaRefused(code[:64] or f"http_{response.status}", description[:256])
