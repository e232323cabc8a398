"""The relay's pages and metrics: who may read them, what they say, and that they write nothing and leak nothing."""

from __future__ import annotations

import http.client
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from cryptography.fernet import Fernet
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text
from sqlalchemy.exc import SQLAlchemyError

from tools.alexa_gateway.gateway import Gateway
from tools.alexa_gateway.lwa import Lwa
from tools.demo.broker import EmbeddedBroker
from tools.relay import logs
from tools.relay.accounts.accounts import Accounts
from tools.relay.accounts.claims import Claims
from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire
from tools.relay.delivery.leases import Result, Settled
from tools.relay.delivery.outbox import DEAD, SENT
from tools.relay.pages.server import Server
from tools.relay.pages.view import View
from tools.relay.pages.web import pages
from tools.relay.service import Relay
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, EPOCH, NOW_S, Clock, FakeDevice, replacement, report, wait_until

pytest_plugins = ["tools.relay.store.stores_for_tests"]

TOKEN = "only-for-readers-of-pages"
OPERATOR = "anna-may-also-act-on-devices"
ANNA = "amzn1.account.ANNA"
DAY = 86400
HOSTILE = '<script>document.title="owned"</script><img src=x onerror=alert(1)>"\'{{ 7*7 }}&amp;'


def accept(store: Store, device: str, *payloads: bytes) -> None:
    store.accept([(device, payload, wire.decode_up(payload)) for payload in payloads])


