"""The schema takes what Amazon's pages print, but for their two known defects, and nothing that they forbid."""

from __future__ import annotations

import copy
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tools.alexa_gateway import schema

PAGES = json.loads((Path(__file__).parent / "vectors" / "alexa_pages.json").read_text(encoding="utf-8"))
ALL = (*schema.EVENTS, "Discover.Response")


def page(name: str) -> dict[str, Any]:
    """The page's example with values where it has words for them."""
    message = copy.deepcopy(PAGES[name])
    message["event"]["header"]["messageId"] = str(uuid.uuid4())
    for endpoint in (message["event"].get("endpoint"), *message["event"]["payload"].get("endpoints", [])):
        if endpoint is not None:
            endpoint["endpointId"] = "vacuum1"
    return message


def changed(name: str, path: str, value: Any) -> dict[str, Any]:
    """The example with one member set, or taken out where `value` is `...`."""
    message = page(name)
    *way, last = path.split("/")
    at: Any = message["event"]
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return message


@pytest.mark.parametrize("name", ["InventoryConsumed", "InventoryReplaced", "Discover.Response"])
def test_the_pages_own_example_is_valid(name: str) -> None:
    assert schema.fault(page(name), ALL) is None


def test_first_known_defect_the_pages_add_or_update_report_lacks_the_scope_it_needs() -> None:
    assert schema.fault(page("AddOrUpdateReport")) == "$.event.payload: 'scope' is a required property"
    whole = page("AddOrUpdateReport")
    whole["event"]["payload"]["scope"] = {"type": "BearerToken", "token": "t"}
    assert schema.fault(whole) is None


def test_second_known_defect_the_pages_replaced_date_has_no_seconds_and_is_taken_with_and_without() -> None:
    assert page("InventoryReplaced")["event"]["payload"]["replacedDate"] == "2020-01-15T14:30Z"
    assert schema.fault(changed("InventoryReplaced", "payload/replacedDate", "2020-01-15T14:30:00Z")) is None


def test_a_time_of_sample_without_seconds_is_refused() -> None:
    assert schema.fault(changed("InventoryConsumed", "payload/timeOfSample", "2020-01-15T14:30Z")) is not None


@pytest.mark.parametrize("value", ["PT0S", "PT1H13M", "PT30H", "PT1H1S", "PT59M59S", "PT100H0M0S"])
def test_whole_durations_are_taken(value: str) -> None:
    assert schema.fault(changed("InventoryConsumed", "payload/usage/value", value)) is None


@pytest.mark.parametrize(
    "value", ["", "PT", "P1D", "-PT1H", "PT-1H", "PT1.5H", "PT1M1H", "1H", "PT1H ", "PT1H\n", 3600]
)
def test_other_durations_are_refused(value: Any) -> None:
    assert schema.fault(changed("InventoryConsumed", "payload/usage/value", value)) is not None


@pytest.mark.parametrize(
    "value",
    ["2020-07-02 16:20:50Z", "2020-07-02T16:20:50", "2020-07-02T16:20:50+00:00", "2020-13-02T16:20:50Z",
     "2020-02-30T16:20:50Z", "2020-07-02T24:20:50Z", "2020-07-02T16:20:50.1234Z", "2020-07-02T16:20:50.Z"],
)  # fmt: skip
def test_other_times_are_refused(value: str) -> None:
    assert schema.fault(changed("InventoryConsumed", "payload/timeOfSample", value)) is not None


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("InventoryConsumed", "header/messageId", ...),
        ("InventoryConsumed", "header/messageId", "1"),
        ("InventoryConsumed", "header/messageId", "b8a0c1d2-8586-11f0-8de9-0242ac120002"),
        ("InventoryConsumed", "header/instance", ...),
        ("InventoryConsumed", "header/payloadVersion", "2"),
        ("InventoryConsumed", "header/payloadVersion", 3),
        ("InventoryConsumed", "header/namespace", "Alexa.InventoryUsageSensor"),
        ("InventoryConsumed", "header/name", "ChangeReport"),
        ("InventoryConsumed", "header/more", "x"),
        ("InventoryConsumed", "endpoint/endpointId", "end point"),
        ("InventoryConsumed", "endpoint/endpointId", "x" * 257),
        ("InventoryConsumed", "endpoint/scope", ...),
        ("InventoryConsumed", "endpoint/scope/token", ""),
        ("InventoryConsumed", "payload/usage", "PT1H"),
        ("InventoryConsumed", "payload/usage/@type", "Volume"),
        ("InventoryConsumed", "payload/more", 1),
        ("InventoryConsumed", "payload/timeOfSample", ...),
        ("InventoryReplaced", "payload/replacedDate", ...),
        ("InventoryReplaced", "payload/replacedDate", "2020-01-15"),
        ("Discover.Response", "payload/endpoints/0/friendlyName", "x" * 129),
        ("Discover.Response", "payload/endpoints/0/capabilities", []),
        ("Discover.Response", "payload/endpoints/0/capabilities/0/instance", ...),
        ("Discover.Response", "payload/endpoints/0/capabilities/0/configuration/measurement/@type", "Count"),
        ("Discover.Response", "payload/endpoints/0/additionalAttributes/color", "red"),
        ("Discover.Response", "payload/endpoints/0/additionalAttributes/model", "x" * 257),
    ],
)
def test_what_the_pages_do_not_allow_is_refused(name: str, path: str, value: Any) -> None:
    assert schema.fault(changed(name, path, value), ALL) is not None


def test_more_than_300_endpoints_or_100_capabilities_are_refused() -> None:
    endpoint = page("Discover.Response")["event"]["payload"]["endpoints"][0]
    assert schema.fault(changed("Discover.Response", "payload/endpoints", [endpoint] * 301), ALL) is not None
    many = [endpoint["capabilities"][0]] * 100 + [endpoint["capabilities"][-1]]
    assert schema.fault(changed("Discover.Response", "payload/endpoints/0/capabilities", many), ALL) is not None


@pytest.mark.parametrize("message", [None, 1, [], {}, {"event": None}, {"event": {"header": {"name": []}}}])
def test_what_is_no_message_at_all_is_refused(message: Any) -> None:
    assert schema.fault(message) is not None
