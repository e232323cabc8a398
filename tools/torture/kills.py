"""kill -9 at random moments: the virtual board's process, while the firmware really talks to a broker and the relay.

A life is a unit that is killed a number of times within cleans, presses and messages, and then rests until everything
has reached the relay. Its truth is known to the second before each kill: the board writes its clock that often.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.demo.broker import EmbeddedBroker
from tools.relay.core import wire
from tools.relay.service import Relay
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.setup import boards
from tools.simulator import counts
from tools.simulator.scenario import ROOT, SCENARIOS, Scenario
from tools.simulator.timeline import Session
from tools.simulator.vacuum import BOARD, Simulator
from tools.torture.report import Report

KILLS = 8  # in each life
LIVE_MS = 25 * 60_000
REST_MS = (13 * 60_000, 5 * 60_000)
FIRST_MS = 8_000  # the firmware counts from here at the latest: what ran before, nobody could see
CLOCK_STEP_MS = 1_200
LOST_AT_A_CUT_MS = 1_000
LIFE_S = 120.0
MOTORS = {"suction": "suction_motor", "brush": "brush_motor"}
BUTTONS = ("filter_button", "brush_button")
LINE = re.compile(r"@\d+ wm (replaced|undone) id=(\d+)")


@dataclass
class Truth:
    """What has happened to the unit. `least_ms`, `most_ms`: how long each input has run, to the clock's step."""

    kills: int = 0
    least_ms: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MOTORS, 0))
    most_ms: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MOTORS, 0))
    acknowledged: dict[int, int] = field(default_factory=dict)

    def ran(self, name: str, spans: list[tuple[int, int]], until_ms: int) -> None:
        self.least_ms[name] += sum(max(0, min(end, until_ms) - start) for start, end in spans)
        late_ms = until_ms + CLOCK_STEP_MS
        self.most_ms[name] += sum(max(0, min(end, late_ms) - start) for start, end in spans)


