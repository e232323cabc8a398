"""The stand-in itself: `Gateway` runs POST /v3/events on a loopback port in a thread of its own.

What it accepts it appends to events.jsonl as received, what it refuses to rejected.jsonl with the reason. A message id
that it has accepted before is answered with 202 again, and counted in `repeated`, not recorded.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import schema
from .lwa import Lwa

MAX_BYTES = 256 * 1024

# Every refusal of the event gateway, by status; the first of a status is its usual one.
CODES = {
    400: ("INVALID_REQUEST_EXCEPTION",),
    401: ("INVALID_ACCESS_TOKEN_EXCEPTION",),
    403: ("SKILL_DISABLED_EXCEPTION", "SKILL_NEVER_ENABLED_EXCEPTION", "INSUFFICIENT_PERMISSION_EXCEPTION"),
    404: ("SKILL_NOT_FOUND_EXCEPTION",),
    413: ("REQUEST_ENTITY_TOO_LARGE_EXCEPTION",),
    429: ("THROTTLING_EXCEPTION",),
    500: ("INTERNAL_SERVICE_EXCEPTION",),
    503: ("SERVICE_UNAVAILABLE_EXCEPTION",),
}


@dataclass(frozen=True)
class Fault:
    """One answer that is not the true one. With `after`, the event has been accepted and only the answer is wrong.

    `status` 0 closes the connection without an answer; `delay_s` comes before any answer; `drip_s` is between the
    bytes of its body, which then takes sixteen times as long.
    """

    status: int = 503
    code: str = ""
    delay_s: float = 0.0
    after: bool = False
    drip_s: float = 0.0


class Gateway:
    """`tokens` are those that it takes (add and remove while it runs); `folder` gets the two files, None: none.

    With `lwa` it takes that one's tokens too, and serves it; a customer of another region than `region`, or one who has
    disabled the skill, is refused as Amazon would.
    """

    def __init__(
        self,
        folder: Path | None = None,
        tokens: set[str] | None = None,
        port: int = 0,
        lwa: Lwa | None = None,
        region: str = "NA",
    ) -> None:
        self.tokens = tokens if tokens is not None else set()
        self.lwa = lwa
        self.region = region
        self.faults: deque[Fault | None] = deque()
        self.outage: Fault | None = None
        """What every request meets, while it lasts."""
        self.requests_per_s: float | None = None
        self.retry_after_s: int | None = None
        """What a 429 says of `Retry-After`."""
        self._life = 0  # grows with each forget()
        self.arrivals: deque[float] = deque(maxlen=100_000)
        """When each request came, by `monotonic`."""
        self.monotonic: Callable[[], float] = time.monotonic
        self.accepted: list[dict[str, Any]] = []
        self.rejected: list[dict[str, Any]] = []
        self.repeated = 0
        self._folder = folder
        self._port = port
        self._ids: set[str] = set()
        self._recent: deque[float] = deque()
        routes = [Route("/v3/events", self._events, methods=["POST"])]
        self.app = Starlette(routes=routes + (lwa.routes() if lwa is not None else []))

    def start(self) -> str:
        """Return the base URL it now answers at."""
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            for name in ("events.jsonl", "rejected.jsonl"):
                (self._folder / name).write_text("")
        self._socket = socket.create_server(("127.0.0.1", self._port))
        config = uvicorn.Config(self.app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="alexa-gateway", daemon=True
        )
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the stand-in gateway did not start")
            time.sleep(0.005)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        return self.url

    def stop(self) -> None:
        """Answer nothing more; returns when its thread has ended."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def forget(self) -> None:
        """Be as new: nothing accepted or refused yet, no fault ahead. What is still to be answered is not recorded."""
        self._life += 1
        for held in (self.faults, self.accepted, self.rejected, self._ids, self._recent, self.arrivals):
            held.clear()
        self.repeated, self.requests_per_s, self.retry_after_s, self.outage = 0, None, None, None
        self.monotonic = time.monotonic

    async def _events(self, request: Request) -> Response:
        body = await request.body()
        self.arrivals.append(self.monotonic())
        fault = self.faults.popleft() if self.faults else self.outage
        if fault is not None:
            life = self._life
            await asyncio.sleep(fault.delay_s)
            if life != self._life:
                return Response(status_code=503)
            if fault.drip_s and not fault.after:
                return _Drip(fault.status, fault.drip_s)
            if not fault.after:
                if fault.status != 202:
                    return self._refuse(body, fault.status, "as told to", fault.code)
                fault = None
        if self._throttled():
            return self._refuse(body, 429, f"more than {self.requests_per_s} requests a second")
        refusal = self._judge(request, body)
        if refusal is not None:
            return refusal
        message = json.loads(body)
        if message["event"]["header"]["messageId"] in self._ids:
            self.repeated += 1
        else:
            self._ids.add(message["event"]["header"]["messageId"])
            self.accepted.append(message)
            self._append("events.jsonl", message)
        if fault is None:
            return Response(status_code=202)
        if fault.drip_s:
            return _Drip(fault.status, fault.drip_s)
        return self._refusal(fault.status, "after all", fault.code)

    def _judge(self, request: Request, body: bytes) -> Response | None:
        if len(body) > MAX_BYTES:
            return self._refuse(body, 413, f"more than {MAX_BYTES} bytes")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        customer = self.lwa.customer_of(token) if self.lwa is not None else None
        if scheme != "Bearer" or (token not in self.tokens and customer is None):
            return self._refuse(body, 401, "the Authorization header has no valid bearer token")
        try:
            message = json.loads(body)
        except ValueError as error:
            return self._refuse(body, 400, f"not JSON: {error}")
        wrong = schema.fault(message)
        if wrong is not None:
            return self._refuse(body, 400, wrong)
        event = message["event"]
        scope = event["endpoint"]["scope"] if "endpoint" in event else event["payload"]["scope"]
        if scope["token"] != token:
            return self._refuse(body, 401, "the token in the body is not that of the header")
        if self.lwa is not None and customer is not None:
            if customer in self.lwa.disabled:
                return self._refuse(body, 403, "the customer has disabled the skill", "SKILL_DISABLED_EXCEPTION")
            if self.lwa.regions.get(customer, self.region) != self.region:
                return self._refuse(body, 403, "never enabled in this region", "SKILL_NEVER_ENABLED_EXCEPTION")
        return None

    def _throttled(self) -> bool:
        if self.requests_per_s is None:
            return False
        now = self.monotonic()
        while self._recent and now - self._recent[0] >= 1:
            self._recent.popleft()
        if len(self._recent) >= self.requests_per_s:
            return True
        self._recent.append(now)
        return False

    def _refuse(self, body: bytes, status: int, reason: str, code: str = "") -> Response:
        entry = {"status": status, "reason": reason, "body": body[:4096].decode("utf-8", "replace")}
        self.rejected.append(entry)
        self._append("rejected.jsonl", entry)
        return self._refusal(status, reason, code)

    def _refusal(self, status: int, reason: str, code: str = "") -> Response:
        if status == 0:
            return _Hangup()
        code = code or CODES.get(status, ("",))[0]
        header = {"namespace": "System", "name": "Exception", "messageId": str(uuid.uuid4())}
        envelope = {"header": header, "payload": {"code": code, "description": reason}}
        headers = {"retry-after": str(self.retry_after_s)} if status == 429 and self.retry_after_s is not None else {}
        return JSONResponse(envelope, status, headers) if code else Response(status_code=status, headers=headers)

    def _append(self, name: str, entry: Any) -> None:
        if self._folder is not None:
            with (self._folder / name).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")


class _Drip(Response):
    """An answer whose sixteen bytes come one by one."""

    def __init__(self, status: int, drip_s: float) -> None:
        super().__init__(status_code=status)
        self._drip_s = drip_s

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"16")]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        for left in reversed(range(16)):
            await asyncio.sleep(self._drip_s)
            await send({"type": "http.response.body", "body": b" ", "more_body": left > 0})


class _Hangup(Response):
    """No answer: the connection is closed."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"1")]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
