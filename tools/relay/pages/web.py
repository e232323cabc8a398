"""The relay over HTTP: POST /skill answers directives as the deployed function does; the pages, and its health."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tools.relay.accounts.skill import Skill
from tools.relay.pages.access import Access
from tools.relay.pages.actions import Actions
from tools.relay.pages.body import body_of
from tools.relay.pages.guesses import TooManyGuesses
from tools.relay.pages.server import Server
from tools.relay.pages.site import Site
from tools.relay.pages.view import View
from tools.relay.settings import Clock, Settings
from tools.relay.store.store import Store
from tools.relay.supervisor import Health

MAX_DIRECTIVE_BYTES = 65536
_HEADERS = {
    b"content-security-policy": b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    b"img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}


def application(skill: Skill) -> Starlette:
    """Return the ASGI application of the skill."""

    async def answer(request: Request) -> Response:
        body = await body_of(request, MAX_DIRECTIVE_BYTES)
        try:
            directive = json.loads(body)
        except (ValueError, RecursionError):  # no JSON, or brackets in brackets in brackets
            directive = None
        if not isinstance(directive, dict):
            return JSONResponse({"error": "not a directive"}, status_code=400)
        return JSONResponse(await run_in_threadpool(skill.handler, directive))

    return Starlette(routes=[Route("/skill", answer, methods=["POST"])])


class _Headers:
    """Each answer forbids whatever a page of ours does not need."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS.items()]
            await send(message)

        await self.app(scope, receive, sending)


def health_routes(health: Callable[[], Health]) -> list[Route]:
    """Return /healthz, 503 for a relay to be started again, and /readyz, 503 while it can take nothing; for anyone."""

    async def live(request: Request) -> Response:
        found = health()
        return JSONResponse({"live": found.live, "reasons": found.reasons}, 200 if found.live else 503)

    async def ready(request: Request) -> Response:
        found = health()
        return JSONResponse({"ready": found.ready, "reasons": found.reasons}, 200 if found.ready else 503)

    return [Route("/healthz", live), Route("/readyz", ready)]


def serve_pages(store: Store, settings: Settings, clock: Clock, health: Callable[[], Health]) -> Server:
    """Serve the pages of a store and a relay's health at `settings.web`; the server is started. Raises ValueError."""
    assert settings.web is not None
    view = View(store, clock)
    app = pages(view, settings.web_token or "", clock, store, settings.operators)
    app.router.routes[:0] = health_routes(health)
    server = Server(app, settings.web, view)
    server.start()
    return server


def pages(view: View, token: str, clock: Clock, store: Store, operators: str | None = None) -> Starlette:
    """Return the ASGI application of the pages. Raises ValueError for a token that could be guessed."""
    site = Site(view, Access(token, operators), Actions(store), clock)
    refused: Any = site.too_many_guesses
    return Starlette(
        routes=site.routes(), middleware=[Middleware(_Headers)], exception_handlers={TooManyGuesses: refused}
    )
