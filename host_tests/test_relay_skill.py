"""Alexa's directives are answered as its pages ask, and errors are its error responses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tools.alexa_gateway import schema as gateway_schema
from tools.alexa_gateway.gateway import Gateway
from tools.alexa_gateway.lwa import Lwa, LwaFault
from tools.relay.accounts import skill as skill_module
from tools.relay.accounts.accounts import Accounts
from tools.relay.accounts.claims import Claims
from tools.relay.accounts.fleet import Fleet
from tools.relay.accounts.skill import Skill
from tools.relay.core import wire
from tools.relay.pages.web import application
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, Clock

pytest_plugins = ["tools.relay.store.stores_for_tests"]
KEY = "ZmVybmV0LWtleS1mb3ItdGVzdHMtb25seS0wMDAwMDA="
LOCALES = ("de-DE", "en-GB", "en-US", "es-ES", "es-US", "fr-FR", "it-IT", "ja-JP")


def directive(
    namespace: str, name: str, payload: Any = None, endpoint: Any = None, version: str = "3"
) -> dict[str, Any]:
    header = {"namespace": namespace, "name": name, "payloadVersion": version, "messageId": str(uuid.uuid4())}
    body: dict[str, Any] = {"header": header, "payload": payload or {}}
    if endpoint is not None:
        header["correlationToken"] = "correlation"
        body["endpoint"] = endpoint
    return {"directive": body}


def scope(token: str) -> dict[str, str]:
    return {"type": "BearerToken", "token": token}


class House:
    """Anna, whose vacuum1 is discovered, and a skill to ask."""

    def __init__(self, store_url: str, server: Gateway) -> None:
        assert server.lwa is not None
        clock = Clock()
        self.lwa, url = server.lwa, server.url
        self.lwa.clock = clock
        self.store = Store(store_url, clock)
        self.fleet = Fleet(self.store)
        settings = Settings(store=store_url, key=KEY, lwa=url, lwa_client_id="client", lwa_client_secret="secret")
        self.skill = Skill(settings, self.store, Accounts(settings, self.store, clock))
        names = [[locale, f"Staubfilter {locale}"] for locale in LOCALES]
        about = [*ABOUT[:6], [[1, "Sensor.DustFilter", "suction", 150, "dash-1", names], ABOUT[6][1]]]
        for device in ("vacuum1", "vacuum2"):
            self.fleet.about(device, wire.encode(about))
        claims = Claims(self.store)
        claims.claim("anna", claims.new_code("vacuum1"), "NA")

    def discover(self, token: str) -> dict[str, Any]:
        return self.skill.handler(directive("Alexa.Discovery", "Discover", {"scope": scope(token)}), None)

    def grant(self, code: Any, token: Any) -> dict[str, Any]:
        payload = {"grant": {"type": "OAuth2.AuthorizationCode", "code": code}, "grantee": scope(token)}
        return self.skill.handler(directive("Alexa.Authorization", "AcceptGrant", payload), None)

    def state(self, device: str, token: str) -> dict[str, Any]:
        endpoint = {"scope": scope(token), "endpointId": device, "cookie": {}}
        return self.skill.handler(directive("Alexa", "ReportState", endpoint=endpoint), None)


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    gateway = Gateway(lwa=Lwa())
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
def server(running: Gateway) -> Gateway:
    """The stand-in gateway, and Login with Amazon at the same address."""
    assert running.lwa is not None
    running.forget()
    running.lwa.forget()
    return running


@pytest.fixture
def house(store_url: str, server: Gateway) -> Iterator[House]:
    made = House(store_url, server)
    yield made
    made.store.close()


def error_of(answer: dict[str, Any]) -> tuple[str, str]:
    assert gateway_schema.fault(answer, ("ErrorResponse",)) is None
    return answer["event"]["header"]["namespace"], answer["event"]["payload"]["type"]


def test_a_discovery_lists_the_customers_devices_and_no_other(house: House) -> None:
    answer = house.discover(house.lwa.user_token("anna"))
    assert gateway_schema.fault(answer, ("Discover.Response",)) is None
    (endpoint,) = answer["event"]["payload"]["endpoints"]
    assert endpoint["endpointId"] == "vacuum1"
    assert house.discover(house.lwa.user_token("bert"))["event"]["payload"]["endpoints"] == []


def test_each_consumable_is_discovered_with_its_names_in_every_locale_and_its_dash_id_if_known(house: House) -> None:
    endpoint = house.discover(house.lwa.user_token("anna"))["event"]["payload"]["endpoints"][0]
    dust, brush, alexa = endpoint["capabilities"]
    assert [name["value"]["locale"] for name in dust["capabilityResources"]["friendlyNames"]] == list(LOCALES)
    assert dust["configuration"]["replenishment"]["value"] == "dash-1"
    assert "replenishment" not in brush["configuration"]
    assert alexa == {"type": "AlexaInterface", "interface": "Alexa", "version": "3"}
    house.fleet.replenish("VPM1", "Sensor.Brush", "dash-2")
    endpoint = house.discover(house.lwa.user_token("anna"))["event"]["payload"]["endpoints"][0]
    assert endpoint["capabilities"][1]["configuration"]["replenishment"]["value"] == "dash-2"


def test_a_discovery_never_has_more_than_300_endpoints(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    one = house.fleet.discover("anna")[0]
    monkeypatch.setattr(house.skill.fleet, "discover", lambda customer: [one] * 301)
    answer = house.discover(house.lwa.user_token("anna"))
    assert len(answer["event"]["payload"]["endpoints"]) == 300


@pytest.mark.parametrize("token", ["false", "", "two\r\nlines", "ключ", None, 7])
def test_a_discovery_with_a_false_token_is_an_error(house: House, token: Any) -> None:
    assert error_of(house.discover(token)) == ("Alexa", "INVALID_AUTHORIZATION_CREDENTIAL")


def test_a_token_that_the_customer_gave_to_another_skill_opens_nothing_here(house: House) -> None:
    token = house.lwa.user_token("anna", client_id="somebody-elses-skill")
    assert error_of(house.discover(token)) == ("Alexa", "INVALID_AUTHORIZATION_CREDENTIAL")
    assert error_of(house.state("vacuum1", token)) == ("Alexa", "INVALID_AUTHORIZATION_CREDENTIAL")
    assert error_of(house.grant(house.lwa.code("anna"), token)) == ("Alexa.Authorization", "ACCEPT_GRANT_FAILED")
    assert house.store.rows(schema.customers)[0].state != "linked"


def test_a_grant_links_the_customer(house: House) -> None:
    answer = house.grant(house.lwa.code("anna"), house.lwa.user_token("anna"))
    assert gateway_schema.fault(answer, ("AcceptGrant.Response",)) is None
    assert [(row.customer, row.state) for row in house.store.rows(schema.customers)] == [("anna", "linked")]


@pytest.mark.parametrize(("code", "token"), [("false", "user"), (None, "user"), ("code", "false"), ("code", None)])
def test_a_grant_that_fails_is_said_to_have_failed(house: House, code: Any, token: Any) -> None:
    code = house.lwa.code("anna") if code == "code" else code
    token = house.lwa.user_token("anna") if token == "user" else token
    assert error_of(house.grant(code, token)) == ("Alexa.Authorization", "ACCEPT_GRANT_FAILED")


def test_a_grant_while_login_with_amazon_is_down_has_failed(house: House) -> None:
    house.lwa.faults.append(LwaFault(503))
    answer = house.grant(house.lwa.code("anna"), house.lwa.user_token("anna"))
    assert error_of(answer) == ("Alexa.Authorization", "ACCEPT_GRANT_FAILED")


def test_a_state_report_has_no_property_and_keeps_the_correlation(house: House) -> None:
    answer = house.state("vacuum1", house.lwa.user_token("anna"))
    assert gateway_schema.fault(answer, ("StateReport",)) is None
    assert answer["event"]["header"]["correlationToken"] == "correlation"
    assert answer["context"] == {"properties": []}


@pytest.mark.parametrize("device", ["vacuum2", "vacuum9"])
def test_the_state_of_anothers_device_is_no_such_endpoint(house: House, device: str) -> None:
    answer = house.state(device, house.lwa.user_token("anna"))
    assert error_of(answer) == ("Alexa", "NO_SUCH_ENDPOINT")
    assert answer["event"]["endpoint"]["endpointId"] == device


@pytest.mark.parametrize("bad", [{}, None, [], {"directive": None}, {"directive": {"header": []}}], ids=str)
def test_what_is_no_directive_is_an_invalid_directive(house: House, bad: Any) -> None:
    assert error_of(house.skill.handler(bad, None)) == ("Alexa", "INVALID_DIRECTIVE")


@pytest.mark.parametrize(
    ("namespace", "name", "version"), [("Alexa.PowerController", "TurnOn", "3"), ("Alexa.Discovery", "Discover", "2")]
)
def test_what_is_not_for_this_skill_is_an_invalid_directive(
    house: House, namespace: str, name: str, version: str
) -> None:
    answer = house.skill.handler(directive(namespace, name, version=version), None)
    assert error_of(answer) == ("Alexa", "INVALID_DIRECTIVE")


def test_trouble_of_our_own_is_an_internal_error(house: House) -> None:
    token = house.lwa.user_token("anna")
    with house.store.begin() as connection:
        schema.queue.drop(connection)
        schema.devices.drop(connection)
    assert error_of(house.discover(token)) == ("Alexa", "INTERNAL_ERROR")


def test_the_same_answers_come_over_http(house: House) -> None:
    client = TestClient(application(house.skill))
    body = directive("Alexa.Discovery", "Discover", {"scope": scope(house.lwa.user_token("anna"))})
    answer = client.post("/skill", json=body)
    assert answer.status_code == 200
    assert answer.json()["event"]["payload"]["endpoints"][0]["endpointId"] == "vacuum1"
    assert [client.post("/skill", content=bad).status_code for bad in (b"{", b"[]", b" " * 70000)] == [400, 400, 413]


def test_the_deployed_function_reads_its_settings_from_the_environment(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = house.skill.settings
    for name in ("store", "key", "lwa", "lwa_client_id", "lwa_client_secret"):
        monkeypatch.setenv(f"RELAY_{name.upper()}", getattr(settings, name))
    skill_module._from_environment.cache_clear()
    body = directive("Alexa.Discovery", "Discover", {"scope": scope(house.lwa.user_token("anna"))})
    assert skill_module.handler(body, None)["event"]["payload"]["endpoints"][0]["endpointId"] == "vacuum1"
    skill_module._from_environment().fleet.store.close()
    skill_module._from_environment.cache_clear()
