"""Each event goes to its device's owner, with a good token; tokens are kept encrypted and forgotten when revoked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tools.alexa_gateway import schema as gateway_schema
from tools.alexa_gateway.gateway import Fault, Gateway
from tools.alexa_gateway.lwa import Lwa, LwaFault
from tools.relay.accounts.accounts import Accounts, routes_for
from tools.relay.accounts.fleet import ClaimRefused, Fleet
from tools.relay.core import wire
from tools.relay.delivery.delivery import Delivery
from tools.relay.delivery.lwa import LwaRefused, LwaUnreachable
from tools.relay.delivery.routes import NoRoute
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, NOW_S, Clock, replacement, report

pytest_plugins = ["tools.relay.store.stores_for_tests"]
KEY = Fernet.generate_key().decode()


class Shop:
    """A relay with accounts, the stand-in gateway and Login with Amazon, all under one clock."""

    def __init__(self, store_url: str, server: Gateway) -> None:
        assert server.lwa is not None
        self.clock = Clock()
        self.lwa, self.gateway, url = server.lwa, server, server.url
        self.lwa.clock = self.clock
        self.settings = Settings(
            store=store_url,
            gateway=url,
            key=KEY,
            lwa=url,
            lwa_client_id="client",
            lwa_client_secret="secret",
        )
        self.store = Store(store_url, self.clock)
        self.fleet = Fleet(self.store)
        self.fleet.about("vacuum1", wire.encode(ABOUT))
        self.accounts = Accounts(self.settings, self.store, self.clock)
        self.delivery = Delivery(self.settings, self.store, self.accounts, self.clock, threading.Event())

    def grant(self, customer: str = "anna", region: str = "NA") -> None:
        """The customer enables the skill."""
        self.accounts.accept_grant(self.lwa.code(customer, region), self.lwa.user_token(customer))

    def claim(self, customer: str = "anna", device: str = "vacuum1") -> None:
        self.fleet.claim(customer, self.fleet.new_code(device), "NA")

    def take(self, *payloads: bytes, device: str = "vacuum1") -> None:
        self.store.accept([(device, payload, wire.decode_up(payload)) for payload in payloads])

    def drain(self) -> None:
        while rows := self.store.lease_heads("shop", 60, 100):
            for row in rows:
                self.delivery.deliver(row)

    def names(self) -> list[str]:
        return [message["event"]["header"]["name"] for message in self.gateway.accepted]

    def dead(self) -> list[str]:
        return [row.reason for row in self.store.rows(schema.queue, state="dead")]

    def customer(self, name: str = "anna") -> Any:
        return self.store.rows(schema.customers, customer=name)[0]

    def close(self) -> None:
        self.accounts.lwa.close()
        self.delivery.client.close()
        self.store.close()


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
def shop(store_url: str, server: Gateway) -> Iterator[Shop]:
    made = Shop(store_url, server)
    yield made
    made.close()


def test_events_go_to_the_owner_with_the_owners_token(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.drain()
    shop.take(report(1, 100, 1, 100))
    shop.drain()
    assert shop.names() == ["AddOrUpdateReport", "InventoryConsumed"]
    token = shop.gateway.accepted[1]["event"]["endpoint"]["scope"]["token"]
    assert shop.lwa.customer_of(token) == "anna"


def test_tokens_are_encrypted_at_rest(shop: Shop) -> None:
    shop.grant()
    for secret in (shop.customer().access, shop.customer().refresh):
        assert b"access." not in secret and b"refresh." not in secret
        assert Fernet(KEY).decrypt(secret)


def test_keys_can_be_rotated(shop: Shop) -> None:
    shop.grant()
    new = Fernet.generate_key().decode()
    both = Accounts(Settings(**{**vars(shop.settings), "key": f"{new},{KEY}"}), shop.store, shop.clock)
    assert both.rotate_keys() == 1
    assert Fernet(new).decrypt(shop.customer().access)


def test_a_bad_key_is_named_at_the_start(shop: Shop) -> None:
    with pytest.raises(ValueError, match="new-key"):
        Accounts(Settings(key="secret"), shop.store, shop.clock)


def test_an_unclaimed_device_reaches_nobody(shop: Shop) -> None:
    shop.grant()
    shop.take(report(1, 100, 1, 100))
    shop.drain()
    assert shop.dead() == ["no customer has claimed the device"] and shop.gateway.accepted == []


def test_a_device_whose_owner_has_not_enabled_the_skill_reaches_nobody(shop: Shop) -> None:
    shop.claim()
    shop.take(report(1, 100, 1, 100))
    shop.drain()
    assert shop.dead() == ["the customer is new: the skill has not been enabled"]


def test_a_token_is_refreshed_before_it_expires(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.take(report(1, 100, 1, 100))
    shop.clock.now_s += 3600 - 299
    shop.drain()
    assert (shop.lwa.refreshes, shop.gateway.rejected) == (1, [])
    assert shop.customer().expires_s == shop.clock.now_s + 3600


def test_the_refresh_token_of_each_answer_takes_the_place_of_the_one_before(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    for sequence in (1, 2, 3):
        shop.clock.now_s += 3600
        shop.take(report(sequence, sequence, 1, sequence, at=int(shop.clock.now_s)))
        shop.drain()
    assert (shop.lwa.refreshes, shop.gateway.rejected) == (3, [])


def test_a_refused_token_is_refreshed_and_the_event_sent_once_more(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.drain()
    shop.lwa.expire("anna")
    shop.take(report(1, 100, 1, 100))
    shop.drain()
    assert shop.names() == ["AddOrUpdateReport", "InventoryConsumed"]
    assert ([entry["status"] for entry in shop.gateway.rejected], shop.lwa.refreshes) == ([401], 1)


def test_a_token_refused_again_after_its_refresh_is_a_dead_letter(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.drain()
    shop.take(report(1, 100, 1, 100))
    shop.gateway.faults += [Fault(401), Fault(401)]
    shop.drain()
    assert shop.dead() == ["401 INVALID_ACCESS_TOKEN_EXCEPTION as told to"]


def test_of_many_senders_one_refreshes_a_customers_token(shop: Shop) -> None:
    shop.grant()
    shop.clock.now_s += 3600
    shop.lwa.faults.append(LwaFault(200, delay_s=0.3))

    class Row:
        customer, owner, test = "anna", "anna", False

    with ThreadPoolExecutor(8) as senders:
        tokens = {route.token for route in senders.map(shop.accounts.route, [Row()] * 8)}
    assert (len(tokens), shop.lwa.refreshes) == (1, 1)


def test_a_relay_that_died_while_refreshing_does_not_block_the_customer_for_ever(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.clock.now_s += 3600
    with shop.store.begin() as connection:
        connection.execute(schema.customers.update().values(lease_until_s=shop.clock.now_s + 30))
    shop.clock.now_s += 31
    shop.take(report(1, 100, 1, 100))
    shop.drain()
    assert shop.lwa.refreshes == 1


def test_a_consent_taken_back_forgets_the_tokens(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.drain()
    shop.lwa.revoke("anna")
    shop.take(report(1, 100, 1, 100))
    shop.drain()
    assert shop.dead() == ["the customer is revoked: Login with Amazon: invalid_grant"]
    assert (shop.customer().state, shop.customer().access, shop.customer().refresh) == ("revoked", None, None)


def test_a_disabled_skill_forgets_the_tokens_and_a_new_grant_brings_the_customer_back(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.drain()
    shop.lwa.disabled.add("anna")
    shop.take(report(1, 100, 1, 100))
    shop.drain()
    assert shop.dead() == ["403 SKILL_DISABLED_EXCEPTION the customer has disabled the skill"]
    assert (shop.customer().state, shop.customer().access) == ("revoked", None)
    shop.lwa.disabled.clear()
    shop.grant()
    shop.take(report(2, 160, 1, 160))
    shop.drain()
    assert shop.names()[-1] == "InventoryConsumed"


def test_a_customer_of_another_region_is_not_enabled_here(shop: Shop) -> None:
    shop.grant(region="EU")
    shop.claim()
    shop.drain()
    assert shop.dead() == ["403 SKILL_NEVER_ENABLED_EXCEPTION never enabled in this region"]


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("NA", "https://api.amazonalexa.com"),
        ("EU", "https://api.eu.amazonalexa.com"),
        ("FE", "https://api.fe.amazonalexa.com"),
    ],
)
def test_a_customers_events_go_to_the_gateway_of_the_region_they_were_granted_in(
    shop: Shop, region: str, url: str
) -> None:
    there = Accounts(Settings(**{**vars(shop.settings), "region": region, "gateway": None}), shop.store, shop.clock)
    there.accept_grant(shop.lwa.code("anna"), shop.lwa.user_token("anna"))

    class Row:
        customer, owner, test = None, "anna", False

    assert there.route(Row()).url == url


@pytest.mark.parametrize("fault", [LwaFault(503), LwaFault(429), LwaFault(400, "temporarily_unavailable")])
def test_when_tokens_cannot_be_had_now_the_event_waits(shop: Shop, fault: LwaFault) -> None:
    shop.grant()
    shop.claim()
    shop.clock.now_s += 3600
    shop.take(report(1, 100, 1, 100))
    shop.lwa.faults.append(fault)
    shop.drain()
    assert (shop.dead(), shop.gateway.accepted) == ([], [])
    shop.clock.now_s += 60
    shop.drain()
    assert shop.names() == ["AddOrUpdateReport", "InventoryConsumed"]


def test_a_grant_with_a_used_code_or_a_false_token_is_refused(shop: Shop) -> None:
    code = shop.lwa.code("anna")
    with pytest.raises(LwaRefused):
        shop.accounts.accept_grant(code, "false")
    shop.accounts.accept_grant(code, shop.lwa.user_token("anna"))
    with pytest.raises(LwaRefused, match="invalid_grant"):
        shop.accounts.accept_grant(code, shop.lwa.user_token("anna"))


def test_no_answer_from_login_with_amazon_has_its_own_name(shop: Shop) -> None:
    nowhere = Accounts(Settings(key=KEY, lwa="http://127.0.0.1:1"), shop.store, shop.clock)
    with pytest.raises(LwaUnreachable):
        nowhere.accept_grant("code", "token")


def test_a_device_is_claimed_with_the_code_on_its_label_however_it_is_typed(shop: Shop) -> None:
    code = shop.fleet.new_code("vacuum1")
    assert code.encode() not in bytes(repr(shop.store.rows(schema.devices)), "utf-8")
    assert (
        shop.fleet.claim("anna", code.lower().replace("-", " ").replace("0", "o").replace("1", "l"), "NA") == "vacuum1"
    )


def test_a_wrong_or_old_code_or_anothers_device_is_refused(shop: Shop) -> None:
    old = shop.fleet.new_code("vacuum1")
    code = shop.fleet.new_code("vacuum1")
    for wrong in (old, "", "0000-0000-0000"):
        with pytest.raises(ClaimRefused, match="no device has this code"):
            shop.fleet.claim("anna", wrong, "NA")
    shop.fleet.claim("anna", code, "NA")
    with pytest.raises(ClaimRefused, match="another owner"):
        shop.fleet.claim("bert", code, "NA")


def test_a_released_device_is_deleted_from_alexa_and_nothing_more_is_sent_for_it(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.drain()
    shop.take(report(1, 100, 1, 100))
    shop.fleet.release("vacuum1")
    shop.take(report(2, 160, 1, 160))
    shop.drain()
    assert shop.names() == ["AddOrUpdateReport", "DeleteReport"]
    assert shop.gateway.accepted[1]["event"]["payload"]["endpoints"] == [{"endpointId": "vacuum1"}]
    assert shop.dead() == ["released by its owner", "no customer has claimed the device"]
    shop.grant("bert")
    shop.claim("bert")
    shop.drain()
    assert shop.names()[2:] == ["AddOrUpdateReport"]


def test_a_dash_id_that_comes_later_is_reported_once(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    assert shop.fleet.replenish("VPM1", "Sensor.DustFilter", "dash-1") == 1
    assert shop.fleet.replenish("VPM1", "Sensor.DustFilter", "dash-1") == 0
    assert shop.fleet.replenish("Other", "Sensor.DustFilter", "dash-2") == 0
    shop.drain()
    assert shop.names() == ["AddOrUpdateReport"] * 2
    first = shop.gateway.accepted[-1]["event"]["payload"]["endpoints"][0]["capabilities"][0]
    assert first["configuration"]["replenishment"] == {"@type": "DashReplenishmentId", "value": "dash-1"}
    assert shop.gateway.rejected == []


def test_a_changed_about_message_is_reported_once_and_not_before_anybody_knows_the_device(shop: Shop) -> None:
    newer = wire.encode([*ABOUT[:5], "0.2.0", ABOUT[6]])
    shop.fleet.about("vacuum1", newer)
    assert shop.store.count(schema.queue) == 0
    shop.grant()
    shop.claim()
    newest = wire.encode([*ABOUT[:5], "0.3.0", ABOUT[6]])
    for payload in (newer, newest, newest):
        shop.fleet.about("vacuum1", payload)
    shop.drain()
    assert shop.names() == ["AddOrUpdateReport"] * 2


def test_what_a_discovery_has_told_is_not_reported_again(shop: Shop) -> None:
    shop.claim()
    shop.grant()
    assert len(shop.fleet.discover("anna")) == 1
    assert shop.fleet.replenish("Other", "x", "y") == 0
    shop.fleet.name("vacuum1", "Downstairs vacuum")
    shop.drain()
    assert shop.names() == ["AddOrUpdateReport"]
    assert shop.gateway.accepted[0]["event"]["payload"]["endpoints"][0]["friendlyName"] == "Downstairs vacuum"
    assert gateway_schema.fault(shop.gateway.accepted[0]) is None


def test_a_test_device_never_reaches_the_real_gateway(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.drain()
    shop.fleet.mark_test("vacuum1")
    shop.take(report(1, 100, 1, 100))
    shop.drain()
    assert shop.names() == ["AddOrUpdateReport"]
    assert shop.dead() == ["a test device, and there is no gateway for tests"]


def test_a_test_device_reaches_the_gateway_for_tests(shop: Shop) -> None:
    tests = Gateway(tokens={"test"})
    routes = routes_for(Settings(**{**vars(shop.settings), "test_gateway": tests.start()}), shop.store, shop.clock)
    assert routes is not None
    shop.delivery.routes = routes
    shop.fleet.mark_test("vacuum1")
    shop.take(report(1, 100, 1, 100))
    shop.drain()
    tests.stop()
    assert (len(tests.accepted), shop.gateway.accepted) == (1, [])


def test_amazons_own_gateway_cannot_be_the_one_for_tests(shop: Shop) -> None:
    for url in ("https://api.amazonalexa.com", "https://api.eu.amazonalexa.com/", "http://API.fe.amazonalexa.com:443"):
        with pytest.raises(ValueError, match="Amazon's own"):
            routes_for(Settings(**{**vars(shop.settings), "test_gateway": url}), shop.store, shop.clock)


def test_with_one_gateway_and_token_no_accounts_are_needed_and_test_devices_stay_out(shop: Shop) -> None:
    routes = routes_for(Settings(gateway="http://127.0.0.1:1", token="t"), shop.store, shop.clock)
    assert routes is not None

    class Row:
        customer, owner, test = None, None, True

    with pytest.raises(NoRoute):
        routes.route(Row())
    Row.test = False
    assert routes.route(Row()).token == "t"
    assert routes_for(Settings(), shop.store, shop.clock) is None
    with pytest.raises(ValueError, match="needs a token"):
        routes_for(Settings(gateway="http://127.0.0.1:1"), shop.store, shop.clock)


def test_send_now_tells_the_newest_totals_again_with_the_time_they_were_sampled(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.take(report(1, 100, 1, 100, 50, 1, 50), replacement(2, 2, 2, 60, 60), report(3, 160, 1, 160, 65, 2, 5))
    shop.drain()
    before = len(shop.gateway.accepted)
    shop.clock.now_s += 60
    assert shop.fleet.send_now("vacuum1") == 2
    shop.drain()
    again = [message["event"] for message in shop.gateway.accepted[before:]]
    assert [event["payload"]["usage"]["value"] for event in again] == ["PT2M40S", "PT5S"]
    assert {event["payload"]["timeOfSample"] for event in again} == {"2026-07-01T10:00:00Z"} and NOW_S == 1782900000


def test_silence_is_not_filled_with_invented_reports(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.take(report(1, 100, 1, 100))
    shop.drain()
    shop.clock.now_s += 10 * 86400
    shop.drain()
    assert shop.names() == ["AddOrUpdateReport", "InventoryConsumed"]


def test_replay_sends_dead_letters_again_but_never_what_newer_events_have_overtaken(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.drain()
    shop.take(report(1, 100, 1, 100))
    shop.gateway.faults.append(Fault(400))
    shop.drain()
    shop.take(report(2, 160, 1, 160))
    shop.drain()
    shop.take(replacement(3, 1, 2, 160, 160))
    shop.gateway.faults.append(Fault(404))
    shop.drain()
    assert shop.fleet.replay("vacuum1") == (1, 1)
    shop.drain()
    assert shop.names() == ["AddOrUpdateReport", "InventoryConsumed", "InventoryReplaced"]
    assert shop.fleet.replay("vacuum1") == (0, 1)
