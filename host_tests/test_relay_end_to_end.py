"""From a device on a real broker to the gateway, and back with the acknowledgment."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.alexa_gateway import schema as gateway_schema
from tools.alexa_gateway.gateway import Gateway
from tools.demo.broker import BrokerError, EmbeddedBroker
from tools.relay.accounts.skill import Skill
from tools.relay.core import wire
from tools.relay.service import Relay
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.relay.testing import ABOUT, EPOCH, NOW_S, Clock, FakeDevice, replacement, report, wait_until

pytest_plugins = ["tools.relay.store.stores_for_tests"]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    running = Gateway(tmp_path, {"good"})
    running.start()
    yield running
    running.stop()


@pytest.fixture
def settings(broker: EmbeddedBroker, gateway: Gateway, store_url: str) -> Settings:
    return Settings(broker=f"127.0.0.1:{broker.port}", store=store_url, gateway=gateway.url, token="good")


@pytest.fixture
def relay(settings: Settings) -> Iterator[Relay]:
    running = Relay(settings, Clock())
    running.start()
    assert wait_until(lambda: running.mqtt.connected)
    yield running
    running.stop()


def test_a_week_in_short(relay: Relay, broker: EmbeddedBroker, gateway: Gateway, tmp_path: Path) -> None:
    about = wire.encode(ABOUT)
    with FakeDevice(broker.port) as device:
        assert device.wait(wire.WELCOME)[0] == [2, 2, 1, NOW_S, EPOCH, 0, None]
        device.publish("about", about, retain=True)
        for payload in (
            report(1, 100, 1, 100, 50, 1, 50),
            replacement(2, 1, 2, 130, 130),
            report(3, 160, 2, 30, 80, 1, 80),
        ):
            device.publish("up", payload)
        assert device.wait(wire.ACK, 3) == [[2, 1, 1, NOW_S, EPOCH, sequence] for sequence in (1, 2, 3)]
        device.publish("up", report(3, 160, 2, 30, 80, 1, 80))
        device.wait(wire.ACK, 4)
    assert relay.wait_idle(20)
    lines = [json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [
        (line["header"]["name"], line["header"]["instance"], line["payload"].get("usage", {}).get("value"))
        for line in lines
    ] == [
        ("InventoryConsumed", "Sensor.DustFilter", "PT1M40S"),
        ("InventoryConsumed", "Sensor.Brush", "PT50S"),
        ("InventoryConsumed", "Sensor.DustFilter", "PT2M10S"),
        ("InventoryReplaced", "Sensor.DustFilter", None),
        ("InventoryConsumed", "Sensor.DustFilter", "PT30S"),
        ("InventoryConsumed", "Sensor.Brush", "PT1M20S"),
    ]
    held = relay.holdings()
    assert [(used.instance, used.generation, used.used_s, used.gateway_s) for used in held.usage] == [
        ("Sensor.DustFilter", 1, 130, 130),
        ("Sensor.DustFilter", 2, 30, 30),
        ("Sensor.Brush", 1, 80, 80),
    ]
    assert (held.counts, held.messages, held.sent, held.queued, held.dead) == (
        {"accepted": 3, "duplicate": 1}, 3, 6, 0, [],
    )  # fmt: skip
    assert held.payload_bytes_max <= 40
    assert gateway.rejected == []


def test_a_device_that_comes_again_is_welcomed_with_what_the_relay_holds(relay: Relay, broker: EmbeddedBroker) -> None:
    about = wire.encode(ABOUT)
    with FakeDevice(broker.port) as device:
        device.publish("about", about, retain=True)
        device.publish("up", report(1, 100, 1, 100))
        device.wait(wire.ACK)
    again = FakeDevice(broker.port).connect(nonce=2)
    assert again.wait(wire.WELCOME)[-1] == [2, 2, 2, NOW_S, EPOCH, 1, zlib.crc32(about)]
    again.vanish()


def test_a_lost_connection_is_noted_by_its_will(relay: Relay, broker: EmbeddedBroker) -> None:
    device = FakeDevice(broker.port).connect(nonce=3)
    device.wait(wire.WELCOME)
    device.vanish()
    assert wait_until(lambda: not relay.store.rows(schema.devices)[0].online)


def test_bad_messages_are_refused_counted_and_logged_and_the_relay_goes_on(
    relay: Relay, broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeDevice(broker.port) as device, caplog.at_level(logging.WARNING):
        device.publish("up", b"\xff")
        device.publish("up", b"")
        device.publish("up", wire.encode([1, 1, EPOCH, 1]))
        device.publish("up", b"\x80" * 1025)
        device.publish("status", b"garbage")
        device.publish("about", b"garbage")
        device.publish("about", b"", retain=True)
        device.publish("up", report(1, 100, 1, 100))
        assert device.wait(wire.ACK) == [[2, 1, 1, NOW_S, EPOCH, 1]]
    counts = relay.store.counts()
    assert counts == {"accepted": 1, "refused: malformed": 4, "refused: unknown version": 1, "refused: oversized": 1}
    refused = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert ("wearmeter/vacuum1/up", "unknown version: 1") in [(said["topic"], said["reason"]) for said in refused]


def test_an_impossible_message_is_acknowledged_and_kept_aside(relay: Relay, broker: EmbeddedBroker) -> None:
    with FakeDevice(broker.port) as device:
        device.publish("up", report(1, 100, 1, 100))
        device.publish("up", report(2, 90, 1, 90))
        device.wait(wire.ACK, 2)
    assert relay.holdings().aside == [("vacuum1", "total smaller than before")]


def test_a_command_waits_for_the_device_and_is_sent_until_it_answers(relay: Relay, broker: EmbeddedBroker) -> None:
    number = relay.store.add_command("vacuum1", wire.REPLACED, [1, 1])
    with FakeDevice(broker.port) as device:
        assert device.wait(wire.COMMAND)[0] == [2, 3, 1, NOW_S, number, 1, 1, 1]
        second = relay.store.add_command("vacuum1", wire.REPORT_NOW, [])
        assert device.wait(wire.COMMAND, 2)[1] == [2, 3, 1, NOW_S, second, 3]
        device.publish("up", wire.encode([wire.VERSION, wire.ANSWER, EPOCH, 1, NOW_S, 0, number, 0]))
        device.wait(wire.ACK)
    again = FakeDevice(broker.port).connect(nonce=2)
    assert [message[4] for message in again.wait(wire.COMMAND)] == [second]
    again.vanish()


def test_a_relay_that_was_stopped_goes_on_where_it_was(
    settings: Settings, broker: EmbeddedBroker, gateway: Gateway
) -> None:
    first = Relay(Settings(**{**vars(settings), "deliver": False}), Clock())
    first.start()
    assert wait_until(lambda: first.mqtt.connected)
    with FakeDevice(broker.port) as device:
        device.publish("about", wire.encode(ABOUT), retain=True)
        device.publish("up", report(1, 100, 1, 100))
        device.wait(wire.ACK)
        first.stop()
        assert gateway.accepted == []
        second = Relay(settings, Clock())
        second.start()
        assert wait_until(lambda: second.mqtt.connected)
        device.wait(wire.WELCOME, 2)
        device.publish("up", report(1, 100, 1, 100))
        device.publish("up", report(2, 110, 1, 110))
        device.wait(wire.ACK, 3)
        assert second.wait_idle(20)
        second.stop()
    assert [message["event"]["payload"]["usage"]["value"] for message in gateway.accepted] == ["PT1M40S", "PT1M50S"]


def _started(broker: EmbeddedBroker) -> bool:
    """On a busy machine the old one takes its time to give the port free."""
    try:
        broker.start()
    except BrokerError:
        return False
    return True


def test_a_broker_that_comes_back_finds_the_relay_connecting_again(relay: Relay, broker: EmbeddedBroker) -> None:
    broker.stop()
    assert wait_until(lambda: not relay.mqtt.connected)
    assert wait_until(lambda: _started(broker), 20)
    assert wait_until(lambda: relay.mqtt.connected, 20)
    with FakeDevice(broker.port) as device:
        device.publish("up", report(1, 100, 1, 100))
        device.wait(wire.ACK)


def test_no_broker_is_one_clear_line(free_port: Any, store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    running = Relay(Settings(broker=f"127.0.0.1:{free_port()}", store=store_url), Clock())
    with caplog.at_level(logging.WARNING):
        running.start()
        assert wait_until(lambda: "no broker" in caplog.text)
        running.stop()
    assert caplog.text.count("no broker") == 1


def test_a_root_of_several_levels_works(settings: Settings, broker: EmbeddedBroker) -> None:
    running = Relay(Settings(**{**vars(settings), "topic_root": "eu/prod/wearmeter"}), Clock())
    running.start()
    with FakeDevice(broker.port, root="eu/prod/wearmeter") as device:
        assert wait_until(lambda: running.mqtt.connected)
        device.publish("up", report(1, 100, 1, 100))
        device.wait(wire.ACK)
    running.stop()


def test_discovery_lists_the_device_as_it_has_described_itself(relay: Relay, broker: EmbeddedBroker) -> None:
    with FakeDevice(broker.port) as device:
        device.publish("about", wire.encode(ABOUT), retain=True)
        assert wait_until(lambda: relay.store.count(schema.devices, about_crc=zlib.crc32(wire.encode(ABOUT))) == 1)
    header = {"namespace": "Alexa.Discovery", "name": "Discover", "payloadVersion": "3"}
    answer = Skill(relay.settings, relay.store, for_tests=True).handler({"directive": {"header": header}})
    assert gateway_schema.fault(answer, ("Discover.Response",)) is None
    assert answer["event"]["payload"]["endpoints"][0]["endpointId"] == "vacuum1"
