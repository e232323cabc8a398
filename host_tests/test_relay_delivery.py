"""What is queued reaches the gateway in order, once, and each answer has the consequence that Amazon's page gives."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from tools.alexa_gateway.gateway import Fault, Gateway
from tools.relay.core import wire
from tools.relay.delivery.delivery import SENDERS_WHILE_BUSY
from tools.relay.delivery.leases import Leased, Result, Settled
from tools.relay.delivery.outbox import DEAD, QUEUED, SENT, VOID
from tools.relay.delivery.testing import Sending
from tools.relay.store import schema
from tools.relay.testing import ABOUT, replacement, report, wait_until

pytest_plugins = ["tools.relay.store.stores_for_tests"]


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
def sending(store_url: str, gateway: Gateway) -> Iterator[Sending]:
    made = Sending(store_url, gateway)
    yield made
    made.store.close()


def usages(sending: Sending) -> list[str]:
    return [value for _, value in sending.accepted()]


def test_events_arrive_in_order_with_the_total_since_the_part_was_fitted(sending: Sending) -> None:
    sending.take(report(1, 100, 1, 100), report(2, 160, 1, 160), replacement(3, 1, 2, 170, 170), report(4, 180, 2, 10))
    assert sending.drain()
    assert usages(sending) == ["PT1M40S", "PT2M40S", "PT2M50S", "new", "PT10S"]
    assert (sending.gateway.rejected, sending.count(SENT)) == ([], 5)


def test_more_events_than_one_lease_takes_keep_their_order(sending: Sending) -> None:
    sending.take(*(report(number, 60 * number, 1, 60 * number) for number in range(1, 31)))
    assert sending.drain()
    assert usages(sending) == [f"PT{number}M" for number in range(1, 31)]


def test_what_is_queued_while_an_endpoint_is_being_sent_is_sent_too(sending: Sending) -> None:
    sending.gateway.faults.append(Fault(202, delay_s=0.5))
    with sending:
        sending.take(report(1, 60, 1, 60))
        assert wait_until(lambda: bool(sending.gateway.arrivals))
        sending.take(report(2, 120, 1, 120))
        assert wait_until(lambda: usages(sending) == ["PT1M", "PT2M"], 5)


@pytest.mark.parametrize(("busy", "most"), [(True, SENDERS_WHILE_BUSY), (False, 3 * SENDERS_WHILE_BUSY)])
def test_while_devices_wait_for_the_store_little_is_sent_at_once(sending: Sending, busy: bool, most: int) -> None:
    names = [f"vacuum{number}" for number in range(10, 10 + most * 2)]
    sending.describe(*names)
    for name in names:
        sending.take(report(1, 60, 1, 60), device=name)
    sending.gateway.outage = Fault(202, delay_s=30.0)
    sending.start(busy)
    assert wait_until(lambda: len(sending.gateway.arrivals) >= most)
    time.sleep(0.3)
    assert (len(sending.gateway.arrivals) == most) is busy
    sending.stop()


def test_increments_are_what_was_added_since_the_last_one(store_url: str, gateway: Gateway) -> None:
    sending = Sending(store_url, gateway, usage="increment")
    sending.take(report(1, 100, 1, 100), report(2, 160, 1, 160), replacement(3, 1, 2, 170, 170), report(4, 180, 2, 10))
    assert sending.drain()
    sending.store.close()
    assert usages(sending) == ["PT1M40S", "PT1M", "PT10S", "new", "PT10S"]


def test_an_increment_that_was_refused_at_once_is_in_the_next_one(store_url: str, gateway: Gateway) -> None:
    sending = Sending(store_url, gateway, usage="increment")
    gateway.faults.append(Fault(400))
    sending.take(report(1, 100, 1, 100), report(2, 160, 1, 160))
    assert sending.drain()
    sending.store.close()
    assert usages(sending) == ["PT2M40S"]


def test_an_increment_is_never_told_twice_though_its_answer_was_lost_and_then_a_refusal(
    store_url: str, gateway: Gateway
) -> None:
    sending = Sending(store_url, gateway, usage="increment")
    gateway.faults += [Fault(0, after=True), Fault(400)]
    sending.take(report(1, 100, 1, 100), report(2, 160, 1, 160))
    assert sending.drain()
    sending.store.close()
    assert usages(sending) == ["PT1M40S", "PT1M"]


@pytest.mark.parametrize("status", [408, 429, 500, 501, 502, 503, 504, 520, 200, 302, 403])
def test_an_answer_that_is_not_amazons_last_word_is_followed_by_the_same_message_again(
    sending: Sending, status: int
) -> None:
    """403 here is a proxy's: it has no code of Amazon's."""
    sending.take(report(1, 100, 1, 100))
    sending.gateway.faults += [Fault(status, code=" ")] * 5
    assert sending.drain()
    assert (usages(sending), sending.count(DEAD), len(sending.gateway.arrivals)) == (["PT1M40S"], 0, 6)


def test_an_event_is_sent_again_no_sooner_than_the_setting_says_and_each_time_later(
    store_url: str, gateway: Gateway
) -> None:
    sending = Sending(store_url, gateway, resend_after_s=0.2)
    sending.take(report(1, 100, 1, 100))
    gateway.faults += [Fault(503)] * 3
    assert sending.drain()
    sending.store.close()
    times = list(gateway.arrivals)
    waits = [later - before for before, later in zip(times, times[1:], strict=False)]
    assert waits[0] >= 0.2 and waits[1] >= 0.4 and waits[2] >= 0.8


def test_after_an_outage_a_newer_total_takes_the_place_of_those_before_it(sending: Sending) -> None:
    sending.take(*(report(number, 60 * number, 1, 60 * number) for number in range(1, 6)))
    sending.gateway.faults.append(Fault(503))
    assert sending.drain()
    assert usages(sending) == ["PT5M"]
    assert sending.reasons(VOID) == ["a newer total has taken its place"] * 4


def test_a_replacement_and_what_goes_before_it_are_not_given_up(sending: Sending) -> None:
    sending.take(replacement(1, 1, 2, 0, 0), report(2, 100, 2, 100))
    sending.gateway.faults += [Fault(502, code=" ")] * 4
    assert sending.drain()
    assert (usages(sending), sending.count(DEAD)) == (["PT0S", "new", "PT1M40S"], 0)


FINAL = [
    (400, ""),
    (403, "SKILL_NEVER_ENABLED_EXCEPTION"),
    (403, "INSUFFICIENT_PERMISSION_EXCEPTION"),
    (404, ""),
    (413, ""),
]


@pytest.mark.parametrize(("status", "code"), FINAL)
def test_a_consumption_that_amazon_refuses_for_good_is_a_dead_letter_at_once(
    sending: Sending, status: int, code: str
) -> None:
    sending.take(report(1, 100, 1, 100))
    sending.gateway.faults.append(Fault(status, code))
    assert sending.drain()
    assert (len(sending.gateway.rejected), sending.accepted(), sending.count(DEAD)) == (1, [], 1)


@pytest.mark.parametrize(("status", "code"), FINAL[1:4])
def test_a_replacement_that_is_refused_for_what_a_person_can_put_right_waits_for_that(
    sending: Sending, status: int, code: str
) -> None:
    sending.take(replacement(1, 1, 2, 0, 0))
    sending.gateway.faults += [None, Fault(status, code)]
    with sending:
        assert wait_until(lambda: len(sending.gateway.rejected) == 1)
        assert wait_until(lambda: any(sending.reasons(QUEUED)))
        sending.hurry()
        assert wait_until(lambda: usages(sending) == ["PT0S", "new"])
    assert sending.count(DEAD) == 0


def test_no_answer_is_tried_until_there_is_one(sending: Sending) -> None:
    sending.take(report(1, 100, 1, 100))
    sending.gateway.faults += [Fault(0)] * 6
    assert sending.drain()
    assert usages(sending) == ["PT1M40S"]


def test_an_event_whose_answer_was_lost_is_told_apart_by_its_id(sending: Sending) -> None:
    sending.take(report(1, 100, 1, 100))
    sending.gateway.faults.append(Fault(0, after=True))
    assert sending.drain()
    assert (len(sending.gateway.accepted), sending.gateway.repeated, sending.count(SENT)) == (1, 1, 1)


def test_a_dripping_answer_ends_with_the_deadline_and_nothing_of_the_endpoint_overtakes_it(
    store_url: str, gateway: Gateway
) -> None:
    """Sixteen bytes, one each 0.4 s: no read takes longer than the deadline of 1 s, and the whole would take 6.4 s."""
    sending = Sending(store_url, gateway, deadline_s=1.0, lease_s=3.0)
    sending.take(replacement(1, 1, 2, 0, 0))
    gateway.faults += [Fault(503, drip_s=0.4)]
    began = time.monotonic()
    assert sending.drain(10)
    sending.store.close()
    first, again = list(gateway.arrivals)[:2]
    assert 0.9 < again - first < 3.0 and time.monotonic() - began < 6
    assert (usages(sending), gateway.repeated) == (["PT0S", "new"], 0)


def test_an_endpoint_in_trouble_does_not_hold_back_another(store_url: str, gateway: Gateway) -> None:
    sending = Sending(store_url, gateway, resend_after_s=60.0)
    sending.describe("vacuum2")
    with sending:
        gateway.faults.append(Fault(503))
        sending.take(report(1, 100, 1, 100))
        assert wait_until(lambda: any(sending.reasons(QUEUED)))
        sending.take(report(1, 60, 1, 60), device="vacuum2")
        assert wait_until(lambda: usages(sending) == ["PT1M"])
    sending.store.close()


def test_a_route_that_hangs_starves_no_other(store_url: str, gateway: Gateway) -> None:
    hanging = Gateway(tokens={"test"})
    hanging.outage = Fault(202, delay_s=5.0)
    tests, others = [[f"{kind}{number}" for number in range(16)] for kind in ("test", "unit")]
    sending = Sending(store_url, gateway, test_gateway=hanging.start(), deadline_s=5.0)
    sending.describe(*tests, *others)
    for device in tests:
        sending.fleet.mark_test(device)
    for device in tests + others:
        sending.take(report(1, 60, 1, 60), report(2, 120, 1, 120), device=device)
    with sending:
        assert wait_until(lambda: len(sending.accepted()) == 32, 4), len(sending.accepted())
        hanging.outage = None
    hanging.stop()
    sending.store.close()


def test_a_route_that_is_down_is_left_alone_and_tried_with_one_event_at_a_time(
    store_url: str, gateway: Gateway
) -> None:
    sending = Sending(store_url, gateway, resend_after_s=0.01)
    devices = [f"unit{number}" for number in range(30)]
    sending.describe(*devices)
    for device in devices:
        sending.take(report(1, 60, 1, 60), device=device)
    gateway.outage = Fault(500)
    with sending:
        time.sleep(3.0)
        tried = len(gateway.arrivals)
        gateway.outage = None
        assert wait_until(lambda: len(sending.accepted()) == 30, 20)
    sending.store.close()
    assert tried < 30 + 8, "one burst, then probes"
    assert sending.gateway.repeated == 0


def test_a_gateway_that_throttles_is_sent_what_it_takes_and_gets_everything(store_url: str, gateway: Gateway) -> None:
    sending = Sending(store_url, gateway)
    devices = [f"unit{number}" for number in range(40)]
    sending.describe(*devices)
    for device in devices:
        sending.take(report(1, 60, 1, 60), device=device)
    gateway.requests_per_s, gateway.retry_after_s = 5, 1
    began = time.monotonic()
    assert sending.drain(60)
    took_s = time.monotonic() - began
    sending.store.close()
    assert (len(sending.accepted()), sending.count(DEAD)) == (40, 0)
    assert took_s < 25, "five a second would be eight"
    assert len(gateway.rejected) < 60


def test_the_metrics_show_each_routes_pace_and_whether_it_is_left_alone(store_url: str, gateway: Gateway) -> None:
    def shown(name: str) -> float | None:
        return REGISTRY.get_sample_value(f"wearmeter_relay_route_{name}", {"route": "all"})

    sending = Sending(store_url, gateway)
    devices = [f"vacuum{number}" for number in range(1, 11)]
    sending.describe(*devices)
    with sending:
        for device in devices:
            sending.take(report(1, 100, 1, 100), device=device)
        assert wait_until(lambda: sending.count(SENT) == 10)
        assert (shown("left_alone"), shown("sending")) == (0, 0)
        gateway.requests_per_s = 0
        sending.take(report(2, 160, 1, 160))
        assert wait_until(lambda: (shown("events_per_second") or 99.0) < 64)
        gateway.requests_per_s, gateway.outage = None, Fault(503)
        for device in devices:
            sending.take(report(3, 220, 1, 220), device=device)
        assert wait_until(lambda: shown("left_alone") == 1)
        gateway.outage = None
        assert wait_until(lambda: not sending.count(QUEUED)) and shown("left_alone") == 0
    sending.store.close()


def test_the_fate_of_each_event_is_in_the_log_at_debug(sending: Sending, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tools.relay")
    sending.gateway.faults.extend([Fault(503), None, Fault(400), Fault(503)])
    sending.take(report(1, 100, 1, 100), replacement(2, 1, 2, 160, 160), report(3, 170, 2, 10))
    assert sending.drain()
    told: dict[str, list[str]] = {}
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    for line in lines:
        if line["event"].startswith("event "):
            assert (line["device"], line["part"]) == ("vacuum1", 1) and "good" not in str(line)
            told.setdefault(line["message_id"], []).append(line["event"].removeprefix("event "))
    assert list(told.values()) == [
        ["queued", "sent", "refused", "waits", "void"],  # by the total of the replacement
        ["queued", "sent", "accepted"],
        ["queued", "sent", "refused", "dead"],
        ["queued", "sent", "refused", "waits", "sent again", "accepted"],
    ]
    assert [message["event"]["header"]["messageId"] for message in sending.gateway.accepted] == [
        message_id for message_id, fates in told.items() if fates[-1] == "accepted"
    ]


def test_where_nobody_reads_at_debug_no_fate_is_logged(sending: Sending, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tools.relay")
    sending.take(report(1, 100, 1, 100))
    assert sending.drain() and not [record for record in caplog.records if "event " in str(record.msg)]


def test_retry_after_is_kept(store_url: str, gateway: Gateway) -> None:
    sending = Sending(store_url, gateway)
    gateway.retry_after_s = 2
    gateway.faults.append(Fault(429))
    sending.take(report(1, 60, 1, 60))
    assert sending.drain()
    sending.store.close()
    first, again = gateway.arrivals
    assert 1.9 < again - first < 5


def test_after_a_crash_between_the_answer_and_its_note_the_same_event_is_sent_again(
    store_url: str, gateway: Gateway
) -> None:
    sending = Sending(store_url, gateway, lease_s=1.5, deadline_s=0.5)
    sending.take(report(1, 100, 1, 100))
    with sending.store.begin() as connection:
        (crashed,) = sending.store.leases.lease(connection, {"all": 1}, 1.5)
    assert crashed.rows[0].usage_s == 100
    began = time.monotonic()
    assert sending.drain(), "when the lease has ended"
    sending.store.close()
    assert time.monotonic() - began > 1.0
    assert gateway.accepted[0]["event"]["header"]["messageId"] == crashed.rows[0].message_id


def test_who_comes_back_with_an_older_lease_changes_nothing(store_url: str, gateway: Gateway) -> None:
    sending = Sending(store_url, gateway)
    sending.take(report(1, 100, 1, 100))

    def lease() -> Leased:
        with sending.store.begin() as connection:
            (leased,) = sending.store.leases.lease(connection, {"all": 1}, 0.1)
        time.sleep(0.2)
        return leased

    def settle(leased: Leased) -> set[str]:
        with sending.store.begin() as connection:
            return sending.store.leases.settle(connection, [Settled(leased, [Result(leased.rows[0], SENT)], 0.0)])

    first, second = lease(), lease()
    assert settle(first) == {"vacuum1"} and (sending.count(SENT), sending.count(QUEUED)) == (0, 1)
    assert settle(second) == set() and (sending.count(SENT), sending.count(QUEUED)) == (1, 0)
    sending.store.close()


def test_a_consumable_that_a_new_firmware_no_longer_has_is_a_dead_letter(sending: Sending) -> None:
    sending.take(report(1, 100, 1, 100, 50, 1, 50))
    sending.fleet.about("vacuum1", wire.encode([*ABOUT[:6], ABOUT[6][:1]]))
    assert sending.drain()
    assert sending.reasons(DEAD) == ["the device no longer has this consumable"]


def test_events_wait_until_the_device_has_described_itself(sending: Sending) -> None:
    with sending:
        sending.take(report(1, 100, 1, 100), device="vacuum2")
        sending.take(report(1, 60, 1, 60))
        assert wait_until(lambda: usages(sending) == ["PT1M"])
        assert wait_until(lambda: sending.count(QUEUED) == 1)
        sending.describe("vacuum2")
        assert wait_until(lambda: usages(sending) == ["PT1M", "PT1M40S"])


def test_what_was_sent_is_deleted_after_a_while_and_still_counted(store_url: str, gateway: Gateway) -> None:
    sending = Sending(store_url, gateway, keep_sent_s=0.0)
    sending.take(report(1, 100, 1, 100))
    with sending:
        assert wait_until(lambda: bool(sending.accepted()))
    with sending:
        assert wait_until(lambda: sending.store.count(schema.queue) == 0)
    counted = {row.name: row.value for row in sending.store.rows(schema.counters)}
    sending.store.close()
    assert counted["events sent"] == 1


def test_several_senders_on_one_store_keep_the_order_of_each_endpoint_and_send_nothing_twice(
    store_url: str, gateway: Gateway
) -> None:
    """The clocks of their relays are a day apart: leases are of the database's time."""
    senders = [Sending(store_url, gateway, clock=lambda ahead=ahead: time.time() + ahead) for ahead in (0, 61, 86400)]
    devices = [f"vacuum{number}" for number in range(5)]
    senders[0].describe(*devices)
    gateway.outage = Fault(202, delay_s=0.05)
    for sender in senders:
        sender.start()
    for number in range(1, 9):
        for device in devices:
            senders[0].take(report(number, 60 * number, 1, 60 * number, at=int(time.time())), device=device)
    assert wait_until(lambda: senders[0].count(SENT) == 40, 40)
    for sender in senders:
        sender.stop()
        sender.store.close()
    told: dict[str, list[str]] = {}
    for message in gateway.accepted:
        event = message["event"]
        told.setdefault(event["endpoint"]["endpointId"], []).append(event["payload"]["usage"]["value"])
    assert told == {device: [f"PT{minutes}M" for minutes in range(1, 9)] for device in devices}
    assert gateway.repeated == 0
