"""TLS and identity, with a real mosquitto under the configuration and ACL of tools/mosquitto, and the real firmware.

Virtual time begins on 2026-03-02, the firmware knows that it is at least 2026-01-01, and after each power-on the
chip's clock says 2000, by which mbedTLS would judge the dates of certificates.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from host_tests.unit_for_tests import START_UTC_MS, Unit, clean, config
from tools.bench.network import TlsHouse
from tools.mosquitto.broker import Mosquitto
from tools.mosquitto.certificates import Authority, Pair
from tools.relay.core import wire
from tools.relay.service import Relay
from tools.relay.settings import Settings
from tools.relay.testing import Clock, wait_until
from tools.setup import system_packages
from tools.torture.network import Day
from tools.torture.proxy import Fault, Proxy

DEVICE = "246f28a1b2c3"
PASSWORDS = {DEVICE: "the device's own", "stranger": "a stranger's", "relay": "the relay's"}
TLS_FAILED, REFUSED, CLOSED = "8", "9", "11"
NEVER_NTP = [[0, "ntp", False]]

pytestmark = pytest.mark.skipif(
    system_packages.where("mosquitto") is None,
    reason="MOSQUITTO IS NOT INSTALLED: no test of TLS, certificates and ACL has run (apt-get install mosquitto)",
)


def utc(year: int, month: int = 1, day: int = 1) -> datetime:
    return datetime(year, month, day, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def broker(tmp_path: Path, authority: Authority) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "mosquitto", authority, PASSWORDS) as running:
        yield running


@pytest.fixture
def serve(tmp_path: Path, authority: Authority) -> Iterator[Callable[[Pair], Mosquitto]]:
    """A function that runs a mosquitto with a given certificate."""
    started: list[Mosquitto] = []

    def start(certificate: Pair) -> Mosquitto:
        started.append(Mosquitto(tmp_path / "mosquitto", authority, PASSWORDS, certificate=certificate).start())
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def relay(tmp_path: Path, broker: Mosquitto) -> Iterator[Relay]:
    running = Relay(relay_settings(tmp_path, broker), Clock(START_UTC_MS // 1000 + 3))
    running.start()
    assert wait_until(lambda: running.mqtt.connected)
    yield running
    running.stop()


def relay_settings(tmp_path: Path, broker: Mosquitto) -> Settings:
    return Settings(
        broker=f"127.0.0.1:{broker.password_port}",
        broker_user="relay",
        broker_password=PASSWORDS["relay"],
        broker_ca=str(broker.directory / "ca.pem"),
        store=f"sqlite:///{tmp_path}/relay.sqlite3",
    )


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def unit(tmp_path: Path, port: int, trusted: bytes | None, identity: dict[str, Any] | None = None, **more: Any) -> Unit:
    """One that knows its broker by name; `trusted` is a certificate in PEM, as it is packed for a unit."""
    if identity is None:
        identity = {"user": DEVICE, "password": PASSWORDS[DEVICE]}
    entry = {"host": "broker.example", "port": port, "transport": "tls", "ca": trusted and der(trusted), **identity}
    entry.update(more)
    made = config(broker=entry, wifi={"ssid": "Home", "password": "a password"}, ntp_host="pool.ntp.org")
    return Unit(tmp_path / "unit", config=made)


def console(made: Unit, until_ms: int = 40_000, events: list[list[Any]] | None = None, **keys: Any) -> list[str]:
    """One time with power, with the motor running from 1 s on; its `wm` lines. Counting is checked in any case."""
    before_ms = made.counted()[0].lifetime_ms if made.read("state/a/ledger") or made.read("state/b/ledger") else 0
    keys = {"hosts": {"broker.example": "127.0.0.1"}, **keys}
    runs = made.power(until_ms, [*clean(1_000, until_ms + 1), *(events or [])], **keys)
    assert [run.end["reason"] for run in runs] == ["cut"]
    ran_ms = until_ms - 1_000
    assert ran_ms - 2_200 <= made.counted()[0].lifetime_ms - before_ms <= ran_ms, "counting was held up"
    return [line for line in runs[0].lines if line.startswith("wm ")]


def reasons(lines: list[str]) -> list[str]:
    return [line.split("reason=")[1].split()[0] for line in lines if "state=lost" in line]


def online(lines: list[str]) -> bool:
    return any("state=online" in line for line in lines)


def acked(made: Unit) -> bool:
    """Whether the relay has acknowledged all that there was to say: a unit that has lived says something."""
    return not made.queue()


def test_a_device_with_user_and_password_reports_over_tls(
    tmp_path: Path, broker: Mosquitto, relay: Relay, authority: Authority
) -> None:
    made = unit(tmp_path, broker.password_port, authority.pem)
    lines = console(made)
    assert online(lines) and acked(made) and not reasons(lines)
    assert relay.holdings().messages >= 1


def test_a_device_with_a_certificate_of_its_own_reports_over_tls(
    tmp_path: Path, broker: Mosquitto, relay: Relay, authority: Authority
) -> None:
    own = authority.device(DEVICE)
    key = load_pem_private_key(own.key, None).private_bytes(
        Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    identity = {"client_cert": der(own.certificate), "client_key": key}
    made = unit(tmp_path, broker.certificate_port, authority.pem, identity)
    lines = console(made)
    assert online(lines) and acked(made) and not reasons(lines)


def test_a_device_without_the_certificate_or_password_that_is_asked_for_is_refused(
    tmp_path: Path, broker: Mosquitto, authority: Authority
) -> None:
    ca = authority.pem
    lines = console(unit(tmp_path / "a", broker.certificate_port, ca))
    assert not online(lines) and set(reasons(lines)) <= {TLS_FAILED, CLOSED}
    lines = console(unit(tmp_path / "b", broker.password_port, ca, {"user": DEVICE, "password": "a guess"}))
    assert not online(lines) and set(reasons(lines)) == {REFUSED}
    lines = console(unit(tmp_path / "c", broker.password_port, ca, {}))
    assert not online(lines) and set(reasons(lines)) == {REFUSED}


def never_connects(made: Unit, broker: Mosquitto, words: str, **keys: Any) -> None:
    """The handshake fails with these words each time, MQTT never begins, and nothing is tried in plain."""
    lines = console(made, **keys)
    assert not online(lines)
    assert set(reasons(lines)) == {TLS_FAILED}, lines
    assert any(words in line for line in lines), lines
    assert "New client connected" not in broker.log.read_text()


def test_a_broker_of_another_authority_is_refused(tmp_path: Path, broker: Mosquitto) -> None:
    never_connects(unit(tmp_path, broker.password_port, Authority("Somebody").pem), broker, "not correctly")


def test_an_authority_of_the_same_name_but_another_key_is_refused(tmp_path: Path, broker: Mosquitto) -> None:
    made = unit(tmp_path, broker.password_port, Authority().pem)
    never_connects(made, broker, "not correctly signed")


def test_a_broker_of_another_name_is_refused(
    tmp_path: Path, serve: Callable[[Pair], Mosquitto], authority: Authority
) -> None:
    broker = serve(authority.broker(["other.example", "127.0.0.1"]))
    never_connects(unit(tmp_path, broker.password_port, authority.pem), broker, "does not match")


def test_a_missing_or_damaged_ca_never_makes_a_plain_connection(
    tmp_path: Path, broker: Mosquitto, authority: Authority
) -> None:
    entire = der(authority.pem)
    for name, ca in (("missing", None), ("damaged", entire[:200]), ("empty", b"")):
        lines = console(unit(tmp_path / name, broker.password_port, authority.pem, ca=ca))
        assert not online(lines) and set(reasons(lines)) == {TLS_FAILED}, name
    assert "New client connected" not in broker.log.read_text()


# ---- dates


def test_a_certificate_that_had_expired_before_the_firmware_was_built_is_refused_though_the_time_is_unknown(
    tmp_path: Path, serve: Callable[[Pair], Mosquitto], authority: Authority
) -> None:
    broker = serve(authority.broker(["broker.example"], utc(2020), utc(2025)))
    made = unit(tmp_path, broker.password_port, authority.pem)
    never_connects(made, broker, "expired", events=NEVER_NTP)


def test_a_good_certificate_is_accepted_though_the_time_is_unknown_and_the_relay_tells_it(
    tmp_path: Path, broker: Mosquitto, relay: Relay, authority: Authority
) -> None:
    made = unit(tmp_path, broker.password_port, authority.pem)
    lines = console(made, events=NEVER_NTP)
    assert online(lines) and acked(made) and not reasons(lines)
    assert any(line.startswith("wm clock") for line in lines)


def test_a_certificate_newer_than_anything_the_device_knows_costs_one_more_handshake(
    tmp_path: Path, serve: Callable[[Pair], Mosquitto], authority: Authority
) -> None:
    broker = serve(authority.broker(["broker.example"], utc(2026, 2)))
    lines = console(unit(tmp_path, broker.password_port, authority.pem), events=NEVER_NTP)
    assert reasons(lines) == [TLS_FAILED] and online(lines)
    assert "starts in the future" in "".join(lines)


def test_with_the_time_known_a_certificate_is_judged_by_it(
    tmp_path: Path, serve: Callable[[Pair], Mosquitto], authority: Authority
) -> None:
    """In 2044, ten years after the certificate's end; the PC's mbedTLS, by the PC's clock, would accept it."""
    later: dict[str, Any] = {"start_utc_ms": int(utc(2044).timestamp()) * 1000}
    broker = serve(authority.broker(["broker.example"], utc(2026), utc(2034)))
    made = unit(tmp_path, broker.password_port, authority.pem)
    # Nobody can tell: it may be 2033. What is refused is only what cannot be.
    assert online(console(made, events=NEVER_NTP, **later))
    lines = console(made, **later)
    assert not online(lines) and set(reasons(lines)) == {TLS_FAILED} and "expired" in "".join(lines)


