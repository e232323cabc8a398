"""What is queued reaches the gateway in order, once, and each answer has the consequence that Amazon's page gives."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tools.alexa_gateway.gateway import Fault, Gateway
from tools.relay.accounts.accounts import routes_for
from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire
from tools.relay.delivery.delivery import Delivery
from tools.relay.delivery.gateway_client import GatewayClient
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, Clock, replacement, report, wait_until

pytest_plugins = ["tools.relay.store.stores_for_tests"]


class Bench:
    """A store with one device, the stand-in gateway, and a delivery that is stepped by hand."""

    def __init__(self, store_url: str, gateway: Gateway, **settings: Any) -> None:
        self.clock = Clock()
        self.gateway = gateway
        self.settings = Settings(store=store_url, gateway=gateway.url, token="good", **settings)
        self.store = Store(store_url, self.clock)
        self.fleet = Fleet(self.store)
        self.fleet.about("vacuum1", wire.encode(ABOUT))
        routes = routes_for(self.settings, self.store, self.clock)
        assert routes is not None
        self.delivery = Delivery(self.settings, self.store, routes, self.clock, threading.Event())

    def take(self, *payloads: bytes, device: str = "vacuum1") -> None:
        self.store.accept([(device, payload, wire.decode_up(payload)) for payload in payloads])

    def step(self, wait_s: float = 0) -> int:
        """Send what is due now; returns how many events that were."""
        self.clock.now_s += wait_s
        rows = self.store.lease_heads("bench", 60, 100)
        for row in rows:
            self.delivery.deliver(row)
        return len(rows)

    def drain(self) -> None:
        while self.step():
            pass

    def accepted(self) -> list[tuple[str, str]]:
        """Instance and usage (or name) of each event that the gateway has."""
        events = [message["event"] for message in self.gateway.accepted]
        return [
            (event["header"]["instance"], event["payload"].get("usage", {"value": "new"})["value"]) for event in events
        ]

    def endpoints(self) -> list[str]:
        return [message["event"]["endpoint"]["endpointId"] for message in self.gateway.accepted]

    def close(self) -> None:
        self.delivery.client.close()
        self.store.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    gateway = Gateway(tokens={"good"})
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    running.forget()
    return running


@pytest.fixture
def bench(store_url: str, gateway: Gateway) -> Iterator[Bench]:
    made = Bench(store_url, gateway)
    yield made
    made.close()


def test_events_arrive_in_order_with_the_total_since_the_part_was_fitted(bench: Bench) -> None:
    bench.take(report(1, 100, 1, 100), report(2, 160, 1, 160), replacement(3, 1, 2, 170, 170), report(4, 180, 2, 10))
    bench.drain()
    assert [value for _, value in bench.accepted()] == ["PT1M40S", "PT2M40S", "PT2M50S", "new", "PT10S"]
    assert bench.gateway.rejected == []
    assert bench.store.count(schema.queue, state="sent") == 5


def test_increments_are_what_was_added_since_the_gateways_last_accepted_value(store_url: str, gateway: Gateway) -> None:
    bench = Bench(store_url, gateway, usage="increment")
    bench.take(report(1, 100, 1, 100), report(2, 160, 1, 160), replacement(3, 1, 2, 170, 170), report(4, 180, 2, 10))
    bench.drain()
    bench.close()
    assert [value for _, value in bench.accepted()] == ["PT1M40S", "PT1M", "PT10S", "new", "PT10S"]


def test_an_increment_that_was_never_accepted_is_in_the_next_one(store_url: str, gateway: Gateway) -> None:
    bench = Bench(store_url, gateway, usage="increment")
    bench.gateway.faults.append(Fault(400))
    bench.take(report(1, 100, 1, 100), report(2, 160, 1, 160))
    bench.drain()
    bench.close()
    assert [value for _, value in bench.accepted()] == ["PT2M40S"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_temporary_refusal_is_resent_with_the_same_message_id_after_a_second(bench: Bench, status: int) -> None:
    bench.take(report(1, 100, 1, 100))
    bench.gateway.faults += [Fault(status)] * 3
    assert (bench.step(), bench.step(0.9), bench.step(0.2)) == (1, 0, 1)
    bench.step(2)
    assert bench.accepted() == []
    bench.step(4)
    assert [value for _, value in bench.accepted()] == ["PT1M40S"]


def test_after_three_resends_a_consumption_is_a_dead_letter_and_the_next_total_goes_on(bench: Bench) -> None:
    bench.take(report(1, 100, 1, 100), report(2, 160, 1, 160))
    bench.gateway.faults += [Fault(503)] * 4
    for _ in range(4):
        bench.step(10)
    assert [row.reason for row in bench.store.rows(schema.queue, state="dead")] == [
        "503 SERVICE_UNAVAILABLE_EXCEPTION as told to"
    ]
    bench.drain()
    assert [value for _, value in bench.accepted()] == ["PT2M40S"]


def test_a_replacement_is_not_given_up_for_a_gateway_that_is_down_for_long(bench: Bench) -> None:
    bench.take(replacement(1, 1, 2, 0, 0), report(2, 100, 2, 100))
    bench.gateway.faults += [None] + [Fault(503)] * 8
    for _ in range(9):
        bench.step(1000)
    assert bench.store.count(schema.queue, state="dead") == 0
    bench.step(4000)
    bench.drain()
    assert [value for _, value in bench.accepted()] == ["PT0S", "new", "PT1M40S"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ""),
        (403, "SKILL_NEVER_ENABLED_EXCEPTION"),
        (403, "INSUFFICIENT_PERMISSION_EXCEPTION"),
        (404, ""),
        (413, ""),
    ],
)
def test_a_final_refusal_is_a_dead_letter_at_once(bench: Bench, status: int, code: str) -> None:
    bench.take(report(1, 100, 1, 100))
    bench.gateway.faults.append(Fault(status, code))
    bench.step()
    bench.step(1000)
    assert (len(bench.gateway.rejected), bench.accepted()) == (1, [])
    assert bench.store.rows(schema.queue)[0].state == "dead"


def test_no_answer_is_tried_until_there_is_one(bench: Bench) -> None:
    bench.take(report(1, 100, 1, 100))
    bench.gateway.faults += [Fault(0)] * 10
    for _ in range(11):
        bench.step(3600)
    assert [value for _, value in bench.accepted()] == ["PT1M40S"]


def test_an_event_whose_answer_was_lost_is_told_apart_by_its_id(bench: Bench) -> None:
    bench.take(report(1, 100, 1, 100))
    bench.gateway.faults.append(Fault(0, after=True))
    bench.step()
    bench.step(60)
    assert (len(bench.gateway.accepted), bench.gateway.repeated) == (1, 1)
    assert bench.store.count(schema.queue, state="sent") == 1


def test_only_202_is_success(bench: Bench) -> None:
    bench.take(report(1, 100, 1, 100))
    bench.gateway.faults.append(Fault(200))
    bench.step()
    assert bench.store.count(schema.queue, state="queued") == 1


def test_an_endpoint_in_trouble_does_not_hold_back_another(bench: Bench) -> None:
    bench.fleet.about("vacuum2", wire.encode(ABOUT))
    bench.take(report(1, 100, 1, 100))
    bench.gateway.faults.append(Fault(503))
    bench.step()
    bench.take(report(1, 60, 1, 60), device="vacuum2")
    bench.drain()
    assert bench.endpoints() == ["vacuum2"]


def test_after_a_crash_between_the_answer_and_its_note_the_same_event_is_sent_again(bench: Bench) -> None:
    bench.take(report(1, 100, 1, 100))
    (row,) = bench.store.lease_heads("crashed", 60, 1)
    bench.delivery._post(row, bench.delivery.routes.route(row))
    assert (bench.step(), bench.step(60)) == (0, 1)
    assert (len(bench.gateway.accepted), bench.gateway.repeated) == (1, 1)


def test_a_consumable_that_a_new_firmware_no_longer_has_is_a_dead_letter(bench: Bench) -> None:
    bench.take(report(1, 100, 1, 100, 50, 1, 50))
    bench.fleet.about("vacuum1", wire.encode([*ABOUT[:6], ABOUT[6][:1]]))
    bench.drain()
    assert [row.reason for row in bench.store.rows(schema.queue, state="dead")] == [
        "the device no longer has this consumable"
    ]


def test_a_gateway_slower_than_the_deadline_is_one_that_did_not_answer(bench: Bench) -> None:
    bench.delivery.client.close()
    bench.delivery.client = GatewayClient(timeout_s=0.1)
    bench.take(report(1, 100, 1, 100))
    bench.gateway.faults.append(Fault(202, delay_s=0.5))
    bench.step()
    assert "no answer" in bench.store.rows(schema.queue)[0].reason
    bench.step(60)
    assert bench.store.count(schema.queue, state="sent") == 1
    assert wait_until(lambda: bench.gateway.repeated == 1), "the slow one arrived after all"


def test_a_throttled_fleet_gets_through_in_the_end(bench: Bench) -> None:
    for number in range(6):
        bench.fleet.about(f"vacuum{number}", wire.encode(ABOUT))
        bench.take(report(1, 100, 1, 100), device=f"vacuum{number}")
    bench.gateway.requests_per_s, bench.gateway.monotonic = 4, bench.clock
    bench.step()
    assert len(bench.gateway.accepted) == 4
    bench.step(10)
    assert sorted(bench.endpoints()) == [f"vacuum{number}" for number in range(6)]


def test_several_senders_on_one_store_keep_the_order_of_each_endpoint_and_send_nothing_twice(
    store_url: str, gateway: Gateway
) -> None:
    settings = Settings(store=store_url, gateway=gateway.url, token="good")
    stopping = threading.Event()
    stores = [Store(store_url, time.time) for _ in range(3)]
    for number in range(5):
        Fleet(stores[0]).about(f"vacuum{number}", wire.encode(ABOUT))
        payloads = [report(sequence, 60 * sequence, 1, 60 * sequence) for sequence in range(1, 9)]
        stores[0].accept([(f"vacuum{number}", payload, wire.decode_up(payload)) for payload in payloads])
    threads = []
    for store in stores:
        routes = routes_for(settings, store, time.time)
        assert routes is not None
        threads.append(threading.Thread(target=Delivery(settings, store, routes, time.time, stopping).run))
        threads[-1].start()
    assert wait_until(lambda: stores[0].count(schema.queue, state="sent") == 40, 30)
    stopping.set()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    told: dict[str, list[str]] = {}
    for message in gateway.accepted:
        event = message["event"]
        told.setdefault(event["endpoint"]["endpointId"], []).append(event["payload"]["usage"]["value"])
    assert told == {f"vacuum{number}": [f"PT{minutes}M" for minutes in range(1, 9)] for number in range(5)}
    assert gateway.repeated == 0