class Life:
    """One unit, its broker and its relay. `fail(why)` is told of each broken promise."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.scenario = Scenario.load(SCENARIOS / "always_on.toml")
        self.pins = boards.pins("virtual")
        self.truth = Truth()
        self.broken: list[str] = []

    def run(self) -> list[str]:
        """Live, and return what was broken."""
        with ExitStack() as stack:
            broker = stack.enter_context(EmbeddedBroker())
            self.unit = Simulator(self.scenario, 1, self.folder, broker.port)
            settings = Settings(
                broker=f"127.0.0.1:{broker.port}", store=f"sqlite:///{self.folder / 'relay.sqlite3'}", deliver=False
            )
            self.relay = Relay(settings, self._utc_s)
            self.relay.start()
            stack.callback(self.relay.stop)
            at_ms = 0
            for number in range(1, KILLS + 1):
                at_ms = self._live(number, at_ms) + self.random.choice((500, 60_000, 30_000_000))
                self.truth.kills += 1
            for number, length_ms in enumerate(REST_MS, KILLS + 1):
                if number > KILLS + 1:
                    self.relay.store.add_command(self.scenario.device.unique_id, wire.REPORT_NOW, [])
                at_ms = self._power(Session(number, at_ms, at_ms + length_ms, self._rest()), None) + 1000
            if not self.relay.wait_idle(15):
                self.broken.append("the relay is not done after 15 s")
            self._check()
        return self.broken

    def _utc_s(self) -> float:
        try:
            self._seen_s = self.unit.clock.utc_ms() / 1000
        except (OSError, struct.error):  # the file is just being written
            pass
        return self._seen_s

    _seen_s = 0.0

    def _rest(self) -> list[list[Any]]:
        levels = {self.pins[signal]: 0 for signal in MOTORS.values()} | {self.pins[signal]: 1 for signal in BUTTONS}
        return [[0, "pin", number, level] for number, level in levels.items()]

    def _live(self, number: int, at_ms: int) -> int:
        """Power on, use it, kill it. Returns when that was."""
        events = self._rest()
        spans: dict[str, list[tuple[int, int]]] = {name: [] for name in MOTORS}
        for name, signal in MOTORS.items():
            at = FIRST_MS
            while at < LIVE_MS - 400_000:
                start = at + self.random.randint(100, 60_000)
                at = start + self.random.choice((300, 5_000, 60_000, 300_000))
                spans[name].append((start, at))
                events += [[start, "pin", self.pins[signal], 1], [at, "pin", self.pins[signal], 0]]
        for signal in BUTTONS:
            for _ in range(self.random.randint(0, 3)):
                start = self.random.randint(FIRST_MS, LIVE_MS - 10_000)
                events += [[start, "pin", self.pins[signal], 0], [start + 3_600, "pin", self.pins[signal], 1]]
        events.sort(key=lambda event: event[0])
        session = Session(number, at_ms, at_ms + LIVE_MS, events)
        killed_ms = self._power(session, self.random.choice((0.05, 0.2, 0.5, 1.5)) * self.random.random() + 0.15)
        for name in MOTORS:
            self.truth.ran(name, spans[name], killed_ms - at_ms)
        return killed_ms

    def _power(self, session: Session, kill_after_s: float | None) -> int:
        """One process, killed after a while or at its end; returns the scenario's moment of that."""
        board = self.unit.session_file(session)
        board["reset_cause"] = "power"
        path = self.unit.directory / "session.json"
        path.write_text(json.dumps(board))
        self.unit.tell_clock(session.on_ms)
        console = self.unit.directory / f"console-{session.number}.log"
        command = [self.unit.micropython, "-X", "heapsize=1024k", str(BOARD / "boot.py"), str(path.resolve())]
        with open(console, "wb") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=self.unit.directory
            )
            try:
                process.wait(LIFE_S if kill_after_s is None else kill_after_s)
            except subprocess.TimeoutExpired:
                if kill_after_s is None:
                    self.broken.append(f"the unit's rest did not end within {LIFE_S:.0f} s")
            finally:
                process.kill()
                process.wait()
        text = console.read_text(errors="replace")
        if "Traceback" in text:
            self.broken.append("the firmware failed: " + text[text.index("Traceback") :][:300])
        for word, identity in LINE.findall(text):
            change = 1 if word == "replaced" else -1
            part = int(identity)
            self.truth.acknowledged[part] = self.truth.acknowledged.get(part, 0) + change
        return self.unit.clock.utc_ms() - self.scenario.start_utc_ms

    def _check(self) -> None:
        truth, broken = self.truth, self.broken
        product = self.scenario.product
        counted = counts.read(self.unit.flash_path, [part.id for part in product.consumables])
        if counted is None:
            broken.append("promise 1: there is no ledger")
            return
        held = {(used.instance, used.generation): used for used in self.relay.holdings().usage}
        for part, found in zip(product.consumables, counted, strict=True):
            least_ms = truth.least_ms[part.input] - LOST_AT_A_CUT_MS * truth.kills
            if not least_ms <= found.lifetime_ms <= truth.most_ms[part.input]:
                broken.append(
                    f"promise 1: {part.instance} counted {found.lifetime_ms} ms, ran {truth.least_ms[part.input]} to "
                    f"{truth.most_ms[part.input]} ms, {truth.kills} kills"
                )
            more = found.generation - 1 - truth.acknowledged.get(part.id, 0)
            if abs(more) > truth.kills:
                broken.append(f"promise 2: {part.instance} is at generation {found.generation}, {more} beyond the told")
            newest = held.get((part.instance, found.generation))
            if newest is None or newest.used_s != found.used_ms // 1000:
                broken.append(f"promise 3: {part.instance}: the relay has {newest}, the ledger {found}")
            for generation in range(1, found.generation):
                old = held.get((part.instance, generation))
                if found.generation > 1 and (old is None or old.inferred or old.replaced_utc_s is None):
                    broken.append(f"promise 2: {part.instance}: replacement {generation} is {old} at the relay")
            if (part.instance, found.generation + 1) in held:
                broken.append(f"promise 2: {part.instance}: the relay has a replacement that was never made")
        for row in self.relay.store.rows(schema.quarantine):
            broken.append(f"promise 3: kept aside: sequence {row.sequence}: {row.reason}")


def live(seed: int) -> list[str]:
    """Run the life drawn from `seed`; returns what was broken."""
    with tempfile.TemporaryDirectory() as folder:
        return Life(seed, Path(folder)).run()


def _live_apart(report: Report, seed: int) -> None:
    """The same in a process of its own: one relay each."""
    command = [sys.executable, "-m", "tools.torture.kills", str(seed)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        report.fail(f"kills/{seed}", done.stderr.strip()[-500:])
        return
    report.count("kills", KILLS)
    for why in json.loads(done.stdout.splitlines()[-1]):
        report.fail(f"kills/{seed}", why)


def run(report: Report, seconds: float, seed: int) -> None:
    """Lives side by side, for about `seconds`."""
    ends = time.monotonic() + seconds
    numbers = itertools.count(seed * 1000)

    def work() -> None:
        while time.monotonic() < ends:
            own = next(numbers)
            report.say(f"life {own}")
            _live_apart(report, own)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(report.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def replay(report: Report, name: str) -> None:
    """Run one life again: the same uses, though a kill never strikes at quite the same moment."""
    _live_apart(report, int(name))


if __name__ == "__main__":
    print(json.dumps(live(int(sys.argv[1]))))
