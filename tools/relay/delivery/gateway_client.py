"""The way to Alexa's event gateway: one POST, and its answer as a code. Only 202 is success.

aiohttp and not httpx: with 200 requests on their way to a server that takes 100 ms, httpx
0.28 sent 67 a second over HTTP/1.1 and 335 to 458 over HTTP/2 (httpx2 2.16: 418 and 553), aiohttp over HTTP/1.1 1,633.
"""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import json
import ssl
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import aiohttp
import certifi

REGIONS = {
    "NA": "https://api.amazonalexa.com",
    "EU": "https://api.eu.amazonalexa.com",
    "FE": "https://api.fe.amazonalexa.com",
}
MAX_ANSWER_BYTES = 16384
MAX_RETRY_AFTER_S = 3600.0


@cache
def tls() -> ssl.SSLContext:
    """The trusted authorities: reading them takes 30 ms, so it is done once."""
    return ssl.create_default_context(cafile=certifi.where())


class Unreachable(Exception):
    """The gateway gave no answer; whether it took the event is not known."""


@dataclass(frozen=True)
class Answer:
    """The status, code and description of the error envelope ('' where there is none), and `Retry-After` in seconds."""

    status: int
    code: str = ""
    description: str = ""
    retry_after_s: float = 0.0

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.status), self.code, self.description) if part)


class GatewayClient:
    """Posts events over `connections` to each host.

    `deadline_s` bounds the whole of a request, however slowly its answer drips.
    """

    def __init__(self, connections: int, deadline_s: float) -> None:
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=connections, ssl=tls(), ttl_dns_cache=60)
        timeout = aiohttp.ClientTimeout(total=deadline_s)
        self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    async def post(self, base_url: str, token: str, message: dict[str, Any]) -> Answer:
        """Send a message. Raises Unreachable."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        url = base_url.rstrip("/") + "/v3/events"
        try:
            async with self._http.post(
                url, data=json.dumps(message).encode(), headers=headers, allow_redirects=False
            ) as response:
                body = b""
                while response.status != 202 and len(body) < MAX_ANSWER_BYTES:
                    more = await response.content.readany()
                    body += more
                    if not more:
                        break
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}".replace(token, "…")) from error
        after_s = _retry_after_s(response.headers.get("Retry-After", ""))
        try:
            payload = json.loads(body)["payload"]
            description = str(payload["description"]).replace(token, "…")  # it is logged and shown
            return Answer(response.status, str(payload["code"])[:64], description[:256], after_s)
        except (ValueError, KeyError, TypeError, RecursionError):
            return Answer(response.status, retry_after_s=after_s)

    async def close(self) -> None:
        await self._http.close()


def _retry_after_s(value: str) -> float:
    """Return the seconds of a Retry-After, a number or a date; 0 for none or nonsense, an hour at most."""
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return min(max(0.0, moment.timestamp() - time.time()), MAX_RETRY_AFTER_S)
