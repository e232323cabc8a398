"""`certify` walks Amazon's test cases against the stand-in, and says what was sent, answered and refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tools.alexa_gateway import schema as gateway_schema
from tools.alexa_gateway.gateway import Fault, Gateway
from tools.alexa_gateway.lwa import Lwa
from tools.relay.__main__ import cli
from tools.relay.accounts.accounts import Accounts
from tools.relay.accounts.claims import Claims
from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, Clock, report

KEY = "ZmVybmV0LWtleS1mb3ItdGVzdHMtb25seS0wMDAwMDA="
WALK = [
    "PT15H", "PT30H", "PT45H", "PT142H30M", "PT150H", "new", "PT0S",
    "PT30H", "PT60H", "PT90H", "PT285H", "PT300H", "new", "PT0S",
    "PT30S", "PT1M20S",
]  # fmt: skip


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    running = Gateway(tokens={"test", "good"}, lwa=Lwa())
    running.start()
    yield running
    running.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """vacuum1 has a filter used for 30 s of 150 h and a brush used for 80 s of 300 h."""
    store = Store(f"sqlite:///{tmp_path}/relay.sqlite3", Clock())
    Fleet(store).about("vacuum1", wire.encode(ABOUT))
    payload = report(1, 160, 2, 30, 80, 1, 80)
    store.accept([("vacuum1", payload, wire.decode_up(payload))])
    yield store
    store.close()


def certify(store: Store, tmp_path: Path, *arguments: str, **environment: str) -> Result:
    out = ["--out", str(tmp_path / "report.md"), "--pause-s", "0"]
    environment["RELAY_STORE"] = store.engine.url.render_as_string(hide_password=False)
    return CliRunner().invoke(cli, ["certify", "vacuum1", *out, *arguments], env=environment)


def walked(gateway: Gateway) -> list[str]:
    """The use, or `new`, of each sensor event that the gateway has."""
    payloads = [message["event"]["payload"] for message in gateway.accepted if "endpoint" in message["event"]]
    return [payload.get("usage", {"value": "new"})["value"] for payload in payloads]


def test_a_test_device_walks_every_case_and_the_report_says_what_was_sent(
    store: Store, gateway: Gateway, tmp_path: Path
) -> None:
    Fleet(store).mark_test("vacuum1")
    result = certify(store, tmp_path, "--test-gateway", gateway.url)
    assert result.exit_code == 0, result.output
    assert walked(gateway) == WALK and gateway.accepted[0]["event"]["header"]["name"] == "AddOrUpdateReport"
    assert all(gateway_schema.fault(message) is None for message in gateway.accepted)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "17 of 17 messages were accepted" in text and text.count("| 202 |") == 17
    for title in ("Discovery", "Several reports in a row", "Low level", "Replacement", "Reset", "The truth again"):
        assert f"| {title} |" in text
    sent = [json.loads(block.split("\n## ")[0]) for block in text.split("\n\n    {")[1:] for block in ["{" + block]]
    assert [message["event"]["header"]["messageId"] for message in sent] == [
        message["event"]["header"]["messageId"] for message in gateway.accepted
    ]
    assert '"token": "…"' in text
    (noted,) = store.rows(schema.audit, action="certify")
    assert noted.detail == "17 of 17 accepted"


def test_what_is_refused_is_in_the_report_and_the_command_fails(store: Store, gateway: Gateway, tmp_path: Path) -> None:
    Fleet(store).mark_test("vacuum1")
    gateway.faults.extend([None, Fault(400), None, Fault(503), Fault(429)])
    result = certify(store, tmp_path, "--test-gateway", gateway.url)
    assert result.exit_code == 1 and "16 of 17 accepted" in result.output
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert text.count("**fail**") == 1 and "| 400 INVALID_REQUEST_EXCEPTION as told to | 1 | **fail** |" in text
    assert "| InventoryConsumed | 202 | 3 | pass |" in text  # after a 503 and a 429, a second apart


def test_the_account_of_a_test_is_told_with_its_own_token(store: Store, gateway: Gateway, tmp_path: Path) -> None:
    assert gateway.lwa is not None
    environment = {"RELAY_KEY": KEY, "RELAY_LWA_CLIENT_ID": "client", "RELAY_LWA_CLIENT_SECRET": "secret",
                   "RELAY_LWA": gateway.url}  # fmt: skip
    settings = Settings(key=KEY, lwa=gateway.url, lwa_client_id="client", lwa_client_secret="secret")
    Accounts(settings, store, store.clock).accept_grant(gateway.lwa.code("anna"), gateway.lwa.user_token("anna"))
    claims = Claims(store)
    claims.claim("anna", claims.new_code("vacuum1"), "NA")
    arguments = ("--account-of-a-test", "--gateway", gateway.url)
    result = certify(store, tmp_path, *arguments, **environment)
    assert result.exit_code == 0 and walked(gateway) == WALK, result.output
    refreshes = gateway.lwa.refreshes
    gateway.lwa.expire("anna")
    result = certify(store, tmp_path, *arguments, **environment)
    assert result.exit_code == 0 and gateway.lwa.refreshes == refreshes + 1, result.output


@pytest.mark.parametrize(
    ("test", "arguments", "message"),
    [
        (False, [], "--account-of-a-test"),
        (False, ["--account-of-a-test"], "nowhere to send to"),
        (True, [], "a test device needs --test-gateway"),
        (True, ["--test-gateway", "https://api.amazonalexa.com"], "Amazon's own"),
    ],
)
def test_a_made_up_use_goes_nowhere_by_mistake(
    store: Store, tmp_path: Path, test: bool, arguments: list[Any], message: str
) -> None:
    Fleet(store).mark_test("vacuum1", test)
    result = certify(store, tmp_path, *arguments)
    assert result.exit_code == 2 and message in result.output
