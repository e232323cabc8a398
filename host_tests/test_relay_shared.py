"""Several relays share one broker's load through MQTT 5 shared subscriptions, on one PostgreSQL."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.alexa_gateway.gateway import Gateway
from tools.relay.core import wire
from tools.relay.service import Relay
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.relay.testing import ABOUT, NOW_S, FakeDevice, report, wait_until

if TYPE_CHECKING:
    from tools.relay.store.stores_for_tests import Cluster

pytest_plugins = ["tools.relay.store.stores_for_tests"]


@pytest.fixture
def mosquitto(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[int]:
    """The port of a mosquitto of this test's own; skips where there is none (Debian: apt-get install mosquitto)."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("mosquitto is not on this machine")
    port = free_port()
    (tmp_path / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([program, "-c", str(tmp_path / "mosquitto.conf")], stderr=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    assert wait_until(answers, 10)
    yield port
    process.terminate()
    process.wait(10)


def test_two_relays_share_the_devices_and_each_message_is_accepted_and_told_once_and_in_order(
    mosquitto: int, postgresql: Cluster
) -> None:
    gateway = Gateway(tokens={"good"})
    settings = Settings(
        broker=f"127.0.0.1:{mosquitto}",
        store=postgresql.url(),
        gateway=gateway.start(),
        token="good",
        shared_group="relays",
    )
    relays = [Relay(settings, lambda: NOW_S + 86400.0) for _ in range(2)]
    for relay in relays:
        relay.start()
    assert wait_until(lambda: all(relay.mqtt.connected for relay in relays), 10)
    devices = [FakeDevice(mosquitto, f"vacuum{number}").connect(nonce=number + 1) for number in range(4)]
    for device in devices:
        device.wait(wire.WELCOME)
        device.publish("about", wire.encode(ABOUT), retain=True)
    for sequence in range(1, 11):
        for device in devices:
            device.publish("up", report(sequence, 60 * sequence, 1, 60 * sequence))
        for device in devices:
            device.wait(wire.ACK, sequence)
    assert all(relay.wait_idle(20) for relay in relays)
    counts = relays[0].store.counts()
    messages = relays[0].store.count(schema.messages)
    for device in devices:
        device.vanish()
    for relay in relays:
        relay.stop()
    gateway.stop()
    told: dict[str, list[str]] = {}
    for message in gateway.accepted:
        event = message["event"]
        told.setdefault(event["endpoint"]["endpointId"], []).append(event["payload"]["usage"]["value"])
    assert (counts, messages, gateway.repeated, gateway.rejected) == ({"accepted": 40}, 40, 0, [])
    assert told == {device.name: [f"PT{minutes}M" for minutes in range(1, 11)] for device in devices}
