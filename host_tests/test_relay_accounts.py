"""Each event goes to its device's owner, with a good token; tokens are kept encrypted and forgotten when revoked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tools.alexa_gateway import schema as gateway_schema
from tools.alexa_gateway.gateway import Fault, Gateway
from tools.alexa_gateway.lwa import Lwa, LwaFault
from tools.relay.accounts.accounts import Accounts
from tools.relay.accounts.claims import ClaimRefused, Claims
from tools.relay.accounts.owners import Owners, routes_for
from tools.relay.core import wire
from tools.relay.delivery.gateway_client import REGIONS
from tools.relay.delivery.lwa import LwaRefused, LwaUnreachable
from tools.relay.delivery.outbox import DEAD, QUEUED, VOID
from tools.relay.delivery.routes import NoRoute
from tools.relay.delivery.testing import Sending
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.relay.testing import ABOUT, NOW_S, Clock, replacement, report, wait_until

pytest_plugins = ["tools.relay.store.stores_for_tests"]
KEY = Fernet.generate_key().decode()


class Shop(Sending):
    """A relay with accounts, the stand-in gateway and Login with Amazon, all under one clock."""

    def __init__(self, store_url: str, server: Gateway, **settings: Any) -> None:
        assert server.lwa is not None
        clock = Clock()
        self.lwa = server.lwa
        self.lwa.clock = clock
        client = {"key": KEY, "lwa": server.url, "lwa_client_id": "client", "lwa_client_secret": "secret"}
        super().__init__(store_url, server, clock, gateway=server.url, **client, **settings)
        self.accounts = Accounts(self.settings, self.store, clock)
        self.claims = Claims(self.store)

    def grant(self, customer: str = "anna", region: str = "NA") -> None:
        """The customer enables the skill."""
        self.accounts.accept_grant(self.lwa.code(customer, region), self.lwa.user_token(customer))

    def claim(self, customer: str = "anna", device: str = "vacuum1") -> None:
        self.claims.claim(customer, self.claims.new_code(device), "NA")

    def customer(self, name: str = "anna") -> Any:
        return self.store.rows(schema.customers, customer=name)[0]

    def usages(self) -> list[str]:
        return [value for _, value in self.accepted()]


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
    made.store.close()


def test_events_go_to_the_owner_with_the_owners_token(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    assert shop.drain()
    shop.take(report(1, 100, 1, 100))
    assert shop.drain()
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


def test_an_unclaimed_devices_events_are_neither_queued_nor_dead(shop: Shop) -> None:
    shop.grant()
    shop.take(report(1, 100, 1, 100))
    assert shop.store.count(schema.queue) == 0


def test_current_use_is_told_at_linking_whatever_came_before_it(shop: Shop) -> None:
    """The device reports, then it is claimed, then its owner enables the skill: nobody waits for the next report."""
    shop.take(report(1, 100, 1, 100, 50, 1, 50), replacement(2, 2, 2, 60, 60), report(3, 160, 1, 160, 65, 2, 5))
    shop.claim()
    assert shop.store.count(schema.queue) == 0
    shop.grant()
    assert shop.drain()
    assert shop.names()[0] == "AddOrUpdateReport"
    assert shop.usages() == ["PT2M40S", "new", "PT5S"]


def test_current_use_is_told_when_a_customer_who_is_linked_claims(shop: Shop) -> None:
    shop.grant()
    shop.take(report(1, 100, 1, 100))
    shop.claim()
    assert shop.drain()
    assert shop.names() == ["AddOrUpdateReport", "InventoryConsumed"]


def test_a_token_is_refreshed_before_it_expires(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.take(report(1, 100, 1, 100))
    shop.clock.now_s += 3600 - 299
    assert shop.drain()
    assert (shop.lwa.refreshes, shop.gateway.rejected) == (1, [])
    assert shop.customer().expires_s == shop.clock.now_s + 3600


def test_the_refresh_token_of_each_answer_takes_the_place_of_the_one_before(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    for sequence in (1, 2, 3):
        shop.clock.now_s += 3600
        shop.take(report(sequence, sequence, 1, sequence, at=int(shop.clock.now_s)))
        assert shop.drain()
    assert (shop.lwa.refreshes, shop.gateway.rejected) == (3, [])


def test_a_refused_token_is_refreshed_and_the_event_sent_once_more(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    assert shop.drain()
    shop.lwa.expire("anna")
    shop.take(report(1, 100, 1, 100))
    assert shop.drain()
    assert shop.names() == ["AddOrUpdateReport", "InventoryConsumed"]
    assert ([entry["status"] for entry in shop.gateway.rejected], shop.lwa.refreshes) == ([401], 1)


def test_a_token_refused_again_after_its_refresh_is_not_refreshed_again_and_the_event_not_given_up(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    assert shop.drain()
    shop.take(report(1, 100, 1, 100))
    shop.gateway.faults += [Fault(401)] * 4
    assert shop.drain()
    assert (shop.lwa.refreshes, shop.reasons(DEAD), shop.usages()) == (1, [], ["PT1M40S"])


def test_a_gateway_that_refuses_every_token_is_left_alone_and_no_event_is_given_up(shop: Shop) -> None:
    customers = [f"customer{number}" for number in range(40)]
    for customer in customers:
        shop.describe(f"of-{customer}")
        shop.grant(customer)
        shop.claim(customer, f"of-{customer}")
    assert shop.drain()
    for customer in customers:
        shop.take(report(1, 100, 1, 100), device=f"of-{customer}")
    shop.gateway.outage = Fault(401)
    with shop:
        time.sleep(3)
        shop.gateway.outage = None
        assert wait_until(lambda: len(shop.usages()) == 40, 30)
    assert shop.reasons(DEAD) == []
    assert shop.lwa.refreshes <= 16, "those begun before the breaker opened"


def test_of_two_relays_one_refreshes_a_customers_token(shop: Shop, store_url: str, server: Gateway) -> None:
    shop.grant()
    devices = [f"unit{number}" for number in range(6)]
    shop.describe(*devices)
    for device in devices:
        shop.claim(device=device)
        shop.take(report(1, 60, 1, 60), device=device)
    shop.clock.now_s += 3600
    shop.lwa.faults.append(LwaFault(200, delay_s=0.5))
    other = Shop(store_url, server)
    other.clock.now_s = shop.clock.now_s
    shop.lwa.clock = shop.clock
    with other:
        assert shop.drain()
    other.store.close()
    assert (len(shop.usages()), shop.lwa.refreshes, shop.gateway.repeated) == (6, 1, 0)


def test_a_relay_that_died_while_refreshing_does_not_block_the_customer_for_ever(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.clock.now_s += 3600
    with shop.store.begin() as connection:
        until_s = shop.store.outbox.now_s(connection) + 1.0
        connection.execute(schema.customers.update().values(lease_until_s=until_s))
    shop.take(report(1, 100, 1, 100))
    assert shop.drain()
    assert shop.lwa.refreshes == 1


def test_a_consent_taken_back_forgets_the_tokens(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    assert shop.drain()
    shop.lwa.revoke("anna")
    shop.take(report(1, 100, 1, 100))
    assert shop.drain()
    assert shop.reasons(VOID) == ["Login with Amazon: invalid_grant"]
    assert (shop.customer().state, shop.customer().access, shop.customer().refresh) == ("revoked", None, None)


def test_a_disabled_skill_forgets_the_tokens_and_a_new_grant_brings_the_customer_back(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    assert shop.drain()
    shop.lwa.disabled.add("anna")
    shop.take(report(1, 100, 1, 100))
    assert shop.drain()
    assert (shop.reasons(DEAD), shop.count(VOID)) == ([], 1)
    assert wait_until(lambda: shop.customer().state == "revoked" and shop.customer().access is None)
    shop.lwa.disabled.clear()
    shop.grant()
    assert shop.drain()
    assert shop.names()[1:] == ["AddOrUpdateReport", "InventoryConsumed"]


def test_a_customer_of_another_region_is_not_enabled_here(shop: Shop) -> None:
    shop.grant(region="EU")
    shop.take(report(1, 100, 1, 100))
    shop.claim()
    with shop:
        assert wait_until(lambda: any(shop.reasons(QUEUED)))
    assert shop.reasons(DEAD) == [], "the discovery report waits for somebody to put the region right"


@pytest.mark.parametrize("region", sorted(REGIONS))
def test_a_customers_events_go_to_the_gateway_of_the_region_they_were_granted_in(shop: Shop, region: str) -> None:
    there = Accounts(Settings(**{**vars(shop.settings), "region": region, "gateway": None}), shop.store, shop.clock)
    there.accept_grant(shop.lwa.code("anna"), shop.lwa.user_token("anna"))
    shop.claim()
    with shop.store.begin() as connection:
        (leased,) = shop.store.leases.lease(connection, dict.fromkeys(REGIONS, 1), 20)
    assert leased.route == region
    assert Owners(there).route(leased.rows[0]).url == REGIONS[region]


@pytest.mark.parametrize("fault", [LwaFault(503), LwaFault(429), LwaFault(400, "temporarily_unavailable")])
def test_when_tokens_cannot_be_had_now_the_event_waits(shop: Shop, fault: LwaFault) -> None:
    shop.grant()
    shop.claim()
    shop.clock.now_s += 3600
    shop.take(report(1, 100, 1, 100))
    shop.lwa.faults.append(fault)
    assert shop.drain()
    assert (shop.reasons(DEAD), shop.usages()) == ([], ["PT1M40S"])


def test_a_login_with_amazon_that_hangs_delays_only_those_whose_tokens_have_ended(shop: Shop) -> None:
    for customer in ("anna", "bert"):
        shop.describe(f"of-{customer}")
        shop.grant(customer)
        shop.claim(customer, f"of-{customer}")
    assert shop.drain()
    with shop.store.begin() as connection:
        ended = schema.customers.update().where(schema.customers.c.customer == "anna")
        connection.execute(ended.values(expires_s=0.0))
    shop.lwa.faults.append(LwaFault(200, delay_s=1.5))
    for customer in ("anna", "bert"):
        shop.take(report(1, 60, 1, 60), device=f"of-{customer}")
    with shop:
        assert wait_until(lambda: len(shop.usages()) == 1, 1.2)
        assert shop.gateway.accepted[-1]["event"]["endpoint"]["endpointId"] == "of-bert"
        assert wait_until(lambda: len(shop.usages()) == 2)


def test_a_grant_with_a_used_code_or_a_false_token_is_refused(shop: Shop) -> None:
    code = shop.lwa.code("anna")
    with pytest.raises(LwaRefused):
        shop.accounts.accept_grant(code, "false")
    shop.accounts.accept_grant(code, shop.lwa.user_token("anna"))
    with pytest.raises(LwaRefused, match="invalid_grant"):
        shop.accounts.accept_grant(code, shop.lwa.user_token("anna"))


def test_no_answer_from_login_with_amazon_has_its_own_name(shop: Shop) -> None:
    nowhere = Accounts(Settings(key=KEY, lwa="http://127.0.0.1:1", lwa_client_id="client"), shop.store, shop.clock)
    with pytest.raises(LwaUnreachable):
        nowhere.accept_grant("code", "token")


def test_a_device_is_claimed_with_the_code_on_its_label_however_it_is_typed(shop: Shop) -> None:
    code = shop.claims.new_code("vacuum1")
    assert code.encode() not in bytes(repr(shop.store.rows(schema.devices)), "utf-8")
    assert (
        shop.claims.claim("anna", code.lower().replace("-", " ").replace("0", "o").replace("1", "l"), "NA") == "vacuum1"
    )


def test_a_wrong_or_old_code_or_anothers_device_is_refused(shop: Shop) -> None:
    old = shop.claims.new_code("vacuum1")
    code = shop.claims.new_code("vacuum1")
    for wrong in (old, "", "0000-0000-0000"):
        with pytest.raises(ClaimRefused, match="no device has this code"):
            shop.claims.claim("anna", wrong, "NA")
    shop.claims.claim("anna", code, "NA")
    with pytest.raises(ClaimRefused, match="another owner"):
        shop.claims.claim("bert", code, "NA")


def test_a_released_device_is_deleted_from_alexa_and_nothing_more_is_sent_for_it(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    assert shop.drain()
    shop.take(report(1, 100, 1, 100))
    shop.claims.release("vacuum1")
    shop.take(report(2, 160, 1, 160))
    assert shop.drain()
    assert shop.names() == ["AddOrUpdateReport", "DeleteReport"]
    assert shop.gateway.accepted[1]["event"]["payload"]["endpoints"] == [{"endpointId": "vacuum1"}]
    assert (shop.reasons(DEAD), shop.reasons(VOID)) == ([], ["released by its owner"])


def test_a_release_voids_the_code_the_name_and_the_tokens_of_who_owns_nothing_more(shop: Shop) -> None:
    shop.grant()
    code = shop.claims.new_code("vacuum1")
    shop.claims.claim("anna", code, "NA")
    shop.fleet.name("vacuum1", "Anna's vacuum")
    shop.claims.release("vacuum1")
    with pytest.raises(ClaimRefused, match="no device has this code"):
        shop.claims.claim("anna", code, "NA")
    assert shop.drain()
    assert (shop.customer().state, shop.customer().access, shop.customer().refresh) == ("new", None, None)
    assert shop.store.rows(schema.devices)[0].name is None


def test_a_release_leaves_the_tokens_of_who_owns_another_device(shop: Shop) -> None:
    shop.grant()
    shop.describe("vacuum2")
    shop.claim()
    shop.claim(device="vacuum2")
    shop.claims.release("vacuum1")
    assert shop.drain()
    assert shop.customer().access is not None


def test_increments_of_the_old_owners_use_are_not_told_to_the_new_one(store_url: str, server: Gateway) -> None:
    shop = Shop(store_url, server, usage="increment")
    shop.grant()
    shop.claim()
    shop.take(report(1, 100, 1, 100))
    assert shop.drain()
    shop.take(report(2, 160, 1, 160))
    shop.claims.release("vacuum1")
    shop.grant("bert")
    shop.claim("bert")
    shop.take(report(3, 190, 1, 190))
    assert shop.drain()
    shop.store.close()
    assert shop.usages() == ["PT1M40S", "PT0S", "PT30S"]


def test_a_dash_id_that_comes_later_is_reported_once(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    assert shop.drain()
    assert shop.fleet.replenish("VPM1", "Sensor.DustFilter", "dash-1") == 1
    assert shop.fleet.replenish("VPM1", "Sensor.DustFilter", "dash-1") == 0
    assert shop.fleet.replenish("Other", "Sensor.DustFilter", "dash-2") == 0
    assert shop.drain()
    assert shop.names() == ["AddOrUpdateReport"] * 2
    first = shop.gateway.accepted[-1]["event"]["payload"]["endpoints"][0]["capabilities"][0]
    assert first["configuration"]["replenishment"] == {"@type": "DashReplenishmentId", "value": "dash-1"}
    assert shop.gateway.rejected == []


def test_a_changed_about_message_is_reported_once_and_not_before_anybody_knows_the_device(shop: Shop) -> None:
    def newer(number: int) -> bytes:
        return wire.encode([*ABOUT[:5], f"0.2.{number}", ABOUT[6]])

    shop.fleet.about("vacuum1", newer(0))
    assert shop.store.count(schema.queue) == 0
    shop.grant()
    shop.claim()
    assert shop.drain()
    for number in range(300):
        shop.fleet.about("vacuum1", newer(number))
    assert shop.drain()
    assert shop.names() == ["AddOrUpdateReport"] * 2
    (told,) = shop.gateway.accepted[-1]["event"]["payload"]["endpoints"]
    assert told["additionalAttributes"]["firmwareVersion"] == "0.2.299"


def test_what_changes_while_its_report_is_on_its_way_is_reported_after_it(shop: Shop) -> None:
    shop.grant()
    shop.gateway.faults.append(Fault(202, delay_s=0.5))
    with shop:
        shop.claim()
        assert wait_until(lambda: bool(shop.gateway.arrivals))
        shop.fleet.name("vacuum1", "Downstairs")
        assert wait_until(lambda: len(shop.names()) == 2)
    assert shop.gateway.accepted[-1]["event"]["payload"]["endpoints"][0]["friendlyName"] == "Downstairs"


def test_a_dash_id_whose_report_was_refused_is_reported_again(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    assert shop.drain()
    shop.gateway.faults.append(Fault(400))
    assert shop.fleet.replenish("VPM1", "Sensor.DustFilter", "dash-1") == 1
    assert shop.drain()
    assert len(shop.names()) == 1
    assert shop.fleet.replenish("VPM1", "Sensor.DustFilter", "dash-1") == 1
    assert shop.drain()
    (told,) = shop.gateway.accepted[-1]["event"]["payload"]["endpoints"]
    assert told["capabilities"][0]["configuration"]["replenishment"]["value"] == "dash-1"


def test_what_a_discovery_has_told_is_not_reported_again(shop: Shop) -> None:
    shop.claim()
    shop.grant()
    assert len(shop.fleet.discover("anna")) == 1
    assert shop.fleet.replenish("Other", "x", "y") == 0
    shop.fleet.name("vacuum1", "Downstairs vacuum")
    assert shop.drain()
    assert shop.names() == ["AddOrUpdateReport"]
    assert shop.gateway.accepted[0]["event"]["payload"]["endpoints"][0]["friendlyName"] == "Downstairs vacuum"
    assert gateway_schema.fault(shop.gateway.accepted[0]) is None


def test_a_test_device_never_reaches_the_real_gateway(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    assert shop.drain()
    shop.take(report(1, 100, 1, 100))
    shop.fleet.mark_test("vacuum1")
    shop.take(report(2, 160, 1, 160))
    with shop:
        time.sleep(0.5)
    assert shop.names() == ["AddOrUpdateReport"]


def test_a_test_device_reaches_the_gateway_for_tests(store_url: str, server: Gateway) -> None:
    tests = Gateway(tokens={"test"})
    shop = Shop(store_url, server, test_gateway=tests.start())
    shop.fleet.mark_test("vacuum1")
    shop.take(report(1, 100, 1, 100))
    assert shop.drain()
    tests.stop()
    shop.store.close()
    assert (len(tests.accepted), shop.gateway.accepted) == (1, [])


def test_amazons_own_gateway_cannot_be_the_one_for_tests(shop: Shop) -> None:
    for url in ("https://api.amazonalexa.com", "https://api.eu.amazonalexa.com/", "http://API.fe.amazonalexa.com:443"):
        with pytest.raises(ValueError, match="Amazon's own"):
            routes_for(Settings(**{**vars(shop.settings), "test_gateway": url}), shop.store, shop.clock)


def test_with_one_gateway_and_token_no_accounts_are_needed_and_test_devices_stay_out(shop: Shop) -> None:
    routes = routes_for(Settings(gateway="http://127.0.0.1:1", token="t"), shop.store, shop.clock)
    assert routes is not None

    class Unit:
        customer, test = None, True

    with pytest.raises(NoRoute):
        routes.route(Unit())
    Unit.test = False
    assert routes.route(Unit()).token == "t"
    assert routes_for(Settings(), shop.store, shop.clock) is None
    with pytest.raises(ValueError, match="needs a token"):
        routes_for(Settings(gateway="http://127.0.0.1:1"), shop.store, shop.clock)


def test_send_now_tells_the_newest_totals_again_with_the_time_they_were_sampled(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.take(report(1, 100, 1, 100, 50, 1, 50), replacement(2, 2, 2, 60, 60), report(3, 160, 1, 160, 65, 2, 5))
    assert shop.drain()
    before = len(shop.gateway.accepted)
    shop.clock.now_s += 60
    assert shop.fleet.send_now("vacuum1") == 2
    assert shop.drain()
    again = [message["event"] for message in shop.gateway.accepted[before:]]
    assert [event["payload"]["usage"]["value"] for event in again] == ["PT2M40S", "PT5S"]
    assert {event["payload"]["timeOfSample"] for event in again} == {"2026-07-01T10:00:00Z"} and NOW_S == 1782900000


def test_silence_is_not_filled_with_invented_reports(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    shop.take(report(1, 100, 1, 100))
    assert shop.drain()
    shop.clock.now_s += 10 * 86400
    assert shop.drain()
    assert shop.names() == ["AddOrUpdateReport", "InventoryConsumed"]


def test_replay_sends_dead_letters_again_but_never_what_newer_events_have_overtaken(shop: Shop) -> None:
    shop.grant()
    shop.claim()
    assert shop.drain()
    shop.take(report(1, 100, 1, 100))
    shop.gateway.faults.append(Fault(400))
    assert shop.drain()
    shop.take(report(2, 160, 1, 160))
    assert shop.drain()
    shop.take(replacement(3, 1, 2, 160, 160))
    shop.gateway.faults.append(Fault(400))
    assert shop.drain()
    assert shop.fleet.replay("vacuum1") == (1, 1)
    assert shop.drain()
    assert shop.names() == ["AddOrUpdateReport", "InventoryConsumed", "InventoryReplaced"]
    assert shop.fleet.replay("vacuum1") == (0, 1)