def send_all_but(store: Store, left: int) -> None:
    """The gateway refuses the first event and takes all others, but for the newest, which stay queued."""
    stay = {row.id for row in store.rows(schema.queue)[-left:]}
    first, ended = True, False
    while not ended:
        with store.begin() as connection:
            (leased,) = store.leases.lease(connection, {"all": 1}, 60)
            rows = [row for row in leased.rows if row.id not in stay]
            results = [Result(row, SENT) for row in rows]
            if first:
                results[0] = Result(rows[0], DEAD, "413 REQUEST_ENTITY_TOO_LARGE_EXCEPTION")
            first, ended = False, len(rows) < len(leased.rows)
            store.leases.settle(connection, [Settled(leased, results, due_after_s=0.0, left=True)])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Three devices: one with a history, one hostile, one that has only said a status. For all tests here to read."""
    store_url = f"sqlite:///{tmp_path_factory.mktemp('page')}/relay.sqlite3"
    if request.param == "postgresql":
        store_url = request.getfixturevalue("postgresql").url()
    clock = Clock(NOW_S - 20 * DAY)
    store = Store(store_url, clock)
    fleet = Fleet(store)
    fleet.about("vacuum1", wire.encode(ABOUT))
    sequence = 0
    for day in range(20):
        clock.now_s = NOW_S - (20 - day) * DAY + 60
        used, generation = (3600 * day, 1) if day < 10 else (3600 * (day - 10), 2)
        if day == 10:
            sequence += 1
            accept(store, "vacuum1", replacement(sequence, 1, 2, 3600 * day, 3600 * day, at=int(clock.now_s) - 60))
        sequence += 2 if day == 15 else 1
        brush = 1 if day < 15 else 2
        totals = (3600 * day, generation, used, 3600 * day, brush, 3600 * day if brush == 1 else 3600 * (day - 15))
        accept(store, "vacuum1", report(sequence, *totals, at=int(clock.now_s)))
        if day == 15:
            clock.now_s += 7200
            accept(store, "vacuum1", report(sequence + 1, *totals, at=int(clock.now_s)))
            sequence += 1
    clock.now_s = NOW_S
    accept(
        store,
        "vacuum1",
        report(sequence + 1, 5, 1, 5),
        wire.encode([wire.VERSION, 3, EPOCH, sequence + 2, NOW_S, 0x208, HOSTILE]),
    )
    store.status("vacuum1", wire.Online(5, EPOCH, 0x208, 10, 4000, True, "0.1.0", 1, 3))
    send_all_but(store, 3)
    part = [1, "Sensor.<b>", "<i>", 150, None, [["en-US", HOSTILE]]]
    fleet.about("vacuum2", wire.encode([wire.VERSION, HOSTILE, HOSTILE, HOSTILE, HOSTILE, "0.1.0", [part]]))
    fleet.name("vacuum2", HOSTILE)
    accept(store, "vacuum2", report(1, 90, 1, 90), report(2, 80, 1, 80))
    accept(store, "vacuum2", wire.encode([wire.VERSION, 1, EPOCH, 3, HOSTILE]))
    clock.now_s = NOW_S - 3 * DAY
    store.status("vacuum3", wire.Online(6, EPOCH, 0, 0, 0, False, HOSTILE[:64], 1, 0))
    store.refused("malformed")
    clock.now_s = NOW_S
    yield store
    store.close()


@pytest.fixture(scope="module")
def address(store: Store) -> Iterator[str]:
    """Where the pages of that store are served."""
    clock = Clock()
    view = View(store, clock)
    server = Server(pages(view, TOKEN, clock, store, f"anna:{OPERATOR}"), "127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()
    view.close()


@pytest.fixture(scope="module")
def reader(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


# ---- who may read


@pytest.mark.parametrize("path", ["/", "/device/vacuum1", "/aside", "/?q=vacuum"])
def test_without_the_token_there_is_only_the_form(address: str, path: str) -> None:
    answer = httpx.get(address + path)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/login?next=")
    assert "vacuum1" not in httpx.get(address + path, follow_redirects=True).text.replace("device/vacuum1", "")
    assert httpx.get(f"{address}/metrics").status_code == 401


def test_the_form_answers_with_a_cookie_that_scripts_cannot_read_and_leads_back(address: str) -> None:
    with httpx.Client(base_url=address) as client:
        answer = client.post("/login", data={"token": TOKEN, "next": "/device/vacuum1"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/device/vacuum1")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
        assert "Dust filter" in client.get("/device/vacuum1").text
        client.post("/logout")
        assert client.get("/").status_code == 303


@pytest.mark.parametrize("forged", ["", ".", "9999999999.", "9999999999." + "0" * 64, "x.y", "ä.ö"])
def test_a_forged_cookie_is_none(address: str, forged: str) -> None:
    answer = httpx.get(address, headers={b"Cookie": f"wearmeter={forged}".encode()})
    assert answer.status_code == 303


def test_a_wrong_token_is_refused(address: str) -> None:
    answer = httpx.post(f"{address}/login", data={"token": "guess", "next": "/"})
    assert answer.status_code == 401 and "That is not the token" in answer.text


@pytest.mark.parametrize("next", ["//evil.example/", "https://evil.example", "/\\evil.example", "/a\r\nX: y", ""])
def test_the_form_leads_to_no_other_site(address: str, next: str) -> None:
    assert httpx.post(f"{address}/login", data={"token": TOKEN, "next": next}).headers["location"] == "/"


def test_a_port_that_is_taken_is_one_clear_line(store: Store, address: str) -> None:
    with pytest.raises(ValueError, match="cannot be served at 127.0.0.1"):
        Server(pages(View(store, Clock()), TOKEN, Clock(), store), address.removeprefix("http://"))


def test_nothing_can_be_written(store: Store, reader: httpx.Client) -> None:
    for path in ("/", "/device/vacuum1", "/aside", "/metrics"):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert reader.request(method, path).status_code == 405
    view = View(store, Clock())
    with view.engine.connect() as connection, pytest.raises(SQLAlchemyError):
        connection.execute(text("DELETE FROM devices"))
    view.close()
    assert store.count(schema.devices) == 3


def test_a_page_does_not_wait_for_a_message_that_is_being_stored(store: Store, reader: httpx.Client) -> None:
    with store.begin() as connection:
        store.lock(connection, "vacuum1")
        for path in ("/", "/device/vacuum1", "/metrics"):
            assert reader.get(path, timeout=3).status_code == 200


# ---- what they say


def test_the_fleet_tells_each_devices_faults_by_name(reader: httpx.Client) -> None:
    page = reader.get("/").text
    for word in ("input_stuck", "input_noisy", "ping_lost", "0.1.0", "SN-0001", "3 d ago", "1 dead"):
        assert word in page, word


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=vacuum", {"vacuum1", "vacuum2", "vacuum3"}),
        ("q=vacuum3", {"vacuum3"}),
        ("q=SN-0001", {"vacuum1"}),
        ("q=VPM1", {"vacuum1"}),
        ("q=0.1.0", {"vacuum1", "vacuum2"}),
        ("q=DOCUMENT.TITLE", {"vacuum2"}),
        ("q=%25", set()),
        ("q=nobody", set()),
        ("only=faults", {"vacuum1"}),
        ("only=silent", {"vacuum3"}),
        ("only=aside", {"vacuum1", "vacuum2"}),
        ("only=dead", {"vacuum1"}),
        ("only=offline", {"vacuum2"}),
        ("only=nonsense&page=-1", {"vacuum1", "vacuum2", "vacuum3"}),
        ("page=9", set()),
        ("q=%00&page=%C2%B2", {"vacuum1", "vacuum2", "vacuum3"}),
    ],
)
def test_the_fleet_is_searchable(reader: httpx.Client, query: str, found: set[str]) -> None:
    page = reader.get(f"/?{query}").text
    assert {name for name in ("vacuum1", "vacuum2", "vacuum3") if f"/device/{name}" in page} == found


def test_a_device_that_says_nothing_is_silent_and_never_online_whatever_its_connection(reader: httpx.Client) -> None:
    page = reader.get("/?q=vacuum3").text
    row = page[page.index("/device/vacuum3") : page.index("</tbody>")]
    assert "3 d ago" in row and "silent" in row and "its connection stands" in row and "online" not in row
    assert "vacuum3" not in reader.get("/?only=online").text
    assert "<b>1</b><span>online</span>" in page


def test_a_fault_is_told_with_what_it_means_and_what_to_do(reader: httpx.Client) -> None:
    for path in ("/", "/device/vacuum1"):
        page = reader.get(path).text
        assert "An input has been on for longer than any clean lasts." in page, path
        assert "<b>Check the sensor and its wiring, and the input&#39;s threshold in the product" in page, path


@pytest.mark.parametrize(("sort", "first"), [("wear", "vacuum1"), ("seen", "vacuum3"), ("faults", "vacuum1")])
def test_the_fleet_is_sorted_by_wear_silence_or_faults(reader: httpx.Client, sort: str, first: str) -> None:
    page = reader.get(f"/?sort={sort}").text
    assert min(("vacuum1", "vacuum2", "vacuum3"), key=lambda name: page.index(f"/device/{name}")) == first


def test_the_fleet_page_never_touches_the_events_that_were_sent(store: Store) -> None:
    view = View(store, Clock())
    asked: list[str] = []
    event.listen(view.engine, "before_cursor_execute", lambda *call: asked.append(" ".join(call[2].split())))
    view.summary()
    view.fleet(only="dead")
    view.close()
    of_events = [statement for statement in asked if "FROM queue" in statement]
    assert len(of_events) >= 5 and all("queue.state =" in statement for statement in of_events)


def test_a_device_shows_use_rate_replacements_queue_and_what_was_kept_aside(reader: httpx.Client) -> None:
    page = reader.get("/device/vacuum1").text
    for word in (
        "<b>9 h</b> of 150 h rated life, 6 %",
        "140 days left",
        "1 h <span",
        "Replaced 1 time",
        "inferred</span> from a later report",
        "413 REQUEST_ENTITY_TOO_LARGE_EXCEPTION",
        "generation went back",
        "3 waiting",
        "nobody has claimed it",
    ):
        assert word in page, word
    assert page.count('<path class="line"') == 4  # two parts of each of two consumables
    fresh = reader.get("/device/vacuum2").text
    assert "unknown <span" in fresh and "too few reports yet" in fresh


def test_bad_messages_are_all_on_one_page(reader: httpx.Client) -> None:
    page = reader.get("/aside").text
    for word in (
        "<b>1</b><span>malformed</span>",
        "total smaller than before",
        "generation went back",
        "/device/vacuum2",
    ):
        assert word in page, word


def test_an_unknown_device_is_not_found(reader: httpx.Client) -> None:
    for name in ("vacuum9", "%00", "..%2f..%2fetc", "%F0%9F%92%A3"):
        assert reader.get(f"/device/{name}").status_code == 404
    assert reader.get("/static/../web.py").status_code == 404
    assert reader.get("/static/base.html").status_code == 404


def test_what_devices_say_is_only_ever_text(reader: httpx.Client) -> None:
    for path in ("/", "/device/vacuum1", "/device/vacuum2", "/device/vacuum3", "/aside", f"/?q={HOSTILE}"):
        answer = reader.get(path)
        assert answer.status_code == 200
        assert "document.title" in answer.text or path == "/aside"
        for raw in ("<script>", "<img", "<i>", "<b>alert", "onerror=alert(1)>"):
            assert raw not in answer.text.replace("<b>", ""), (path, raw)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy


def test_a_database_that_is_away_is_said_so(store: Store) -> None:
    view = View(store, Clock())
    server = Server(pages(view, TOKEN, Clock(), store), "127.0.0.1:0")
    server.start()
    view._look = _broken  # type: ignore[method-assign]
    answer = httpx.get(f"http://127.0.0.1:{server.port}/", headers={"Authorization": f"Bearer {TOKEN}"})
    server.stop()
    assert (answer.status_code, answer.text) == (503, "the relay's database does not answer\n")


def _broken() -> Any:
    raise SQLAlchemyError("away")


# ---- metrics and logs


def test_metrics_are_prometheus_text_and_name_no_device(reader: httpx.Client) -> None:
    answer = reader.get("/metrics")
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    expected = {
        ("wearmeter_fleet_devices",): 3,
        ("wearmeter_fleet_devices_silent",): 1,
        ("wearmeter_fleet_faults", "input_stuck"): 1,
        ("wearmeter_fleet_faults", "crashed"): 0,
        ("wearmeter_fleet_events", "dead"): 1,
        ("wearmeter_fleet_kept_aside",): 3,
        ("wearmeter_fleet_messages_total", "refused: malformed"): 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert "wearmeter_relay_commit_seconds_bucket" in answer.text and "vacuum" not in answer.text


def test_a_request_that_is_no_http_does_not_end_the_server(address: str, reader: httpx.Client) -> None:
    host, port = address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.connect()
    connection.sock.sendall(b"\x16\x03\x01\x00\xa5\x01\x00\x00" * 10 + b"\r\n\r\n")
    connection.close()
    assert httpx.post(f"{address}/login", content=b"x" * 5000).status_code == 413
    assert reader.get("/").status_code == 200


def test_no_token_customer_or_claim_code_is_in_logs_metrics_or_pages(
    broker: EmbeddedBroker, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A customer is linked, claims a device, is told of it, is throttled, refused and revoked, at the lowest level."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    steps: Any = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=steps, foreign_pre_chain=logs._ALL))
    root = logging.getLogger()
    root.addHandler(handler)
    ours = logging.getLogger("tools.relay")
    ours.setLevel(logging.DEBUG)
    lwa = Lwa("id-of-the-client", "secret-of-the-client")
    gateway = Gateway(lwa=lwa)
    url = gateway.start()
    key = Fernet.generate_key().decode()
    settings = Settings(
        broker=f"127.0.0.1:{broker.port}", store=store_url, gateway=url, lwa=url, key=key,
        web="127.0.0.1:0", web_token=TOKEN, lwa_client_id="id-of-the-client", lwa_client_secret="secret-of-the-client",
        resend_after_s=0.01,
    )  # fmt: skip
    relay = Relay(settings)
    try:
        relay.start()
        assert wait_until(lambda: relay.mqtt.connected)
        code, grantee = lwa.code(ANNA), lwa.user_token(ANNA)
        accounts = Accounts(settings, relay.store, relay.clock)
        accounts.accept_grant(code, grantee)
        label = Claims(relay.store).new_code("vacuum1")
        Claims(relay.store).claim(ANNA, label, "NA")
        with FakeDevice(broker.port) as device:
            device.publish("about", wire.encode(ABOUT), retain=True)
            now_s = int(relay.clock())
            device.publish("up", report(1, 100, 1, 100, at=now_s))
            device.publish("up", report(2, 50, 1, 50, at=now_s))
            device.publish("up", b"\xff")
            device.wait(wire.ACK, 2)
            assert relay.wait_idle(20)
            tokens = [*lwa._access, *lwa._refresh]
            lwa.revoke(ANNA)
            device.publish("up", report(3, 200, 1, 200, at=now_s))
            device.wait(wire.ACK, 3)
            assert relay.wait_idle(20)
        assert relay.web is not None
        reader = httpx.Client(
            base_url=f"http://127.0.0.1:{relay.web.port}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        paths = ("/", "/device/vacuum1", "/aside", "/metrics", "/?q=ANNA")
        shown = {path: reader.get(path).text for path in paths}
        reader.close()
        customer = relay.store.rows(schema.customers)[0]
    finally:
        relay.stop()
        gateway.stop()
        root.removeHandler(handler)
        ours.setLevel(logging.NOTSET)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = {line["event"] for line in lines}
    assert {"kept aside", "refused", "a customer has taken the consent back", "connected to the broker"} <= told
    assert [line["device"] for line in lines if line["event"] == "event accepted"]
    assert customer.state != "linked" and "wearmeter_fleet_devices 1.0" in shown["/metrics"]
    shown["/?q=ANNA"] = shown["/?q=ANNA"].replace('value="ANNA"', "")
    assert "ANNA" not in stream.getvalue() and not [path for path in paths if "ANNA" in shown[path]]
    assert len(tokens) >= 3
    secrets = [label, label.replace("-", ""), TOKEN, key, code, grantee, "secret-of-the-client", *tokens]
    for secret in secrets:
        assert secret not in stream.getvalue()
        assert not [path for path in paths if secret in shown[path]], secret
