"""The stand-in answers as Amazon's gateway is said to: 202, or the envelope with the code."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tools.alexa_gateway import schema
from tools.alexa_gateway.gateway import CODES, Fault, Gateway
from tools.relay.core import events

ID = "0d1c6c1a-7d0a-4e5a-9d6a-3f1f8f6f2a11"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    running = Gateway(tmp_path, {"good"})
    running.start()
    yield running
    running.stop()


def event(token: str = "good", message_id: str = ID, usage_s: int = 60) -> dict[str, Any]:
    return events.inventory_consumed(message_id, "vacuum1", token, "Sensor.Brush", usage_s, 1782900000)


def post(gateway: Gateway, message: Any, token: str | None = "good") -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return httpx.post(f"{gateway.url}/v3/events", content=body, headers=headers)


def recorded(tmp_path: Path, name: str) -> list[Any]:
    return [json.loads(line) for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()]


def test_a_valid_event_is_answered_with_202_and_recorded_as_received(gateway: Gateway, tmp_path: Path) -> None:
    assert post(gateway, event()).status_code == 202
    assert recorded(tmp_path, "events.jsonl") == [event()]
    assert recorded(tmp_path, "rejected.jsonl") == []


def test_the_same_message_id_again_is_taken_and_recorded_once(gateway: Gateway, tmp_path: Path) -> None:
    assert [post(gateway, event()).status_code for _ in range(2)] == [202, 202]
    assert (len(recorded(tmp_path, "events.jsonl")), gateway.repeated) == (1, 1)


def test_a_bad_event_is_refused_with_the_reason(gateway: Gateway, tmp_path: Path) -> None:
    bad = event()
    bad["event"]["payload"]["usage"]["value"] = "1h"
    answer = post(gateway, bad)
    assert answer.status_code == 400
    assert answer.json()["payload"]["code"] == "INVALID_REQUEST_EXCEPTION"
    assert schema.fault(answer.json(), ("Exception",)) is None
    (line,) = recorded(tmp_path, "rejected.jsonl")
    assert line["status"] == 400 and "'1h' does not match" in line["reason"]


@pytest.mark.parametrize(("head", "body"), [(None, "good"), ("bad", "good"), ("bad", "bad"), ("good", "bad")])
def test_header_and_body_must_carry_the_same_issued_token(gateway: Gateway, head: str | None, body: str) -> None:
    answer = post(gateway, event(token=body), head)
    assert (answer.status_code, answer.json()["payload"]["code"]) == (401, "INVALID_ACCESS_TOKEN_EXCEPTION")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"null"])
def test_what_is_no_json_message_is_refused(gateway: Gateway, body: bytes) -> None:
    assert post(gateway, body).status_code == 400


def test_more_than_256_kilobytes_are_refused(gateway: Gateway) -> None:
    answer = post(gateway, b" " * (256 * 1024 + 1))
    assert (answer.status_code, answer.json()["payload"]["code"]) == (413, "REQUEST_ENTITY_TOO_LARGE_EXCEPTION")


@pytest.mark.parametrize(("status", "code"), [(status, code) for status, codes in CODES.items() for code in codes])
def test_it_gives_every_error_that_it_is_told_to(gateway: Gateway, status: int, code: str) -> None:
    gateway.faults.append(Fault(status, code))
    answer = post(gateway, event())
    assert (answer.status_code, answer.json()["payload"]["code"]) == (status, code)
    assert post(gateway, event()).status_code == 202


def test_it_can_take_an_event_and_lose_the_answer(gateway: Gateway) -> None:
    gateway.faults.append(Fault(0, after=True))
    with pytest.raises(httpx.HTTPError):
        post(gateway, event())
    assert len(gateway.accepted) == 1
    assert post(gateway, event()).status_code == 202 and gateway.repeated == 1


def test_it_can_be_slow(gateway: Gateway) -> None:
    gateway.faults.append(Fault(202, delay_s=0.3))
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{gateway.url}/v3/events", json=event(), headers={"Authorization": "Bearer good"}, timeout=0.1)


def test_it_throttles_what_comes_too_fast(gateway: Gateway) -> None:
    gateway.requests_per_s, gateway.monotonic = 1, lambda: 7.0
    assert [post(gateway, event()).status_code for _ in range(2)] == [202, 429]
    gateway.monotonic = lambda: 8.0
    assert post(gateway, event()).status_code == 202


def test_what_was_still_to_be_answered_when_it_forgot_is_not_recorded(gateway: Gateway) -> None:
    gateway.faults.append(Fault(202, delay_s=1.0))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, gateway, event())
        while not gateway.arrivals:
            time.sleep(0.01)
        gateway.forget()
        assert answer.result().status_code == 503
    assert not gateway.accepted and not gateway.rejected
