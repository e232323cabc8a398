"""The pages: which address shows what, to whom. Readers look; operators also act, by forms on a device's page."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

import jinja2
from markupsafe import Markup
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from tools.relay.core import names, wire
from tools.relay.metrics import exposition
from tools.relay.pages import access, chart
from tools.relay.pages.access import Access
from tools.relay.pages.actions import LABELS, MAX_REASON, ActionRefused, Actions
from tools.relay.pages.api import Api, problem
from tools.relay.pages.body import body_of
from tools.relay.pages.guesses import TooManyGuesses
from tools.relay.pages.view import FILTERS, SORTS, View
from tools.relay.settings import Clock

MAX_FORM_BYTES = 4096
_PAGES = Path(__file__).parent / "templates"


class Site:
    """Answers each address; who asks is in `request.state.person`."""

    def __init__(self, view: View, access: Access, actions: Actions, clock: Clock) -> None:
        self.view = view
        self.clock = clock
        self._access = access
        self._actions = actions
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_PAGES), autoescape=True, undefined=jinja2.StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._templates.globals.update(
            when=_when, ago=self._ago, hours=chart.hours, day=chart.day, reason=names.link_reason,
            explained=names.explained, labels=LABELS, max_reason=MAX_REASON,
        )  # fmt: skip

    def routes(self) -> list[BaseRoute]:
        api = Api(self.view)
        return [
            Route("/", self._guard(self._fleet)),
            Route("/device/{device}", self._guard(self._device)),
            Route("/device/{device}/act", self._act, methods=["POST"]),
            Route("/aside", self._guard(self._aside)),
            Route("/audit", self._guard(self._audit)),
            Route("/metrics", self._guard(self._metrics)),
            Route("/api/fleet", self._guard(api.fleet)),
            Route("/api/fleet.csv", self._guard(api.table)),
            Route("/api/devices", self._guard(api.devices)),
            Route("/api/devices/{device}", self._guard(api.device)),
            Route("/api/openapi.json", self._guard(api.description)),
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Mount("/static", StaticFiles(directory=_PAGES / "static")),
        ]

    # ---- who may look

    def _guard(self, page: Any) -> Any:
        async def guarded(request: Request) -> Response:
            for_programs = request.url.path.startswith("/api/")
            request.state.person = self._access.who(request)
            if request.state.person is None:
                if for_programs:
                    return problem(401, "a bearer token is needed", {"www-authenticate": "Bearer"})
                if request.url.path == "/metrics":
                    return Response("a bearer token is needed\n", 401, {"www-authenticate": "Bearer"})
                path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return RedirectResponse(f"/login?next={quote(path)}", 303)
            try:
                return await run_in_threadpool(page, request)
            except SQLAlchemyError:
                text = "the relay's database does not answer"
                return problem(503, text) if for_programs else Response(f"{text}\n", 503, media_type="text/plain")

        return guarded

    async def too_many_guesses(self, request: Request, error: TooManyGuesses) -> Response:
        headers = {"retry-after": str(math.ceil(error.after_s))}
        if request.url.path.startswith("/api/"):
            return problem(429, str(error), headers)
        return Response(f"{error}\n", 429, headers, "text/plain")

    async def _login(self, request: Request) -> Response:
        following, wrong = request.query_params.get("next", "/"), False
        if request.method == "POST":
            form = await _form(request)
            following = form.get("next", "/")
            person = self._access.by_token(form.get("token", ""), request)
            if person is not None:
                answer = RedirectResponse(_inside(following), 303)
                self._access.remember(answer, person, secure=request.url.scheme == "https")
                return answer
            wrong = True
        return self._render(request, "login.html", 401 if wrong else 200, next=_inside(following), wrong=wrong)

    async def _logout(self, request: Request) -> Response:
        answer = RedirectResponse("/login", 303)
        access.forget(answer)
        return answer

    # ---- what an operator does

    async def _act(self, request: Request) -> Response:
        device = request.path_params["device"]
        person = self._access.who(request)
        form = await _form(request)
        if person is None or not self._access.is_ours(request, person, form.get("mark", "")):
            return Response("sign in, and use the form on the device's page\n", 403)
        action, reason, number = form.get("action", ""), form.get("reason", ""), form.get("number", "")
        try:
            await run_in_threadpool(self._actions.do, person, action, device, reason, number)
        except ActionRefused as error:
            return Response(f"{error}\n", 403 if not person.may_act else 400)
        except SQLAlchemyError:
            return Response("the relay's database does not answer\n", 503)
        return RedirectResponse(f"/device/{quote(device)}#done", 303)

    # ---- what there is to see

    def _fleet(self, request: Request) -> Response:
        search = request.query_params.get("q", "").strip()[:128].replace("\x00", "")
        only, sort = request.query_params.get("only", "all"), request.query_params.get("sort", "device")
        only, sort = only if only in FILTERS else "all", sort if sort in SORTS else "device"
        page = _page(request)
        units, more = self.view.fleet(search, only, page, sort)
        asked = {"q": search, "only": only, "sort": sort}
        asked = {name: value for name, value in asked.items() if value not in ("", "all", "device")}
        query = f"{urlencode(asked)}&" if asked else ""
        return self._render(
            request, "fleet.html", here="fleet", sum=self.view.summary(), units=units, more=more, page=page,
            search=search, only=only, filters=FILTERS, sort=sort, sorts=SORTS, query=query,
        )  # fmt: skip

    def _device(self, request: Request) -> Response:
        found = self.view.device(request.path_params["device"].replace("\x00", ""))
        if found is None:
            return Response("no such device has been heard of\n", 404, media_type="text/plain")
        person = request.state.person
        parts = [
            (part, chart.curve(part.points, part.rated_s, part.rate_s, self.clock()))
            for part in found["unit"].parts.values()
        ]
        box = {"left": chart.LEFT, "right": chart.RIGHT, "top": chart.TOP, "bottom": chart.BOTTOM}
        kinds = {wire.REPORT: "report", wire.REPLACEMENT: "replacement", wire.FAULT: "fault", wire.ANSWER: "answer"}
        return self._render(
            request, "device.html", here="device", parts=parts, width=chart.WIDTH, height=chart.HEIGHT, box=box,
            results=wire.RESULTS, kinds=kinds, mark=self._access.form_mark(request, person), **found,
        )  # fmt: skip

    def _aside(self, request: Request) -> Response:
        page = _page(request)
        rows, more = self.view.asides(page)
        counts = self.view.summary().counts
        refused = {name.removeprefix("refused: "): count for name, count in counts.items() if name[:8] == "refused:"}
        return self._render(request, "aside.html", here="aside", rows=rows, more=more, page=page, refused=refused)

    def _audit(self, request: Request) -> Response:
        page = _page(request)
        rows, more = self.view.done(page)
        return self._render(request, "audit.html", here="audit", rows=rows, more=more, page=page)

    def _metrics(self, request: Request) -> Response:
        return Response(exposition(self.view), media_type=CONTENT_TYPE_LATEST)

    def _render(self, request: Request, template: str, status: int = 200, **content: Any) -> Response:
        person = getattr(request.state, "person", None)
        text = self._templates.get_template(template).render(now_s=self.clock(), person=person, **content)
        return Response(text, status, media_type="text/html")

    def _ago(self, utc_s: float) -> Markup:
        passed = max(0, int(self.clock() - utc_s))
        size, unit = next((pair for pair in ((86400, "d"), (3600, "h"), (60, "min")) if passed >= pair[0]), (1, "s"))
        return _time(utc_s, f"{passed // size} {unit} ago")


async def _form(request: Request) -> dict[str, str]:
    fields = parse_qs((await body_of(request, MAX_FORM_BYTES)).decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}


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
