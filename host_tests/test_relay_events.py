"""The events have every field of Amazon's page, no other, and durations and times in its formats."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.relay.core import events, wire
from tools.relay.testing import ABOUT, NOW_S

PAGES = json.loads((Path(__file__).parent / "vectors" / "alexa_pages.json").read_text(encoding="utf-8"))
ID = "a unique identifier, preferably a version 4 UUID"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "PT0S"),
        (1, "PT1S"),
        (60, "PT1M"),
        (4380, "PT1H13M"),
        (108000, "PT30H"),
        (3601, "PT1H1S"),
        (360000, "PT100H"),
    ],
)
def test_a_duration_is_whole_hours_minutes_and_seconds(seconds: int, text: str) -> None:
    assert events.duration(seconds) == text


@given(st.integers(0, 1 << 32))
def test_a_duration_says_exactly_the_seconds_it_was_given(seconds: int) -> None:
    match = re.fullmatch(r"PT(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", events.duration(seconds))
    assert match is not None
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    assert hours * 3600 + minutes * 60 + rest == seconds


def test_a_negative_duration_is_an_error() -> None:
    with pytest.raises(ValueError):
        events.duration(-1)


def test_a_consumption_is_the_pages_example_but_for_the_fraction_of_a_second() -> None:
    page = copy.deepcopy(PAGES["InventoryConsumed"])
    page["event"]["payload"]["timeOfSample"] = "2020-07-02T16:20:50Z"
    made = events.inventory_consumed(
        ID, "endpoint ID", "an OAuth2 bearer token", "Sensor.DustFilter", 108000, 1593706850
    )
    assert made == page
    assert list(made["event"]["header"]) == list(page["event"]["header"])


def test_a_replacement_is_the_pages_example_with_the_seconds_of_the_pages_format() -> None:
    page = copy.deepcopy(PAGES["InventoryReplaced"])
    page["event"]["payload"]["replacedDate"] = "2020-01-15T14:30:00Z"
    made = events.inventory_replaced(ID, "endpoint ID", "an OAuth2 bearer token", "Sensor.DustFilter", 1579098600)
    assert made == page


def _shape(value: Any) -> Any:
    """The keys and types of a message, one element standing for each list."""
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    return [_shape(value[0])] if isinstance(value, list) and value else type(value)


def test_a_discovered_endpoint_has_exactly_the_fields_of_the_pages_example() -> None:
    about = wire.decode_about(wire.encode(ABOUT))
    ids = {"Sensor.DustFilter": "dash-1", "Sensor.Brush": "dash-2"}
    made = events.discover_response(ID, [events.endpoint("vacuum1", about, "Downstairs vacuum", ids, power=True)])
    page = PAGES["Discover.Response"]
    assert _shape(made) == _shape(page)
    made_capabilities = made["event"]["payload"]["endpoints"][0]["capabilities"]
    page_capabilities = page["event"]["payload"]["endpoints"][0]["capabilities"]
    assert [_shape(capability) for capability in made_capabilities] == [
        _shape(capability) for capability in page_capabilities
    ]


def test_without_a_dash_id_the_capability_has_no_replenishment() -> None:
    endpoint = events.endpoint("vacuum1", wire.decode_about(wire.encode(ABOUT)))
    assert [list(capability.get("configuration", {})) for capability in endpoint["capabilities"]] == [
        ["measurement"],
        ["measurement"],
        [],
    ]


def test_an_add_or_update_report_has_the_scope_that_the_pages_example_leaves_out() -> None:
    endpoint = events.endpoint("vacuum1", wire.decode_about(wire.encode(ABOUT)))
    payload = events.add_or_update_report(ID, "token", [endpoint])["event"]["payload"]
    assert payload["scope"] == {"type": "BearerToken", "token": "token"}
    assert "scope" not in PAGES["AddOrUpdateReport"]["event"]["payload"]


def test_a_timestamp_is_utc_with_seconds() -> None:
    assert events.timestamp(NOW_S) == "2026-07-01T10:00:00Z"
