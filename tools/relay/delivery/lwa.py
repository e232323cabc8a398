"""Login with Amazon: codes and refresh tokens for access tokens, and whose an access token is."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx

from tools.relay.delivery.gateway_client import tls
from tools.relay.settings import Settings


class LwaRefused(Exception):
    """A definite no; `code` is OAuth's, `invalid_grant` for a code or token that is used up or revoked."""

    def __init__(self, code: str, description: str = "") -> None:
        super().__init__(f"{code} {description}".strip())
        self.code = code


class LwaUnreachable(Exception):
    """No answer, or one that means try again later."""


@dataclass(frozen=True)
class Tokens:
    """An access token, for so many seconds from now, and the refresh token for the next; never printed."""

    access: str
    refresh: str
    expires_in_s: float

    def __repr__(self) -> str:
        return "Tokens(...)"


class LwaClient:
    """Speaks to `settings.lwa` as the skill's client. Every call raises LwaRefused or LwaUnreachable."""

    def __init__(self, settings: Settings, timeout_s: float = 10.0) -> None:
        self._settings = settings
        self._http = httpx.Client(base_url=settings.lwa, timeout=timeout_s, verify=tls())

    def exchange(self, code: str) -> Tokens:
        """Return the tokens for the code of an AcceptGrant."""
        return self._token({"grant_type": "authorization_code", "code": code})

    def refresh(self, refresh_token: str) -> Tokens:
        """Return new tokens; the answer's refresh token takes the place of the old one."""
        return self._token({"grant_type": "refresh_token", "refresh_token": refresh_token})

    def customer_of(self, access_token: str) -> str:
        """Return who the token, from a directive's scope or grantee, belongs to."""
        if not re.fullmatch(r"[!-~]+", access_token):
            raise LwaRefused("invalid_token", "not a text that a header can carry")
        response = self._send("GET", "/user/profile", headers={"Authorization": f"Bearer {access_token}"})
        try:
            return str(response.json()["user_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise LwaUnreachable("the profile has no user_id") from error

    def close(self) -> None:
        self._http.close()

    def _token(self, form: dict[str, str]) -> Tokens:
        client = {
            "client_id": self._settings.lwa_client_id or "",
            "client_secret": self._settings.lwa_client_secret or "",
        }
        response = self._send("POST", "/auth/o2/token", data=form | client)
        try:
            fields = response.json()
            return Tokens(str(fields["access_token"]), str(fields["refresh_token"]), float(fields["expires_in"]))
        except (ValueError, KeyError, TypeError) as error:
            raise LwaUnreachable("an answer without tokens") from error

    def _send(self, method: str, path: str, **more: object) -> httpx.Response:
        try:
            response = self._http.request(method, path, **more)  # type: ignore[arg-type]
        except httpx.HTTPError as error:
            raise LwaUnreachable(f"{type(error).__name__}") from error
        if response.status_code == 200:
            return response
        if response.status_code >= 500 or response.status_code == 429:
            raise LwaUnreachable(str(response.status_code))
        try:
            fields = response.json()
            raise LwaRefused(str(fields["error"])[:64], str(fields.get("error_description", ""))[:256])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LwaRefused(f"http_{response.status_code}") from error
