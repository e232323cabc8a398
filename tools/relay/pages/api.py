"""The fleet for programs: read-only JSON at /api, the same devices as CSV, and their description in OpenAPI 3.1."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tools.relay.core.wire import DEVICE_ID
from tools.relay.pages.units import State, Summary, Unit
from tools.relay.pages.view import DUE_PERMILLE, FILTERS, SORTS, View

SEARCH = "[^\\x00]{0,128}"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # no number here is below zero
_COLUMNS = (
    "device", "name", "model", "serial", "firmware", "state", "last_seen_utc_s", "most_worn", "wear_percent", "due",
    "faults", "waiting", "dead", "aside",
)  # fmt: skip


class Question(BaseModel):
    """Which devices."""

    model_config = ConfigDict(extra="forbid")
    q: Annotated[str, Field(max_length=128, pattern=f"^{SEARCH}$")] = ""
    only: Literal[tuple(FILTERS)] = "all"  # type: ignore[valid-type]
    sort: Literal[tuple(SORTS)] = "device"  # type: ignore[valid-type]
    page: Annotated[int, Field(ge=0, le=999_999)] = 0


class PartNow(BaseModel):
    """A part as it is fitted now. `used_permille` is of its rated life, null where that is not known."""

    id: int
    instance: str
    name: str
    generation: int
    used_s: int
    rated_s: int
    used_permille: int | None
    alexa_knows_s: int | None


class DeviceNow(BaseModel):
    """A device. `silent` has not been heard of for two days, whether or not its connection stands."""

    device: str
    name: str | None
    model: str | None
    serial: str | None
    firmware: str
    test: bool
    state: State
    last_seen_utc_s: int
    faults: list[str]
    parts: list[PartNow]
    waiting: int
    dead: int
    aside: int

    @classmethod
    def of(cls, unit: Unit) -> DeviceNow:
        row, about = unit.row, unit.about
        model, serial = (about.model, about.serial) if about else (None, None)
        return cls(
            device=row.device, name=row.name, model=model, serial=serial,
            firmware=row.firmware, test=row.test, state=unit.state, last_seen_utc_s=row.last_seen_s, faults=unit.faults,
            parts=[
                PartNow(
                    id=part.id, instance=part.instance, name=part.name, generation=part.generation, used_s=part.used_s,
                    rated_s=part.rated_s, alexa_knows_s=part.gateway_s,
                    used_permille=part.used_s * 1000 // part.rated_s if part.known and part.rated_s else None,
                )
                for part in unit.parts.values()
            ],
            waiting=unit.queued, dead=unit.dead, aside=unit.aside,
        )  # fmt: skip


class DevicePage(BaseModel):
    """At most 50 devices, and whether another page follows."""

    devices: list[DeviceNow]
    page: int
    more: bool


class FleetNow(BaseModel):
    """The whole fleet in numbers; `faults` counts the devices that tell of each."""

    devices: int
    online: int
    silent: int
    faulty: int
    due: int
    waiting: int
    dead: int
    oldest_waiting_s: float
    aside: int
    faults: dict[str, int]

    @classmethod
    def of(cls, found: Summary) -> FleetNow:
        return cls(
            devices=found.devices, online=found.online, silent=found.silent, faulty=found.faulty, due=found.due,
            waiting=found.queue["queued"], dead=found.queue["dead"], oldest_waiting_s=found.oldest_queued_s,
            aside=found.aside, faults=found.faults,
        )  # fmt: skip


class Problem(BaseModel):
    """Why there is no answer."""

    error: str


class Api:
    """The endpoints; each is called in a thread, by somebody who may look."""

    def __init__(self, view: View) -> None:
        self.view = view

    def fleet(self, request: Request) -> Response:
        if request.query_params:
            return problem(400, "this has no parameters")
        return JSONResponse(FleetNow.of(self.view.summary()).model_dump())

    def devices(self, request: Request) -> Response:
        asked = question(request)
        if isinstance(asked, Response):
            return asked
        units, more = self.view.fleet(asked.q, asked.only, asked.page, asked.sort)
        found = DevicePage(devices=[DeviceNow.of(unit) for unit in units], page=asked.page, more=more)
        return JSONResponse(found.model_dump())

    def device(self, request: Request) -> Response:
        if request.query_params:
            return problem(400, "this has no parameters")
        name = request.path_params["device"]
        found = self.view.device(name) if DEVICE_ID.fullmatch(name) else None
        return JSONResponse(DeviceNow.of(found["unit"]).model_dump()) if found else problem(404, "no such device")

    def table(self, request: Request) -> Response:
        asked = question(request, paged=False)
        if isinstance(asked, Response):
            return asked
        rows = table(self.view.everything(asked.q, asked.only, asked.sort))
        disposition = {"content-disposition": 'attachment; filename="fleet.csv"'}
        return StreamingResponse(rows, media_type="text/csv", headers=disposition)

    def description(self, request: Request) -> Response:
        return JSONResponse(openapi())


def question(request: Request, paged: bool = True) -> Question | Response:
    """Return what is asked, or the answer to a question that makes no sense."""
    given = request.query_params.multi_items()
    if len({name for name, _ in given}) < len(given):
        return problem(400, "a parameter was given twice")
    if not paged and "page" in request.query_params:
        return problem(400, "page: a table has all devices")
    try:
        return Question(**dict(given))  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return problem(400, f"{first['loc'][0]}: {first['msg']}")


def problem(status: int, error: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error as every endpoint here tells it."""
    return JSONResponse(Problem(error=error).model_dump(), status, headers)


