"""The fleet for programs: every answer is as its OpenAPI description says, for whatever is asked; and the CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from schemathesis import GenerationMode
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire
from tools.relay.pages import guesses
from tools.relay.pages.api import openapi
from tools.relay.pages.view import View
from tools.relay.pages.web import pages
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, NOW_S, Clock, report

TOKEN = "only-for-readers-of-pages"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
DAY_S = 86400


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starlette]:
    """Sixty devices: vacuum0 has a due filter and a formula for a name, vacuum1 a fault, vacuum2 is silent."""
    clock = Clock()
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('api')}/relay.sqlite3", clock)
    fleet = Fleet(store)
    for number in range(60):
        device = f"vacuum{number}"
        fleet.about(device, wire.encode(ABOUT))
        clock.now_s = NOW_S - (3 * DAY_S if number == 2 else number)
        used_s = 600000 if number == 0 else 1000 * number
        payload = report(1, used_s, 1, used_s, used_s, 1, used_s, at=int(clock.now_s), faults=0x408 * (number == 1))
        store.accept([(device, payload, wire.decode_up(payload))])
    fleet.name("vacuum0", '=HYPERLINK("http://evil.example")')
    clock.now_s = NOW_S
    view = View(store, clock)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(guesses, "BURST", 10**6)  # the checks below guess, too
        yield pages(view, TOKEN, clock, store)
    view.close()
    store.close()


@pytest.fixture
def client(app: Starlette) -> Iterator[TestClient]:
    with TestClient(app, headers=BEARER) as client:
        yield client


@pytest.mark.parametrize("path", openapi()["paths"])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_as_the_description_says(app: Starlette, path: str, mode: GenerationMode) -> None:
    """For questions as described, and for others."""
    described = schemathesis.openapi.from_asgi("/api/openapi.json", app, headers=BEARER)
    operation = described[path]["GET"]
    if mode is GenerationMode.NEGATIVE and not operation.query and not operation.path_parameters:
        return  # there is nothing to ask otherwise

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    def ask(case: schemathesis.Case) -> None:
        if mode is GenerationMode.NEGATIVE:  # of the query or the path: a header that nobody reads spoils no question
            assert case.meta is not None
            parts = {where.value: part.mode for where, part in case.meta.components.items()}
            assume(GenerationMode.NEGATIVE in (parts.get("query"), parts.get("path")))
            # A list or object of nothing leaves no trace in a URL: without it the question may be one as described.
            assume(all(value not in ([], {}) for value in (case.query or {}).values()))
        case.call_and_validate(headers=BEARER)

    ask()


def test_the_description_names_every_endpoint(app: Starlette) -> None:
    served = {route.path for route in app.routes if getattr(route, "path", "").startswith("/api/")}  # type: ignore[attr-defined]
    assert served == {*openapi()["paths"], "/api/openapi.json"}


def test_without_a_token_there_is_nothing_for_programs(app: Starlette) -> None:
    with TestClient(app) as client:
        for path in ("/api/fleet", "/api/devices", "/api/devices/vacuum1", "/api/fleet.csv", "/api/openapi.json"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()) == (401, {"error": "a bearer token is needed"})


def test_devices_come_by_page_in_the_order_that_is_asked_for(client: TestClient) -> None:
    first, second = (client.get(f"/api/devices?page={page}").json() for page in (0, 1))
    assert [len(first["devices"]), first["more"], len(second["devices"]), second["more"]] == [50, True, 10, False]
    assert client.get("/api/devices?sort=wear").json()["devices"][0]["device"] == "vacuum0"
    assert client.get("/api/devices?sort=seen").json()["devices"][0]["device"] == "vacuum2"
    assert client.get("/api/devices?sort=faults").json()["devices"][0]["device"] == "vacuum1"
    assert [found["device"] for found in client.get("/api/devices?only=due").json()["devices"]] == ["vacuum0"]
    assert [found["device"] for found in client.get("/api/devices?only=silent").json()["devices"]] == ["vacuum2"]


def test_a_device_is_told_with_its_parts(client: TestClient) -> None:
    found = client.get("/api/devices/vacuum1").json()
    assert (found["faults"], found["state"], found["model"]) == (["input_stuck", "crashed"], "offline", "VPM1")
    assert found["parts"][0] | {"name": ""} == {
        "id": 1, "instance": "Sensor.DustFilter", "name": "", "generation": 1, "used_s": 1000, "rated_s": 540000,
        "used_permille": 1, "alexa_knows_s": None,
    }  # fmt: skip
    assert client.get("/api/fleet").json()["due"] == 1


@pytest.mark.parametrize("query", ["sort=size", "only=mine", "page=-1", "page=x", "limit=5", "q=a&q=b", "q=%00"])
def test_a_question_that_makes_no_sense_is_an_error_that_says_so(client: TestClient, query: str) -> None:
    answer = client.get(f"/api/devices?{query}")
    assert answer.status_code == 400 and answer.json()["error"]


def test_the_table_has_all_devices_and_no_formula(client: TestClient) -> None:
    answer = client.get("/api/fleet.csv?sort=wear")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv") and len(rows) == 60
    assert rows[0]["name"] == '\'=HYPERLINK("http://evil.example")'
    assert (rows[0]["due"], rows[0]["wear_percent"], rows[0]["most_worn"]) == ("yes", "111.1", "Dust filter")
    assert [row["device"] for row in csv.DictReader(io.StringIO(client.get("/api/fleet.csv?only=faults").text))] == [
        "vacuum1"
    ]
