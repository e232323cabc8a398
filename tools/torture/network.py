"""The link under torture: each virtual day a hostile network, a running motor, and a power cut anywhere.

A real unit on the virtual board, a proxy that breaks connections packet by packet, a broker, and the real relay. After
the last day, one of peace: then the relay's totals equal the ledger's, nothing was counted that did not run, no more
than a second a cut is missing, and the relay has each message once.
"""

from __future__ import annotations

import json
import logging
import random
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.demo.broker import BrokerError, EmbeddedBroker
from tools.mosquitto.broker import PlainMosquitto
from tools.relay.core import state, wire
from tools.relay.service import Relay
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.setup import firmware, system_packages
from tools.simulator import counts, flash_image
from tools.simulator.testing import START_UTC_MS, WIFI, Board, BoardRun
from tools.simulator.vacuum import firmware_files, packed_files
from tools.torture.proxy import KINDS, Fault, Proxy
from tools.torture.report import Report

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = json.loads((ROOT / "firmware" / "products" / "vacuum.json").read_text(encoding="utf-8"))
SUCTION, BRUSH = 4, 5
REST = {"4": 0, "5": 0, "18": 1, "19": 1}
DEVICE = "246f28a1b2c3"
NOISY = ("tools.relay", "asyncio")
DAY_MS = 86_400_000
PEACE_MS = 120_000
PATIENCE_MS = 400  # real time for an answer; what comes later is late in the unit's time, and that is no fault
DAYS_A_RUN = 40
LONGEST_PACKET_COUNT = 16
OUTAGES = (
    ("wifi", "gone"),
    ("wifi", "no_internet"),
    ("wifi", "no_address"),
    ("broker", "silent"),
    ("broker", "refused"),
)


@dataclass
class Day:
    """One time with power: what the network does meanwhile, and when the motor runs."""

    faults: list[Fault] = field(default_factory=list)
    events: list[list[Any]] = field(default_factory=list)
    end_ms: int = 60_000
    motor: tuple[int, int] = (5_000, 55_000)
    wipe: bool = False  # the broker forgets everything the night before

    def __str__(self) -> str:
        told = " ".join([str(fault) for fault in self.faults] + [f"{event[1]}={event[2]}" for event in self.events])
        return f"{told or 'peace'}{' wiped' if self.wipe else ''} cut after {self.end_ms} ms"