# ---- who may say what


class Client:
    """A paho client over TLS; `heard` collects (topic, payload)."""

    def __init__(self, broker: Mosquitto, user: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.changed = threading.Event()
        self.paho = paho.Client(CallbackAPIVersion.VERSION2)
        self.paho.username_pw_set(user, PASSWORDS[user])
        self.paho.tls_set(str(broker.directory / "ca.pem"))
        self.paho.on_message = lambda client, data, message: self.heard.append((message.topic, bytes(message.payload)))
        self.paho.connect("127.0.0.1", broker.password_port)
        self.paho.loop_start()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        self.paho.publish(topic, payload, 1, retain).wait_for_publish(5)

    def subscribe(self, topic: str) -> None:
        done = threading.Event()
        self.paho.on_subscribe = lambda *_: done.set()
        self.paho.subscribe(topic, 1)
        assert done.wait(5)


def test_a_device_can_neither_speak_for_nor_listen_to_another(broker: Mosquitto, relay: Relay) -> None:
    report = wire.encode([wire.VERSION, 1, 5, 1, START_UTC_MS // 1000, 0, [1, 1, 1, 1]])
    with Client(broker, "stranger") as stranger, Client(broker, "relay") as listener:
        listener.subscribe("wearmeter/+/up")
        stranger.subscribe("wearmeter/#")
        stranger.subscribe(f"wearmeter/{DEVICE}/down")
        for branch in ("up", "status", "about", "down"):
            stranger.publish(f"wearmeter/{DEVICE}/{branch}", report, retain=True)
        stranger.publish("wearmeter/stranger/down", report)
        listener.publish(f"wearmeter/{DEVICE}/down", b"for that device only")
        stranger.publish("wearmeter/stranger/up", report)
        assert wait_until(lambda: bool(listener.heard))
        time.sleep(0.2)
        assert [topic for topic, _ in listener.heard] == ["wearmeter/stranger/up"]
        assert stranger.heard == []
    assert wait_until(lambda: relay.holdings().messages == 1)
    assert {used.device for used in relay.holdings().usage} == {"stranger"}


def test_a_recorded_down_message_that_is_played_again_is_refused_and_counted(
    tmp_path: Path, broker: Mosquitto, relay: Relay, authority: Authority
) -> None:
    """Even by one who may write to the device's topic: here the relay's own acknowledgment, kept by the broker."""
    made = unit(tmp_path, broker.password_port, authority.pem)
    with Client(broker, DEVICE) as listener:
        listener.subscribe(f"wearmeter/{DEVICE}/down")
        console(made)
        assert acked(made)
        old = [payload for _, payload in listener.heard]
    assert [cbor2.loads(payload)[1] for payload in old][:2] == [wire.WELCOME, wire.ACK]
    relay.stop()
    with Client(broker, "relay") as attacker:
        for payload in old:
            attacker.publish(f"wearmeter/{DEVICE}/down", payload, retain=True)
        lines = console(made)
    assert online(lines) and not acked(made)
    assert any(line.startswith("wm refused") and "nonce" in line for line in lines)
    assert json.dumps(lines).count("wm welcome") == 0


def test_a_cut_anywhere_in_a_handshake_costs_less_than_a_second(tmp_path: Path, firmware: Path) -> None:
    """The handshake computes for a second, from about 3 s after power-on; the motor runs all the while."""
    with TlsHouse(tmp_path) as house:
        for end_ms in range(2_900, 4_500, 110):
            before_ms = house.ledger_ms()[0] if house.cuts else 0
            house.live(Day(end_ms=end_ms, motor=(1_000, 99_999)))
            assert 0 <= end_ms - 1_000 - (house.ledger_ms()[0] - before_ms) <= 1_000, end_ms
        house.settle()
        assert house.broken() is None


@pytest.mark.parametrize("kind", ["garbage", "half_open", "reset"])
def test_a_fault_at_any_record_of_a_tls_connection(kind: str, tmp_path: Path, firmware: Path) -> None:
    with TlsHouse(tmp_path) as house:
        for at in range(1, 26, 5):
            house.live(Day([Fault(kind, at)], end_ms=40_000))
        house.settle()
        assert house.broken() is None
        assert "New client connected" in house.mosquitto.log.read_text()


# ---- a key instead of certificates

KEYS = {DEVICE: bytes(range(32)), "stranger": bytes(16)}


@pytest.fixture
def keyed(tmp_path: Path, authority: Authority, micropython: str) -> Iterator[Mosquitto]:
    """A mosquitto that knows KEYS."""
    probe = "import tls; print(hasattr(tls.SSLContext(tls.PROTOCOL_TLS_CLIENT), 'psk_identity'))"
    if "True" not in subprocess.run([micropython, "-c", probe], capture_output=True, text=True, timeout=30).stdout:
        pytest.skip(f"THIS MICROPYTHON HAS NO TLS-PSK (1.29 or newer has): {micropython}")
    with Mosquitto(tmp_path / "mosquitto", authority, PASSWORDS, keys=KEYS) as running:
        yield running


def keyed_unit(tmp_path: Path, port: int, identity: str = DEVICE, key: bytes = KEYS[DEVICE]) -> Unit:
    entry = {"psk_identity": identity, "psk_key": key.hex()}
    return unit(tmp_path, port, None, entry, transport="psk")


def test_a_usual_day_on_the_wire_is_2000_bytes_with_the_brokers_certificate_and_1000_with_a_key(
    tmp_path: Path, keyed: Mosquitto, authority: Authority
) -> None:
    """Of TCP's payload: connect, status, welcome, a report of two parts, acknowledgment. On the first day the relay
    learns the device's description, too."""
    ways = {
        "key": (1_000, keyed.psk_port, lambda port: keyed_unit(tmp_path / "key", port)),
        "certificate": (2_000, keyed.password_port, lambda port: unit(tmp_path / "tls", port, authority.pem)),
    }
    relay = Relay(relay_settings(tmp_path, keyed), Clock(START_UTC_MS // 1000 + 3 + 3 * 86_400))
    relay.start()
    assert wait_until(lambda: relay.mqtt.connected)
    try:
        for way, (most, port, make) in ways.items():
            with Proxy(port) as proxy:
                made = make(proxy.port)
                days: list[int] = []
                for day in range(3):
                    before = proxy.bytes_up + proxy.bytes_down
                    lines = console(made, start_utc_ms=START_UTC_MS + day * 86_400_000)
                    assert online(lines) and acked(made) and not reasons(lines), lines
                    days.append(proxy.bytes_up + proxy.bytes_down - before)
            print(f"bytes of a day with a {way}: {days}")
            assert min(days[1:]) <= most, (way, days)
    finally:
        relay.stop()
    assert relay.holdings().messages >= 6 and not relay.holdings().aside


def test_a_device_with_anothers_identity_or_a_wrong_key_is_refused(tmp_path: Path, keyed: Mosquitto) -> None:
    for name, identity, key in (("key", DEVICE, bytes(32)), ("identity", "nobody", KEYS[DEVICE])):
        lines = console(keyed_unit(tmp_path / name, keyed.psk_port, identity, key))
        assert not online(lines) and set(reasons(lines)) <= {TLS_FAILED, CLOSED}, lines
    assert "New client connected" not in keyed.log.read_text()


def test_a_key_opens_no_branch_but_its_own(tmp_path: Path, keyed: Mosquitto) -> None:
    """A unit of this id that comes with the stranger's key is online, and hears and says nothing on its own branch."""
    with Client(keyed, "relay") as listener:
        listener.subscribe("wearmeter/#")
        lines = console(keyed_unit(tmp_path, keyed.psk_port, "stranger", KEYS["stranger"]))
        assert not any(line.startswith("wm welcome") for line in lines)
        assert listener.heard == []
    assert "Denied PUBLISH" in keyed.log.read_text()


def test_an_older_micropython_refuses_a_key_with_one_clear_line_each_time(tmp_path: Path, keyed: Mosquitto) -> None:
    lines = console(keyed_unit(tmp_path, keyed.psk_port), psk=False)
    assert not online(lines) and set(reasons(lines)) == {TLS_FAILED}
    lost = [line for line in lines if "state=lost" in line]
    assert all("transport psk needs MicroPython 1.29 or newer" in line for line in lost), lines
    assert "New client connected" not in keyed.log.read_text()
