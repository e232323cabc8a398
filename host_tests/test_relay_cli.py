"""The command line: each option also by environment, one clear line for each mistake, an end without traces."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tools.alexa_gateway import schema as gateway_schema
from tools.demo.broker import EmbeddedBroker
from tools.relay.__main__ import cli
from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, EPOCH, Clock, FakeDevice, report, wait_until


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store that knows vacuum1, with its filter replaced once."""
    url = f"sqlite:///{tmp_path}/relay.sqlite3"
    store = Store(url, Clock())
    Fleet(store).about("vacuum1", wire.encode(ABOUT))
    payload = report(1, 160, 2, 30, 80, 1, 80)
    store.accept([("vacuum1", payload, wire.decode_up(payload))])
    store.close()
    return url


def relay(url: str, *arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(cli, arguments, env={"RELAY_STORE": url, **environment})


def rows(url: str, table: Any) -> list[Any]:
    store = Store(url, Clock())
    found = store.rows(table)
    store.close()
    return found


@pytest.mark.parametrize(
    ("arguments", "operation", "expected"),
    [
        (("replaced", "Sensor.DustFilter"), wire.REPLACED, [1, 2]),
        (("replaced", "Sensor.Brush"), wire.REPLACED, [2, 1]),
        (("undo", "Sensor.DustFilter"), wire.UNDO, [1, 3]),
        (("report",), wire.REPORT_NOW, []),
    ],
)
def test_a_command_is_queued_with_the_generation_the_sender_believes_in(
    url: str, arguments: tuple[str, ...], operation: int, expected: list[int]
) -> None:
    assert relay(url, "command", "vacuum1", *arguments).output == "command 1 waits for vacuum1\n"
    (row,) = rows(url, schema.commands)
    assert (row.operation, json.loads(row.arguments)) == (operation, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("command", "vacuum9", "report"), "no device vacuum9 has been heard of"),
        (("command", "vacuum1", "replaced", "Sensor.Bag"), "INSTANCE is one of Sensor.DustFilter, Sensor.Brush"),
        (("run", "--broker", "nowhere"), "broker 'nowhere' is not HOST:PORT"),
        (("run", "--gateway", "http://127.0.0.1:1"), "a gateway needs a token for all events"),
        (("claim", "anna", "0000"), "no device has this code"),
        (("run", "--web", "127.0.0.1:0", "--web-token", "guess"), "the pages need a token of at least 16 characters"),
        (("run", "--web", "nowhere", "--web-token", "long-enough-for-it"), "'nowhere' is not HOST:PORT"),
        (("rotate-keys",), "needs --key or RELAY_KEY"),
        (("rotate-keys", "--key", "secret"), "the key is not one made by"),
        (("name", "vacuum1", ""), "NAME has 1 to 128 characters"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_status_2(url: str, arguments: tuple[str, ...], message: str) -> None:
    result = relay(url, *arguments)
    assert (result.exit_code, message in result.output) == (2, True), result.output


def test_a_store_that_cannot_be_opened_is_named() -> None:
    result = relay("postgresql://nobody:hidden@127.0.0.1:1/none", "show")
    assert result.exit_code == 1 and "the store cannot be opened" in result.output
    assert "hidden" not in result.output


def test_what_the_relay_holds_is_shown_without_secrets(url: str) -> None:
    code = relay(url, "claim-code", "vacuum1").output.strip()
    assert relay(url, "claim", "anna", code).output == "vacuum1 is theirs\n"
    shown = relay(url, "show").output
    held = json.loads(shown)
    assert [(row["consumable"], row["generation"], row["used_s"]) for row in held["usage"]] == [(1, 2, 30), (2, 1, 80)]
    assert held["counters"] == {"accepted": 1} and held["queued"] == 2
    assert "anna" not in shown and "claim" not in shown
    assert relay(url, "release", "vacuum1").exit_code == 0
    assert [row.customer for row in rows(url, schema.devices)] == [None]


def test_a_discovery_is_printed_as_alexa_would_get_it(url: str) -> None:
    relay(url, "name", "vacuum1", "Downstairs vacuum")
    relay(url, "replenish", "VPM1", "Sensor.Brush", "dash-2")
    answer = json.loads(relay(url, "discover").output)
    assert gateway_schema.fault(answer, ("Discover.Response",)) is None
    (endpoint,) = answer["event"]["payload"]["endpoints"]
    assert endpoint["friendlyName"] == "Downstairs vacuum"
    assert endpoint["capabilities"][1]["configuration"]["replenishment"]["value"] == "dash-2"


def test_send_now_queues_the_totals_again_and_asks_a_device_that_is_online(url: str) -> None:
    store = Store(url, Clock())
    store.status("vacuum1", wire.Online(5, EPOCH, 0, 0, 3, True, "0.1.0", 1, 0))
    store.close()
    assert relay(url, "send-now", "vacuum1").output == "2 events queued\nvacuum1 is asked for a report\n"
    assert len(rows(url, schema.queue)) == 4 and len(rows(url, schema.commands)) == 1


def test_replay_and_test_device(url: str) -> None:
    assert relay(url, "replay", "vacuum1").output == "0 events queued again, 0 overtaken\n"
    relay(url, "test-device", "vacuum1")
    assert rows(url, schema.devices)[0].test
    relay(url, "test-device", "vacuum1", "--off")
    assert not rows(url, schema.devices)[0].test


def _process(url: str, port: int, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "RELAY_STORE": url, "RELAY_BROKER": f"127.0.0.1:{port}"}
    root = Path(__file__).parents[1]
    return subprocess.Popen([sys.executable, "-m", "tools.relay", "run", *arguments], cwd=root, env=environment)


def test_the_process_serves_until_interrupted_and_ends_quietly(url: str, broker: EmbeddedBroker) -> None:
    process = _process(url, broker.port)
    try:
        with FakeDevice(broker.port) as device:
            device.wait(wire.WELCOME, timeout_s=20)
            device.publish("up", report(2, 170, 2, 40, 90, 1, 90))
            device.wait(wire.ACK)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
    assert len(rows(url, schema.messages)) == 2


def test_what_was_acknowledged_before_a_kill_is_there_after_it(
    url: str, broker: EmbeddedBroker, free_port: Callable[[], int]
) -> None:
    process = _process(url, broker.port)
    with FakeDevice(broker.port) as device:
        device.wait(wire.WELCOME, timeout_s=20)
        for sequence in range(2, 60):
            device.publish("up", report(sequence, 160 + sequence, 2, 30 + sequence, 80, 1, 80))
            if sequence == 20:
                device.wait(wire.ACK)
            if sequence == 40:
                process.kill()
        wait_until(lambda: process.poll() is not None)
        acknowledged = {message[5] for message in device._of(wire.ACK)}
    stored = {row.sequence for row in rows(url, schema.messages)}
    assert acknowledged <= stored
    assert len(rows(url, schema.queue)) == 2 * len(stored)


def test_what_is_done_on_the_command_line_is_in_the_log_and_names_no_customer(url: str) -> None:
    code = relay(url, "claim-code", "vacuum1").output.strip()
    for arguments in (
        ("claim", "amzn1.account.anna", code), ("name", "vacuum1", "Downstairs"), ("test-device", "vacuum1"),
        ("command", "vacuum1", "replaced", "Sensor.Brush"), ("send-now", "vacuum1"), ("replay", "vacuum1"),
        ("replenish", "VPM1", "Sensor.Brush", "dash-2"), ("release", "vacuum1"),
    ):  # fmt: skip
        assert relay(url, *arguments).exit_code == 0, arguments
    log = rows(url, schema.audit)
    assert [line.action for line in log] == [
        "claim-code", "claim", "name", "test", "replaced", "send-now", "replay", "replenish", "release",
    ]  # fmt: skip
    assert all(line.who.startswith("cli:") for line in log)
    assert "anna" not in str(log) and code not in str(log) and "command 1 Sensor.Brush" in str(log)


def kept(url: str) -> list[tuple[int, str]]:
    return [(row.id, row.reason) for row in rows(url, schema.quarantine)]


def test_a_message_kept_aside_is_readmitted_with_a_reason_that_is_kept(url: str) -> None:
    take(url, report(2, 150, 2, 20, 70, 1, 70))
    assert kept(url) == [(1, "total smaller than before")]
    assert "1  epoch 549852673  sequence 2  total smaller" in relay(url, "kept-aside", "vacuum1").output
    assert "--reason" in relay(url, "readmit", "1").output
    done = relay(url, "readmit", "1", "--reason", "the board was exchanged")
    assert done.output == "message 1 of vacuum1 is accepted\n" and kept(url) == []
    assert [row.usage_s for row in rows(url, schema.queue)][-2:] == [20, 70]
    (line,) = rows(url, schema.audit)
    assert (line.action, line.device, line.detail) == ("readmit", "vacuum1", "the board was exchanged (message 1)")
    assert line.who.startswith("cli:")
    assert "no message is kept aside under 1" in relay(url, "readmit", "1", "--reason", "again").output


def test_what_can_be_true_of_no_device_is_not_readmitted(url: str) -> None:
    take(url, report(2, 150, 2, 151, 70, 1, 70))
    refused = relay(url, "readmit", "1", "--reason", "let us see")
    assert "a part used for longer than its device" in refused.output and len(kept(url)) == 1
    assert rows(url, schema.audit) == []


def test_a_device_that_is_reset_begins_anew_with_its_next_message(url: str) -> None:
    assert relay(url, "reset", "vacuum1", "--reason", "its board was exchanged").exit_code == 0
    take(url, report(2, 10, 1, 10, 5, 1, 5))
    assert kept(url) == [] and [row.usage_s for row in rows(url, schema.queue)][-2:] == [10, 5]
    assert rows(url, schema.audit)[0].detail == "its board was exchanged (epochs forgotten: 1)"


def take(url: str, payload: bytes) -> None:
    store = Store(url, Clock())
    store.accept([("vacuum1", payload, wire.decode_up(payload))])
    store.close()
