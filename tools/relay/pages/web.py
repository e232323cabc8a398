"""The relay over HTTP: POST /skill answers directives as the deployed function does; pages and metrics show its store.

The pages need the token: as a bearer header, or once in the form, which answers with a cookie that is good for a day.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import hmac
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

import jinja2
import uvicorn
from markupsafe import Markup
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tools.relay.accounts.skill import Skill
from tools.relay.core import wire
from tools.relay.metrics import exposition
from tools.relay.pages import chart, names
from tools.relay.pages.view import FILTERS, View
from tools.relay.settings import Clock
from tools.relay.store.store import Store

MAX_DIRECTIVE_BYTES = 65536
MAX_FORM_BYTES = 4096
MIN_TOKEN = 16
COOKIE = "wearmeter"
SESSION_S = 86400
WRONG_PAUSE_S = 0.5
_PAGES = Path(__file__).parent / "templates"
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
        body = await request.body()
        try:
            directive = json.loads(body) if len(body) <= MAX_DIRECTIVE_BYTES else None
        except ValueError:
            directive = None
        if not isinstance(directive, dict):
            return JSONResponse({"error": "not a directive"}, status_code=400)
        return JSONResponse(await run_in_threadpool(skill.handler, directive))

    return Starlette(routes=[Route("/skill", answer, methods=["POST"])])


def pages(view: View, token: str, clock: Clock) -> Starlette:
    """Return the ASGI application of the read-only pages. Raises ValueError for a token that could be guessed."""
    if len(token) < MIN_TOKEN:
        raise ValueError(f"the pages need a token of at least {MIN_TOKEN} characters: --web-token or RELAY_WEB_TOKEN")
    return _Pages(view, token, clock).app


class _Pages:
    def __init__(self, view: View, token: str, clock: Clock) -> None:
        self.view = view
        self.clock = clock
        self._token = token.encode()
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_PAGES), autoescape=True, undefined=jinja2.StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._templates.globals.update(
            when=_when, ago=self._ago, hours=chart.hours, day=chart.day, reason=names.link_reason
        )
        routes = [
            Route("/", self._guard(self._fleet)),
            Route("/device/{device}", self._guard(self._device)),
            Route("/aside", self._guard(self._aside)),
            Route("/metrics", self._guard(self._metrics)),
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Mount("/static", StaticFiles(directory=_PAGES / "static")),
        ]
        self.app = Starlette(routes=routes, middleware=[Middleware(_Headers)])

    # ---- who may look

    def _guard(self, page: Any) -> Any:
        async def guarded(request: Request) -> Response:
            if not self._may(request):
                if request.url.path == "/metrics":
                    return Response("a bearer token is needed\n", 401, {"www-authenticate": "Bearer"})
                path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return RedirectResponse(f"/login?next={quote(path)}", 303)
            try:
                return await run_in_threadpool(page, request)
            except SQLAlchemyError:
                return Response("the relay's database does not answer\n", 503, media_type="text/plain")

        return guarded

    def _may(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(given.encode(), self._token)
        until, _, mark = request.cookies.get(COOKIE, "").partition(".")
        if not hmac.compare_digest(mark.encode(), self._mark(until).encode()):
            return False
        return time.time() < int(until)

    def _mark(self, until: str) -> str:
        return hmac.new(self._token, f"pages until {until}".encode(), hashlib.sha256).hexdigest()

    async def _login(self, request: Request) -> Response:
        following, wrong = request.query_params.get("next", "/"), False
        if request.method == "POST":
            if int(request.headers.get("content-length") or MAX_FORM_BYTES + 1) > MAX_FORM_BYTES:
                return Response("too long\n", 413)
            form = parse_qs((await request.body()).decode("utf-8", "replace"))
            following = form.get("next", ["/"])[0]
            if hmac.compare_digest(form.get("token", [""])[0].encode("utf-8", "replace"), self._token):
                until = str(int(time.time()) + SESSION_S)
                answer = RedirectResponse(_inside(following), 303)
                answer.set_cookie(
                    COOKIE, f"{until}.{self._mark(until)}", max_age=SESSION_S, httponly=True, samesite="strict",
                    secure=request.url.scheme == "https",
                )  # fmt: skip
                return answer
            wrong = True
            await asyncio.sleep(WRONG_PAUSE_S)
        return self._render("login.html", 401 if wrong else 200, next=_inside(following), wrong=wrong)

    async def _logout(self, request: Request) -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    # ---- what there is to see

    def _fleet(self, request: Request) -> Response:
        search = request.query_params.get("q", "").strip()[:128].replace("\x00", "")
        only = request.query_params.get("only", "all")
        only = only if only in FILTERS else "all"
        page = _page(request)
        units, more = self.view.fleet(search, only, page)
        chosen = {"q": search, "only": only} if search or only != "all" else {}
        return self._render(
            "fleet.html", here="fleet", sum=self.view.summary(), units=units, more=more, page=page, search=search,
            only=only, filters=FILTERS, query=urlencode(chosen) + "&" if chosen else "",
        )  # fmt: skip

    def _device(self, request: Request) -> Response:
        found = self.view.device(request.path_params["device"].replace("\x00", ""))
        if found is None:
            return Response("no such device has been heard of\n", 404, media_type="text/plain")
        parts = [
            (part, chart.curve(part.points, part.rated_s, part.rate_s, self.clock()))
            for part in found["unit"].parts.values()
        ]
        box = {"left": chart.LEFT, "right": chart.RIGHT, "top": chart.TOP, "bottom": chart.BOTTOM}
        kinds = {wire.REPORT: "report", wire.REPLACEMENT: "replacement", wire.FAULT: "fault", wire.ANSWER: "answer"}
        return self._render(
            "device.html", here="device", parts=parts, width=chart.WIDTH, height=chart.HEIGHT, box=box,
            results=wire.RESULTS, kinds=kinds, **found,
        )  # fmt: skip

    def _aside(self, request: Request) -> Response:
        page = _page(request)
        rows, more = self.view.asides(page)
        counts = self.view.summary().counts
        refused = {name.removeprefix("refused: "): count for name, count in counts.items() if name[:8] == "refused:"}
        return self._render("aside.html", here="aside", rows=rows, more=more, page=page, refused=refused)

    def _metrics(self, request: Request) -> Response:
        return Response(exposition(self.view), media_type=CONTENT_TYPE_LATEST)

    def _render(self, template: str, status: int = 200, **content: Any) -> Response:
        text = self._templates.get_template(template).render(now_s=self.clock(), **content)
        return Response(text, status, media_type="text/html")

    def _ago(self, utc_s: float) -> Markup:
        passed = max(0, int(self.clock() - utc_s))
        size, unit = next((pair for pair in ((86400, "d"), (3600, "h"), (60, "min")) if passed >= pair[0]), (1, "s"))
        return _time(utc_s, f"{passed // size} {unit} ago")


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


class Server:
    """Serves an application at HOST:PORT in a thread. Raises ValueError where it cannot listen there."""

    def __init__(self, app: Starlette, address: str, view: View | None = None) -> None:
        self._view = view
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{address!r} is not HOST:PORT")
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host.strip("[]"), int(port)), family=family)
        except OSError as error:
            raise ValueError(f"the pages cannot be served at {address}: {error.strerror or error}") from error
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", server_header=False, limit_concurrency=64,
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="relay-web", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer nothing more; returns when the thread has ended."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()
        if self._view is not None:
            self._view.close()


def serve_pages(store: Store, address: str, token: str | None, clock: Clock) -> Server:
    """Serve the pages of a store; the server is started. Raises ValueError."""
    view = View(store, clock)
    server = Server(pages(view, token or "", clock), address, view)
    server.start()
    return server


def _page(request: Request) -> int:
    text = request.query_params.get("page", "0")
    return int(text) if text.isdecimal() and len(text) < 7 else 0


def _inside(path: str) -> str:
    """Where to go after the form: a path of ours, whatever a link into the form said."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"


def _when(utc_s: float) -> Markup:
    return _time(utc_s, datetime.datetime.fromtimestamp(utc_s, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"))


def _time(utc_s: float, text: str) -> Markup:
    iso = datetime.datetime.fromtimestamp(utc_s, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso, iso, text)