def table(units: Iterable[Unit]) -> Iterator[str]:
    """Yield CSV, line by line. A text that a spreadsheet would take for a formula begins with an apostrophe."""
    line = io.StringIO()
    writer = csv.writer(line)

    def written(row: Iterable[Any]) -> str:
        line.seek(0)
        line.truncate()
        writer.writerow([f"'{cell}" if str(cell).startswith(_FORMULA) else cell for cell in row])
        return line.getvalue()

    yield written(_COLUMNS)
    for unit in units:
        worst, about = unit.worst, unit.about
        share = unit.row.wear_permille
        yield written((
            unit.row.device, unit.row.name or "", about.model if about else "", about.serial if about else "",
            unit.row.firmware, unit.state, unit.row.last_seen_s, worst.name if worst else "",
            share / 10 if share is not None else "", "yes" if share is not None and share >= DUE_PERMILLE else "no",
            " ".join(unit.faults), unit.queued, unit.dead, unit.aside,
        ))  # fmt: skip


def openapi() -> dict[str, Any]:
    """Return the description of all this, which the tests hold the answers against."""
    models: list[Any] = [(model, "serialization") for model in (FleetNow, DevicePage, DeviceNow, Problem)]
    _, schemas = models_json_schema(models, ref_template="#/components/schemas/{model}")
    parameters = [
        {"name": name, "in": "query", "required": False, "schema": schema, "description": text}
        for (name, schema), text in zip(
            Question.model_json_schema()["properties"].items(),
            (
                "Begin of the id, or a piece of name, model, serial number or firmware.",
                "Which devices.",
                "In which order.",
                "From 0, 50 devices each.",
            ),
            strict=True,
        )  # fmt: skip
    ]
    schema = {"type": "string", "pattern": f"^{DEVICE_ID.pattern}$"}
    here = {"name": "device", "in": "path", "required": True, "schema": schema}
    paths = {
        "/api/fleet": _get("The fleet in numbers.", "FleetNow", [], 400),
        "/api/devices": _get("Devices, by page.", "DevicePage", parameters, 400),
        "/api/devices/{device}": _get("One device.", "DeviceNow", [here], 400, 404),
        "/api/fleet.csv": _get("All such devices as a table.", None, parameters[:3], 400),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Wearmeter relay", "version": "1", "description": "Read-only. Times in UTC seconds."},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _get(text: str, model: str | None, parameters: list[dict[str, Any]], *problems: int) -> dict[str, Any]:
    def content(of: str) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{of}"}}}

    found = content(model) if model else {"text/csv": {"schema": {"type": "string"}}}
    answers: dict[str, Any] = {"200": {"description": text, "content": found}}
    for status in (401, 429, 503, *problems):
        answers[str(status)] = {"description": "See `error`.", "content": content("Problem")}
    return {"get": {"summary": text, "parameters": parameters, "responses": answers}}
