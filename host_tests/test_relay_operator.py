"""Roles on the pages: readers look, operators act under their own name, and the log tells who did what and why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire
from tools.relay.pages.actions import LABELS
from tools.relay.pages.view import View
from tools.relay.pages.web import pages
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, NOW_S, Clock, report

READER, ANNA, BERT = "only-for-readers-of-pages", "anna-may-also-act-on-them", "bert-may-also-act-on-them"
WHY = {"reason": "the owner called"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path}/relay.sqlite3", Clock())
    Fleet(store).about("vacuum1", wire.encode(ABOUT))
    payload = report(1, 100, 1, 100, 200, 1, 200)
    store.accept([("vacuum1", payload, wire.decode_up(payload))])
    yield store
    store.close()


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    view = View(store, Clock())
    app = pages(view, READER, Clock(), store, f"anna:{ANNA}, bert:{BERT}")
    with TestClient(app, follow_redirects=False) as client:
        yield client
    view.close()


def sign_in(client: TestClient, token: str) -> str:
    """Returns what the form on a device's page carries, '' where there is no form."""
    assert client.post("/login", data={"token": token}).status_code == 303
    found = re.search(r'name="mark" value="(\w+)"', client.get("/device/vacuum1").text)
    return found[1] if found else ""


def test_an_operator_acts_by_the_form_and_the_log_tells_who_what_and_why(client: TestClient, store: Store) -> None:
    mark = sign_in(client, BERT)
    answer = client.post("/device/vacuum1/act", data={"action": "report", "mark": mark, **WHY})
    assert (answer.status_code, answer.headers["location"]) == (303, "/device/vacuum1#done")
    assert [row.operation for row in store.rows(schema.commands)] == [wire.REPORT_NOW]
    (line,) = store.rows(schema.audit)
    assert (line.at_s, line.who, line.action, line.device, line.detail) == (
        NOW_S, "bert", "report", "vacuum1", "the owner called (command 1)",
    )  # fmt: skip
    for path in ("/audit", "/device/vacuum1"):
        page = client.get(path).text
        assert "bert" in page and "the owner called" in page and "2026-07-01" in page


def test_a_message_kept_aside_is_believed_after_all_by_its_number(client: TestClient, store: Store) -> None:
    less = report(2, 50, 1, 50, 200, 1, 200)
    (outcome,) = store.accept([("vacuum1", less, wire.decode_up(less))])
    (kept,) = store.rows(schema.quarantine)
    assert outcome.verdict == "aside"
    mark = sign_in(client, ANNA)
    for number, status in (("", 400), ("x", 400), (str(kept.id + 1), 400), (str(kept.id), 303)):
        form = {"action": "readmit", "mark": mark, "number": number, **WHY}
        assert client.post("/device/vacuum1/act", data=form).status_code == status, number
    assert not store.rows(schema.quarantine) and store.count(schema.messages) == 2
    assert [line.detail for line in store.rows(schema.audit)] == [f"the owner called (message {kept.id})"]


def test_a_message_of_another_device_is_not_readmitted_here(client: TestClient, store: Store) -> None:
    for payload in (report(1, 100, 1, 100), report(2, 50, 1, 50)):
        store.accept([("vacuum2", payload, wire.decode_up(payload))])
    (kept,) = store.rows(schema.quarantine)
    form = {"action": "readmit", "number": str(kept.id), **WHY}
    answer = client.post("/device/vacuum1/act", data=form, headers={"Authorization": f"Bearer {ANNA}"})
    assert answer.status_code == 400 and len(store.rows(schema.quarantine)) == 1


@pytest.mark.parametrize("action", [action for action in LABELS if action != "readmit"])
def test_each_action_is_done_and_noted(client: TestClient, store: Store, action: str) -> None:
    before = {table.name: store.rows(table) for table in (schema.commands, schema.queue, schema.devices)}
    if action == "customer":
        Fleet(store).mark_test("vacuum1")
    answer = client.post(
        "/device/vacuum1/act", data={"action": action, **WHY}, headers={"Authorization": f"Bearer {ANNA}"}
    )
    assert answer.status_code == 303
    assert [(line.who, line.action) for line in store.rows(schema.audit)] == [("anna", action)]
    after = {table.name: store.rows(table) for table in (schema.commands, schema.queue, schema.devices)}
    changed = {
        "report": ["commands"], "send-now": ["queue"], "test": ["queue", "devices"], "customer": ["queue"],
        "reset": ["devices"],
    }.get(action, [])  # fmt: skip
    assert [name for name in after if after[name] != before[name]] == changed


def test_a_reader_has_no_form_and_may_not_act_without_it_either(client: TestClient, store: Store) -> None:
    assert sign_in(client, READER) == ""
    for headers in ({}, {"Authorization": f"Bearer {READER}"}):
        answer = client.post("/device/vacuum1/act", data={"action": "send-now", **WHY}, headers=headers)
        assert answer.status_code == 403
    assert not store.rows(schema.audit) and len(store.rows(schema.queue)) == 2


@pytest.mark.parametrize("mark", ["", "0" * 64, None])
def test_a_form_from_elsewhere_does_nothing(client: TestClient, store: Store, mark: str | None) -> None:
    own = sign_in(client, ANNA)
    if mark is None:  # another operator's
        client.cookies.clear()
        sign_in(client, BERT)
        mark = own
    assert client.post("/device/vacuum1/act", data={"action": "report", "mark": mark, **WHY}).status_code == 403
    assert not store.rows(schema.commands)


@pytest.mark.parametrize(
    ("device", "form", "text"),
    [
        ("vacuum1", {"action": "report", "reason": "  "}, "a reason is needed"),
        ("vacuum1", {"action": "erase", **WHY}, "there is no such action"),
        ("vacuum9", {"action": "report", **WHY}, "no such device"),
    ],
)
def test_what_cannot_be_done_is_said(
    client: TestClient, store: Store, device: str, form: dict[str, str], text: str
) -> None:
    answer = client.post(f"/device/{device}/act", data=form, headers={"Authorization": f"Bearer {ANNA}"})
    assert answer.status_code == 400 and text in answer.text
    assert not store.rows(schema.audit) and len(store.rows(schema.devices)) == 1


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        ("anna:short", "at least 16 characters"),
        (f"anna:{READER}", "a token of their own"),
        (f"anna:{ANNA},bert:{ANNA}", "a token of their own"),
        (f"<b>:{ANNA}", "NAME is letters"),
        (ANNA, "NAME is letters"),
    ],
)
def test_operators_that_are_not_told_apart_are_refused(store: Store, operators: str, message: str) -> None:
    view = View(store, Clock())
    with pytest.raises(ValueError, match=message):
        pages(view, READER, Clock(), store, operators)
    view.close()


def test_a_cookie_of_a_reader_is_not_one_of_an_operator(client: TestClient) -> None:
    sign_in(client, READER)
    forged = client.cookies["wearmeter"].replace("reader.", "anna.")
    client.cookies.clear()
    assert client.get("/", headers={"Cookie": f"wearmeter={forged}"}).status_code == 303
