"""The stand-in for Login with Amazon gives, refreshes, expires and refuses tokens as the real one does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tools.alexa_gateway.gateway import Gateway
from tools.alexa_gateway.lwa import Lwa, LwaFault
from tools.relay.testing import Clock

CLIENT = {"client_id": "client", "client_secret": "secret"}


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    gateway = Gateway(lwa=Lwa(clock=Clock()))
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
def lwa(running: Gateway) -> Lwa:
    assert running.lwa is not None
    running.lwa.forget()
    return running.lwa


def token(running: Gateway, **form: str) -> tuple[int, dict[str, Any]]:
    answer = httpx.post(f"{running.url}/auth/o2/token", data=CLIENT | form)
    return answer.status_code, answer.json()


def test_a_code_works_once(running: Gateway, lwa: Lwa) -> None:
    code = lwa.code("anna")
    status, fields = token(running, grant_type="authorization_code", code=code)
    assert (status, fields["token_type"], fields["expires_in"]) == (200, "bearer", 3600)
    assert lwa.customer_of(fields["access_token"]) == "anna"
    assert token(running, grant_type="authorization_code", code=code)[1]["error"] == "invalid_grant"


def test_each_refresh_gives_a_new_refresh_token_and_voids_the_old(running: Gateway, lwa: Lwa) -> None:
    first = token(running, grant_type="authorization_code", code=lwa.code("anna"))[1]["refresh_token"]
    second = token(running, grant_type="refresh_token", refresh_token=first)[1]["refresh_token"]
    assert token(running, grant_type="refresh_token", refresh_token=first)[1]["error"] == "invalid_grant"
    assert token(running, grant_type="refresh_token", refresh_token=second)[0] == 200


def test_an_access_token_lasts_an_hour(running: Gateway, lwa: Lwa) -> None:
    fields = token(running, grant_type="authorization_code", code=lwa.code("anna"))[1]
    assert isinstance(lwa.clock, Clock)
    lwa.clock.now_s += 3599
    assert lwa.customer_of(fields["access_token"]) == "anna"
    lwa.clock.now_s += 1
    assert lwa.customer_of(fields["access_token"]) is None


def test_a_revoked_customers_tokens_are_refused(running: Gateway, lwa: Lwa) -> None:
    fields = token(running, grant_type="authorization_code", code=lwa.code("anna"))[1]
    lwa.revoke("anna")
    assert lwa.customer_of(fields["access_token"]) is None
    assert (
        token(running, grant_type="refresh_token", refresh_token=fields["refresh_token"])[1]["error"] == "invalid_grant"
    )


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "wrong", "grant_type": "refresh_token"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({}, 400, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "never given"}, 400, "invalid_grant"),
    ],
)
def test_a_wrong_request_has_oauths_error(
    running: Gateway, lwa: Lwa, form: dict[str, str], status: int, error: str
) -> None:
    got, fields = token(running, **form)
    assert (got, fields["error"]) == (status, error)


def test_it_fails_as_told_to(running: Gateway, lwa: Lwa) -> None:
    lwa.faults.append(LwaFault(503, "server_error"))
    assert token(running, grant_type="authorization_code", code=lwa.code("anna"))[0] == 503


def test_a_profile_names_the_customer_of_a_valid_token(running: Gateway, lwa: Lwa) -> None:
    def profile(value: str) -> httpx.Response:
        return httpx.get(f"{running.url}/user/profile", headers={"Authorization": f"Bearer {value}"})

    assert profile(lwa.user_token("anna")).json() == {"user_id": "anna"}
    assert (profile("false").status_code, profile("false").json()["error"]) == (401, "invalid_token")
