"""The way to Alexa's event gateway: one POST, and its answer as a code. Only 202 is success."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx

REGIONS = {
    "NA": "https://api.amazonalexa.com",
    "EU": "https://api.eu.amazonalexa.com",
    "FE": "https://api.fe.amazonalexa.com",
}


@cache
def tls() -> ssl.SSLContext:
    """The machine's trusted authorities: reading them takes 30 ms, so it is done once."""
    return httpx.create_ssl_context()


class Unreachable(Exception):
    """The gateway gave no answer; whether it took the event is not known."""


@dataclass(frozen=True)
class Answer:
    """The status, and code and description of the error envelope ('' where there is none)."""

    status: int
    code: str = ""
    description: str = ""

    @property
    def accepted(self) -> bool:
        return self.status == 202

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.status), self.code, self.description) if part)


class GatewayClient:
    """Posts events; may be used from several threads."""

    def __init__(self, timeout_s: float = 10.0) -> None:
        self._http = httpx.Client(timeout=timeout_s, verify=tls())

    def post(self, base_url: str, token: str, message: dict[str, Any]) -> Answer:
        """Send a message. Raises Unreachable."""
        try:
            response = self._http.post(
                base_url.rstrip("/") + "/v3/events", json=message, headers={"Authorization": f"Bearer {token}"}
            )
        except httpx.HTTPError as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        try:
            payload = response.json()["payload"]
            description = str(payload["description"]).replace(token, "…")  # it is logged and shown
            return Answer(response.status_code, str(payload["code"])[:64], description[:256])
        except (ValueError, KeyError, TypeError):
            return Answer(response.status_code)

    def close(self) -> None:
        self._http.close()
