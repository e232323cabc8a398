"""The log tells a device's story once: a crash, safe mode, a queue sent and empty. /healthz tells the relay's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from tools.demo.broker import EmbeddedBroker
from tools.relay.__main__ import cli
from tools.relay.core import wire
from tools.relay.intake import story
from tools.relay.service import Relay
from tools.relay.settings import Settings
from tools.relay.testing import EPOCH, FakeDevice, replacement, report, wait_until

TOKEN = "only-for-readers-of-pages"


@pytest.fixture
def relay(broker: EmbeddedBroker, tmp_path: Any) -> Iterator[Relay]:
    settings = Settings(
        broker=f"127.0.0.1:{broker.port}", store=f"sqlite:///{tmp_path}/relay.sqlite3", web="127.0.0.1:0",
        web_token=TOKEN,
    )  # fmt: skip
    running = Relay(settings)
    running.start()
    assert wait_until(lambda: running.mqtt.connected)
    yield running
    running.stop()


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    """What was logged of devices, from info on."""
    lines = [
        record.msg for record in caplog.records if record.name == story.__name__ and record.levelno > logging.DEBUG
    ]
    return [(line["event"], line) for line in lines if isinstance(line, dict)]


def test_a_crash_safe_mode_and_an_empty_queue_are_told_once(
    relay: Relay, broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "tools.relay")
    now_s = int(relay.clock())

    def fault(sequence: int, bits: int, detail: str = "") -> bytes:
        return wire.encode([wire.VERSION, wire.FAULT, EPOCH, sequence, now_s, bits, detail])

    with FakeDevice(broker.port) as device:
        device.wait(wire.WELCOME)
        device.publish("status", wire.encode([wire.VERSION, 1, 2, EPOCH, 0, 0, 3, 1, "0.1.0", 7, 0]), retain=True)
        device.wait(wire.WELCOME, 2)
        for payload in (
            report(1, 5, 1, 5, at=now_s), fault(2, 0x400, "MemoryError in tick"),
            fault(2, 0x400, "MemoryError in tick"), fault(3, 0xC00), fault(4, 0x008), fault(5, 0),
            replacement(6, 1, 2, 5, 5, at=now_s),
        ):  # fmt: skip
            device.publish("up", payload)
        device.wait(wire.ACK, 7)
        assert wait_until(lambda: any(event == "its queue is empty" for event, _ in told(caplog)))
    found = told(caplog)
    assert [event for event, _ in found] == [
        "sends its queue",
        "crashed, and started again",
        "is in safe mode: only counting and reporting run",
        "tells of a fault",
        "has no fault any more",
        "a part was replaced",
        "its queue is empty",
    ]
    assert found[1][1]["detail"] == "MemoryError in tick" and found[1][1]["device"] == "vacuum1"
    assert found[3][1]["faults"] == ["input_stuck"] and found[6][1]["messages"] == 6


def test_health_is_told_to_anyone_and_names_what_is_wrong(
    relay: Relay, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert relay.web is not None
    address = f"127.0.0.1:{relay.web.port}"
    assert wait_until(lambda: httpx.get(f"http://{address}/readyz").status_code == 200)
    assert httpx.get(f"http://{address}/healthz").json() == {"live": True, "reasons": []}
    well = CliRunner().invoke(cli, ["health", "--web", address])
    assert (well.exit_code, well.output) == (0, "well\n")
    monkeypatch.setattr(relay._supervisor, "failing", lambda: ["relay-store has ended"])
    answer = httpx.get(f"http://{address}/healthz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["relay-store has ended"])
    ill = CliRunner().invoke(cli, ["health", "--web", address])
    assert (ill.exit_code, ill.output) == (1, "relay-store has ended\n")


def test_a_relay_that_is_not_there_is_not_well(free_port: Any) -> None:
    result = CliRunner().invoke(cli, ["health", "--web", f"127.0.0.1:{free_port()}"])
    assert result.exit_code == 1 and "ConnectError" in result.output
