"""What the link costs: bytes on the wire, the loop's longest wait, the tick's largest gap, losses at a cut, heap."""

from __future__ import annotations

import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from tools.mosquitto.broker import Mosquitto
from tools.mosquitto.certificates import Authority
from tools.relay.core import wire
from tools.relay.service import Relay
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.setup import firmware, micropython, system_packages
from tools.simulator import counts, flash_image
from tools.torture.network import DEVICE, OUTAGES, ROOT, Day, House
from tools.torture.proxy import Fault, Proxy

# Measures inside the unit: how long a turn of the loop takes, and how far apart two ticks are.
MAIN = b"""
import board, time
from wearmeter import app, start, tick
ticks, diff = time.ticks_ms, time.ticks_diff
step, tock = app.App.step, tick.Tick.__call__
worst = [0, 0, None]
def measured_step(self):
    began = ticks()
    pause = step(self)
    took = diff(ticks(), began)
    if took > worst[0]:
        worst[0] = took
        print("bench loop_ms=%d" % took)
    return pause
def measured_tick(self, timer=None):
    now = ticks()
    if worst[2] is not None and diff(now, worst[2]) > worst[1]:
        worst[1] = diff(now, worst[2])
        print("bench gap_ms=%d" % worst[1])
    worst[2] = now
    tock(self, timer)
app.App.step, tick.Tick.__call__ = measured_step, measured_tick
start.main(board)
"""

RECONNECTS = """
import gc, sys
sys.path[:0] = {paths!r}
from scripted import FULL_CREDIT_MS, ONLINE, PAUSE, Device
device = Device(random=1)
for number in range(1, 1001):
    device.link._credit_ms = FULL_CREDIT_MS
    device.until(ONLINE)
    device.link.publish(b"up", b"x" * 40)
    device.broker.raw.hear(b"")
    device.until(PAUSE)
    broker = device.broker
    for script in (device.net.made, device.lines, device.station.calls, broker.connects, broker.heard_packets):
        del script[:]
    device.link._most_ms = 2000
    if number in (10, 100, 1000):
        gc.collect()
        print(gc.mem_alloc())
"""


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
    _waits(report, kinds)
    _year(report)
    _heap(report)


def _bytes(report: Figures, name: str, kind: type[House]) -> None:
    """Of TCP's payload, without its headers. The second day is the usual one: the relay knows the device."""
    with house(kind) as running:
        for day in ("first", "usual"):
            proxy = running.proxy
            before = proxy.bytes_up, proxy.bytes_down
            run = running.live(Day(end_ms=90_000))
            assert any(line.startswith("wm acked") for line in run.lines), run.lines
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


def _waits(report: Figures, kinds: list[tuple[str, type[House]]]) -> None:
    worst = {"loop_ms": 0, "gap_ms": 0}
    half = 150_000
    faults: list[tuple[str, Day, dict[str, Any]]] = [
        ("none", Day(), {}),
        *[(f"{what}_{mode}", Day(events=[[half, what, mode]]), {}) for what, mode in OUTAGES],
        ("wifi_gone_at_start", Day(events=[[0, "wifi", "gone"]]), {}),
        ("wifi_no_internet_at_start", Day(events=[[0, "wifi", "no_internet"]]), {}),
        ("wifi_no_address_at_start", Day(events=[[0, "wifi", "no_address"]]), {}),
        ("broker_silent_at_start", Day(events=[[0, "broker", "silent"]]), {}),
        ("wrong_password", Day(), {"wifi": {"ssid": "Home", "password": "another one"}}),
        ("no_ntp", Day(events=[[0, "ntp", False]]), {}),
        *[(kind, Day([Fault(kind, at) for at in (2, 4, 6, 9, 12)]), {}) for kind in (
            "half_open", "lose", "reset", "garbage", "delay", "trickle"
        )],
    ]  # fmt: skip
    for transport, kind in kinds:
        for name, day, keys in faults:
            if transport == "tls" and name in ("garbage", "trickle", "delay", "reset", "wrong_password"):
                continue
            with house(kind) as running:
                flash_image.write_file(running.board.flash, "main.py", MAIN)
                day.end_ms, day.motor = 300_000, (1_000, 999_999)
                run = running.live(day, **keys)
                found = {"loop_ms": 0, "gap_ms": 0}
                for line in run.lines:
                    if line.startswith("bench "):
                        what, _, value = line[6:].partition("=")
                        found[what] = int(value)
            report.figure(f"network.{transport}_{name}_loop_ms", found["loop_ms"], "ms", "longest turn of the loop")
            report.figure(f"network.{transport}_{name}_gap_ms", found["gap_ms"], "ms", "largest gap between two ticks")
            worst = {what: max(value, worst[what]) for what, value in found.items()}
        report.figure(f"network.{transport}_longest_loop_ms", worst["loop_ms"], "ms", "of all faults")
        report.figure(f"network.{transport}_largest_gap_ms", worst["gap_ms"], "ms", "of all faults")


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
        run = running.live(Day(end_ms=120_000, motor=(1_000, 999_999)))
        at_ms = [at for at, line in zip(run.stamps_ms, run.lines, strict=True) if at and line.startswith("wm acked")]
        what = f"for {len(at_ms)} messages that stand for all of the year, in order"
        report.figure("network.year_offline_drain_ms", at_ms[-1] - at_ms[0], "ms", what)
        running.settle()
        why = running.broken()
        assert why is None, why
        kept = running.relay.store.rows(schema.messages, device=DEVICE, kind=wire.KIND[wire.Replacement])
        assert len(kept) == 1, "the replacement"
        loss_ms = running.true_ms - running.ledger_ms()[0]
        report.figure("network.year_offline_lost_ms_a_cut", round(loss_ms / running.cuts), "ms", "on average")


def _heap(report: Figures) -> None:
    paths = [str(ROOT / "host_tests" / "device"), str(firmware.OUT)]
    with ExitStack() as stack:
        script = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".py"))
        script.write(RECONNECTS.format(paths=paths))
        script.flush()
        command = [micropython.find(), script.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    used = [int(line) for line in done.stdout.split()]
    report.figure("network.heap_growth_bytes", used[2] - used[0], "B", "from the 10th to the 1000th reconnect (64 bit)")
