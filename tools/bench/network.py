"""What the link costs: bytes on the wire, losses at a cut while it connects, and a year offline."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tools.mosquitto.broker import Mosquitto
from tools.mosquitto.certificates import Authority
from tools.relay.core import wire
from tools.relay.service import Relay
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.setup import firmware, system_packages
from tools.simulator import counts
from tools.torture.network import DEVICE, Day, House
from tools.torture.proxy import Proxy


class Figures(Protocol):
    def figure(self, name: str, value: float, unit: str, what: str) -> None: ...


class TlsHouse(House):
    """The same with a mosquitto that speaks TLS only; the unit knows it by name."""

    def __enter__(self) -> TlsHouse:
        authority = Authority()
        passwords = {DEVICE: "the device's", "relay": "the relay's"}
        self.mosquitto = Mosquitto(self.directory / "mosquitto", authority, passwords).start()
        super().__enter__()
        self.proxy.close()
        self.proxy = Proxy(self.mosquitto.password_port, self.seed)
        account = {
            "user": DEVICE,
            "password": passwords[DEVICE],
            "ca": ssl.PEM_cert_to_DER_cert(authority.pem.decode()),
        }
        self.configure(host="broker.example", port=self.proxy.port, transport="tls", **account)
        return self

    def make_relay(self) -> Relay:
        relay = Relay(
            Settings(
                broker=f"127.0.0.1:{self.mosquitto.password_port}",
                broker_user="relay",
                broker_password="the relay's",
                broker_ca=str(self.mosquitto.directory / "ca.pem"),
                store=f"sqlite:///{self.directory}/relay.sqlite3",
                deliver=False,
            ),
            self.now_s,
        )
        relay.start()
        self.await_relay(relay)
        return relay

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.mosquitto.stop()


@contextmanager
def house(kind: type[House] = House) -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="wearmeter-bench-") as folder, kind(Path(folder)) as running:
        yield running


def run(report: Figures) -> None:
    firmware.build()
    kinds: list[tuple[str, type[House]]] = [("plain", House)]
    if system_packages.where("mosquitto"):
        kinds.append(("tls", TlsHouse))
    else:
        print("-- network: MOSQUITTO IS NOT INSTALLED: no figures of TLS")
    for name, kind in kinds:
        if system_packages.where("mosquitto"):  # the embedded broker sends more than was asked for
            _bytes(report, name, kind)
        _loss(report, name, kind)
    _year(report)


def _bytes(report: Figures, name: str, kind: type[House]) -> None:
    """Of TCP's payload, without its headers. The second day is the usual one: the relay knows the device."""
    with house(kind) as running:
        for day in ("first", "usual"):
            proxy = running.proxy
            before = proxy.bytes_up, proxy.bytes_down
            told = running.relay.holdings().messages
            run = running.live(Day(end_ms=90_000))
            assert running.relay.holdings().messages > told and not counts.queue(running.board.flash), run.lines
            up, down = proxy.bytes_up - before[0], proxy.bytes_down - before[1]
            what = f"connect, report, acknowledgment: {up} up, {down} down"
            report.figure(f"network.{name}_{day}_day_bytes", up + down, "B", what)


def _loss(report: Figures, name: str, kind: type[House]) -> None:
    """The motor runs from 1 s on; the cut comes anywhere while it joins, connects and talks."""
    worst = 0
    with house(kind) as running:
        cuts = list(range(2_000, 5_600, 45))
        for end_ms in cuts:
            before = running.ledger_ms()[0] if running.cuts else 0
            running.live(Day(end_ms=end_ms, motor=(1_000, 99_999)))
            worst = max(worst, end_ms - 1_000 - (running.ledger_ms()[0] - before))
    report.figure(f"network.{name}_worst_loss_ms", worst, "ms", f"at {len(cuts)} cuts from 2 to 5.6 s after power-on")


def _year(report: Figures) -> None:
    """A clean and a cut each day, a replacement on day 100, and the broker not to be had; then it is, on a day with the
    motor on all the while."""
    offline = [[0, "broker", "refused"]]
    with house() as running:
        for number in range(365):
            if number == 100:
                press = [[20_000, "pin", 18, 0], [23_500, "pin", 18, 1]]
                running.live(Day(events=offline + press, end_ms=700_000, motor=(4_000, 699_000)))
            else:
                running.live(Day(events=offline, end_ms=12_000, motor=(4_000, 20_000)))
        size = max(len(running.read(path) or b"") for path in counts.LEDGER)
        report.figure("network.year_offline_outbox_bytes", size, "B", "the larger copy's file after 365 days offline")
        running.live(Day(end_ms=120_000, motor=(1_000, 999_999)))
        assert not counts.queue(running.board.flash), "the queue is not empty after two minutes"
        what = "that stand for all of the year, taken by the relay in two minutes at most"
        report.figure("network.year_offline_messages", running.relay.holdings().messages, "", what)
        running.settle()
        why = running.broken()
        assert why is None, why
        kept = running.relay.store.rows(schema.messages, device=DEVICE, kind=wire.KIND[wire.Replacement])
        assert len(kept) == 1, "the replacement"
        loss_ms = running.true_ms - running.ledger_ms()[0]
        report.figure("network.year_offline_lost_ms_a_cut", round(loss_ms / running.cuts), "ms", "on average")