class House:
    """One unit with all it talks to. Use as a context: `live` a Day after the other, then `settle` and `broken`."""

    def __init__(self, directory: Path, seed: int = 1) -> None:
        self.directory = directory
        self.seed = seed
        self.day = 0
        self.true_ms = 0
        self.cuts = 0
        self.runs: list[BoardRun] = []

    def __enter__(self) -> House:
        for name in NOISY:  # a broker that goes away is what we are here for
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.broker = self.make_broker()
        self.proxy = Proxy(self.broker.port, self.seed)
        self.config: dict[str, Any] = {
            "schema": 2,
            "wifi": WIFI,
            "broker": {"host": "127.0.0.1", "port": self.proxy.port, "transport": "plain"},
            "serial": "SN-0001",
            "ntp_host": "pool.ntp.org",
        }
        files = {**firmware_files(firmware.BUILD), **packed_files(PRODUCT, self.config)}
        self.board = Board(self.directory / "unit", files, flash_kib=512)
        self.relay = self.make_relay()
        return self

    def make_broker(self) -> Any:
        """A running broker: `port`, `stop` and `start`. The embedded one, where there is no mosquitto, can hang at its
        own end after garbage."""
        if system_packages.where("mosquitto"):
            return PlainMosquitto(self.directory / "broker").start()
        return EmbeddedBroker().start()

    def make_relay(self) -> Relay:
        """A relay over this house's store, in the unit's time."""
        store = f"sqlite:///{self.directory}/relay.sqlite3"
        relay = Relay(Settings(broker=f"127.0.0.1:{self.broker.port}", store=store, deliver=False), self.now_s)
        relay.start()
        self.await_relay(relay)
        return relay

    def await_relay(self, relay: Relay) -> None:
        """Until it is at the broker, for 10 s."""
        deadline = time.monotonic() + 10
        while not relay.mqtt.connected and time.monotonic() < deadline:
            time.sleep(0.01)

    def configure(self, **broker: Any) -> None:
        """Give the unit another config: these fields of its broker."""
        self.config = {**self.config, "broker": {**self.config["broker"], **broker}}
        for name, content in packed_files(PRODUCT, self.config).items():
            flash_image.write_file(self.board.flash, name, content)

    def __exit__(self, *error: object) -> None:
        self.relay.stop()
        self.proxy.close()
        self.broker.stop()
        for name in NOISY:
            logging.getLogger(name).setLevel(logging.NOTSET)

    def now_s(self) -> float:
        return max(self.board.clock_utc_ms(), START_UTC_MS) / 1000

    def live(self, day: Day, **keys: Any) -> BoardRun:
        """Power on, let it happen, pull the plug. `keys` go into the board's session file."""
        if day.wipe:
            self.broker.stop()
            self.broker.start()
            self.await_relay(self.relay)
        self.proxy.plan = list(day.faults)
        begins_ms, ends_ms = day.motor
        motor = [[begins_ms, "pin", SUCTION, 1], [ends_ms, "pin", SUCTION, 0]]
        rest = [[0, "pin", int(gpio), level] for gpio, level in REST.items()]
        run = self.board.power(
            events=sorted([*rest, *motor, *day.events], key=lambda event: event[0]),
            start_utc_ms=START_UTC_MS + self.day * DAY_MS,
            end_ms=day.end_ms,
            boot_ms=700,
            rest=REST,
            **{"patience_ms": PATIENCE_MS, "hosts": {"broker.example": "127.0.0.1"}, **keys},
        )
        self.proxy.plan = []
        self.runs.append(run)
        self.day += 1
        self.cuts += 1
        self.true_ms += max(0, min(ends_ms, day.end_ms) - min(begins_ms, day.end_ms))
        if run.end.get("reason") != "cut":
            raise AssertionError(f"the unit ended by itself: {run.end or run.lines[-3:]}")
        return run

    def read(self, name: str) -> bytes | None:
        """A file on the unit's flash."""
        return flash_image.read_file(self.board.flash, name)

    def settle(self, days: int = 3) -> None:
        """Peace: what is left arrives, and the relay asks for the totals of now."""
        quiet = Day(motor=(0, 0), end_ms=PEACE_MS)
        self.live(quiet)
        self.relay.store.add_command(DEVICE, wire.REPORT_NOW, [])
        for _ in range(days):
            self.live(quiet)
            if not self.relay.store.rows(schema.commands, result=None):
                break
        self.relay.wait_idle(5)

    def ledger_ms(self) -> list[int]:
        found = counts.read(self.board.flash, [part["id"] for part in PRODUCT["consumables"]])
        return [part.lifetime_ms for part in found] if found else []

    def broken(self) -> str | None:
        """Which promise is broken, or None."""
        ledger_ms = self.ledger_ms()
        if not ledger_ms:
            return "there is no ledger"
        if not self.true_ms - 1000 * self.cuts <= ledger_ms[0] <= self.true_ms:
            return f"counted {ledger_ms[0]} of {self.true_ms} ms with {self.cuts} cuts"
        held = self.relay.holdings()
        if held.aside:
            return f"kept aside: {held.aside[:3]}"
        rows = self.relay.store.rows(schema.epochs, device=DEVICE)
        if len(rows) != 1:
            return f"{len(rows)} epochs"
        epoch = state.load(rows[0].state)
        totals = [epoch.parts[index].lifetime_s for index in sorted(epoch.parts)]
        if totals != [lifetime_ms // 1000 for lifetime_ms in ledger_ms]:
            return f"the relay has {totals} s, the ledger {ledger_ms} ms"
        if epoch.ahead:
            return f"the relay lacks sequences after {epoch.contiguous}"
        crashes = [line for run in self.runs for line in run.lines if "Traceback" in line]
        return f"a traceback on the console: {crashes[0]}" if crashes else None


def draw(dice: random.Random) -> Day:
    """A day of a bad network."""
    end_ms = dice.choice((dice.randrange(3_000, 20_000), dice.randrange(20_000, 300_000)))
    begins_ms = dice.randrange(800, end_ms)
    day = Day(end_ms=end_ms, motor=(begins_ms, dice.randrange(begins_ms, end_ms + 60_000)))
    kinds = [kind for kind in KINDS if kind != "trickle" or dice.random() < 0.2]
    for _ in range(dice.choice((0, 1, 1, 2, 3, 6))):
        day.faults.append(Fault(dice.choice(kinds), dice.randint(1, LONGEST_PACKET_COUNT)))
    for _ in range(dice.choice((0, 0, 0, 1, 2))):
        what, mode = dice.choice(OUTAGES)
        from_ms = dice.randrange(0, end_ms)
        day.events += [[from_ms, what, mode], [from_ms + dice.randrange(1_000, 90_000), what, "up"]]
    if dice.random() < 0.2:
        day.events.append([0, "ntp", False])
    day.wipe = dice.random() < 0.1
    return day


def one(seed: int, days: int, directory: Path, report: Report | None = None) -> str | None:
    """A unit's life of so many days. Returns what was broken, or None."""
    dice = random.Random(seed)
    with House(directory, seed) as house:
        for _ in range(days):
            day = draw(dice)
            if report is not None:
                report.say(f"network/{seed} day {house.day}: {day}")
            house.live(day)
            if report is not None:
                report.count("days of a bad network")
        house.settle()
        return house.broken()


def run(report: Report, seconds: float, seed: int) -> None:
    """Life after life, until the time is over."""
    began = time.monotonic()
    number = seed * 1000
    while time.monotonic() - began < seconds:
        left_s = seconds - (time.monotonic() - began)
        days = max(5, min(DAYS_A_RUN, int(left_s)))
        _life(report, number, days)
        number += 1


def replay(report: Report, text: str) -> None:
    """`text` is SEED/DAYS."""
    seed, _, days = text.partition("/")
    _life(report, int(seed), int(days or DAYS_A_RUN))


def _life(report: Report, seed: int, days: int) -> None:
    directory = Path(tempfile.mkdtemp(prefix="wearmeter-network-"))
    try:
        why = one(seed, days, directory, report)
    except (AssertionError, OSError, BrokerError) as error:
        why = str(error)
    if why:
        report.fail(f"network/{seed}/{days}", why)
    shutil.rmtree(directory, ignore_errors=True)
