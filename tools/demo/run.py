"""One run of everything: broker, relay and event gateway in this process, the firmware on the virtual board."""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.alexa_gateway.gateway import Gateway
from tools.demo.broker import EmbeddedBroker
from tools.demo.progress import Counted, Now, Progress
from tools.demo.story import Part
from tools.relay.core.wire import REPORT_NOW
from tools.relay.service import Holdings, Relay
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.setup import boards
from tools.simulator import Result, Scenario, Simulator, counts
from tools.simulator import vacuum as simulator
from tools.simulator.timeline import Session

TOKEN = "the demonstration's token"
MINUTE_MS = 60_000
# After the scenario the unit is plugged in once more, at rest and online, until an owner can no longer undo a
# replacement (10 minutes); then a last time, to answer the relay's request for a report.
EPILOGUE_MS = (12 * MINUTE_MS, 4 * MINUTE_MS)
UNPLUGGED_MS = MINUTE_MS
LOOK_S = 0.25
SETTLE_S = 15.0


class Stopped(Exception):
    """Somebody asked for the end of the run."""


@dataclass
class Message:
    """A message the relay has accepted, as its store has it."""

    epoch: int
    sequence: int
    kind: int
    received_utc_s: int
    sample_utc_s: int
    payload: bytes


@dataclass
class Told:
    """An event the gateway has accepted."""

    name: str
    instance: str
    generation: int
    usage_s: int | None
    utc_s: float


@dataclass
class Record:
    """What a run left behind."""

    scenario: Scenario
    seed: int
    result: Result
    epilogue_ms: int
    holdings: Holdings
    messages: list[Message]
    told: list[Told]
    events: int
    rejected: int
    saves: int
    wall_s: float


def parts_of(scenario: Scenario) -> list[Part]:
    """The product's consumables, by the name an English speaker calls them."""
    parts: list[Part] = []
    for entry in scenario.product.data["consumables"]:
        names = entry.get("names") or {}
        name = names.get("en-US") or next(iter(names.values()), entry["instance"])
        parts.append(Part(entry["id"], entry["instance"], name, entry["input"], int(entry.get("rated_life_h", 0))))
    return parts


class Run:
    """`Run(scenario, seed, out, firmware, progress, stopping).run()`; `out` also gets the relay's store and the flash.

    `stopping`, once set by anybody, ends the run within a second or so.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int | None,
        out: Path,
        firmware: Path,
        progress: Progress,
        stopping: threading.Event,
    ) -> None:
        self.stopping = stopping
        self.scenario = scenario
        self.seed = scenario.seed if seed is None else seed
        self.out = out
        self.firmware = firmware
        self.progress = progress
        self.parts = parts_of(scenario)
        self.running: tuple[str, ...] = ()
        self.session: Session | None = None
        self.seen_utc_ms = scenario.start_utc_ms
        self.cuts = 0
        self.borders: dict[str, list[int]] = {part.instance: [0] for part in self.parts}

    def run(self) -> Record:
        """Raises Stopped and simulator.SimulatorError; either way nothing is left running."""
        began = time.monotonic()
        for name in ("relay.sqlite3", "relay.sqlite3-wal", "relay.sqlite3-shm"):
            (self.out / name).unlink(missing_ok=True)
        with ExitStack() as stack:
            broker = stack.enter_context(EmbeddedBroker())
            self.gateway = Gateway(self.out, {TOKEN})
            url = self.gateway.start()
            stack.callback(self.gateway.stop)
            self.unit = Simulator(
                self.scenario,
                self.seed,
                self.out,
                broker.port,
                firmware_dir=self.firmware,
                on_progress=self._on_progress,
            )
            self._add_epilogue()
            self.device = self.scenario.device.unique_id
            settings = Settings(
                broker=f"127.0.0.1:{broker.port}",
                topic_root=self.scenario.device.topic_root,
                store=f"sqlite:///{self.out / 'relay.sqlite3'}",
                gateway=url,
                token=TOKEN,
            )
            self.relay = Relay(settings, self._virtual_utc_s)
            self.relay.start()
            stack.callback(self.relay.stop)
            result = self._watch()
            self.relay.wait_idle(SETTLE_S)
            if self.stopping.is_set():
                raise Stopped
            return self._record(result, time.monotonic() - began)

    def _utc_ms(self) -> int:
        """The unit's time; the last one read while the clock's file is just being written anew."""
        try:
            self.seen_utc_ms = self.unit.clock.utc_ms()
        except (OSError, struct.error):
            pass
        return self.seen_utc_ms

    def _virtual_utc_s(self) -> float:
        return self._utc_ms() / 1000

    # ---- the end of the story

    def _add_epilogue(self) -> None:
        sessions = self.unit.timeline.sessions
        self.last_session = len(sessions)
        at_ms = self.scenario.duration_ms + UNPLUGGED_MS
        for length_ms in EPILOGUE_MS:
            number = len(sessions) + 1
            sessions.append(Session(number, at_ms, at_ms + length_ms, self._at_rest()))
            at_ms += length_ms + UNPLUGGED_MS
        self.end_ms = at_ms - UNPLUGGED_MS

    def _at_rest(self) -> list[list[object]]:
        """Events at power-on for a unit that nobody touches; the network is there unless an event says otherwise."""
        analog = {entry.signal for entry in self.scenario.product.inputs.values() if entry.driver == "current"}
        numbers = boards.pins("virtual")
        adc = {numbers[signal] for signal in analog}
        return [
            [0, "adc", number, 0] if number in adc else [0, "pin", number, value]
            for number, value in self.unit.timeline.rest.items()
        ]

    # ---- while it runs

    def _on_progress(self, told: simulator.Progress) -> None:
        """In the simulator's thread: at each console line, and after each session."""
        self.running = told.running
        line = told.line
        if line is None:
            if told.session <= self.last_session:
                self.cuts += 1
            elif told.session == self.last_session + 1:
                self.relay.store.add_command(self.device, REPORT_NOW, [])
            return
        if not self.stopping.is_set():
            self._tell(line)

    def _tell(self, line: simulator.Line) -> None:
        names = {str(part.id): (part.instance, part.name.lower()) for part in self.parts}
        values = line.values
        instance, name = names.get(values.get("id", ""), ("", "part"))
        text = ""
        if line.word == "replaced":
            self.borders[instance].append(line.at_ms)
            text = f"new {name} fitted: the LED has said so"
        elif line.word == "undone":
            borders = self.borders[instance]
            if len(borders) > 1:
                borders.pop()
            text = f"{name}: the replacement was undone"
        elif line.word == "clock" and not self.clock_was_known:
            self.clock_was_known = True
            text = "the device has learnt the time"
        elif line.word == "fault":
            text = f"fault: {line.text.removeprefix('wm fault ')}"
        elif line.word == "stopped" or line.text.startswith("Traceback"):
            text = line.text
        if text:
            self.progress.note(self.scenario.start_utc_ms + line.at_ms, text)

    clock_was_known = False

    def _watch(self) -> Result:
        """Runs the unit in a thread of its own, and looks on from this one."""
        outcome: list[Result | BaseException] = []

        def work() -> None:
            try:
                outcome.append(self.unit.run())
            except BaseException as error:  # raised again in the thread that waits
                outcome.append(error)

        worker = threading.Thread(target=work, name="unit", daemon=True)
        worker.start()
        try:
            while worker.is_alive():
                if self.stopping.is_set():
                    break
                self.progress.show(self._now())
                worker.join(LOOK_S)
        finally:
            while worker.is_alive():  # again and again: it may be just between two processes
                self.unit.stop()
                worker.join(LOOK_S)
        if self.stopping.is_set():  # whatever else: a terminal's Ctrl-C reaches the unit's process too
            raise Stopped
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    def _now(self) -> Now:
        utc_ms = self._utc_ms()
        at_ms = max(0, utc_ms - self.scenario.start_utc_ms)
        timeline = self.unit.timeline
        held = {(usage.instance, usage.generation): usage.used_s for usage in self.relay.holdings().usage}
        parts: list[Counted] = []
        for part in self.parts:
            borders = list(self.borders[part.instance])
            true_ms = timeline.true_ms(part.input, borders[-1], max(at_ms, borders[-1]))
            parts.append(Counted(part.name, len(borders), true_ms, held.get((part.instance, len(borders)))))
        trouble = [f"Wi-Fi {mode}" for start, end, mode in timeline.wifi_outages if start <= at_ms < end]
        trouble += [f"broker {mode}" for start, end, mode in timeline.broker_outages if start <= at_ms < end]
        return Now(
            at_ms=at_ms,
            duration_ms=self.scenario.duration_ms,
            utc_ms=utc_ms,
            powered=any(session.on_ms <= at_ms < session.off_ms for session in timeline.sessions),
            motors={name: name in self.running for name in timeline.running},
            parts=parts,
            cuts=self.cuts,
            messages=self.relay.store.count(schema.messages),
            events=len(self.gateway.accepted),
            rejected=len(self.gateway.rejected),
            trouble=", ".join(trouble).replace("_", " "),
        )

    # ---- afterwards

    def _record(self, result: Result, wall_s: float) -> Record:
        store = self.relay.store
        messages = [
            Message(row.epoch, row.sequence, row.kind, row.received_s, row.sample_s, row.payload)
            for row in store.rows(schema.messages)
        ]
        instances = {part.id: part.instance for part in self.parts}
        told = [
            Told(row.name, instances[row.consumable], row.generation, row.usage_s, row.done_s)
            for row in store.rows(schema.queue, state="sent")
            if row.consumable is not None
        ]
        return Record(
            scenario=self.scenario,
            seed=self.seed,
            result=result,
            epilogue_ms=self.end_ms - self.scenario.duration_ms,
            holdings=self.relay.holdings(),
            messages=messages,
            told=told,
            events=len(self.gateway.accepted),
            rejected=len(self.gateway.rejected),
            saves=sum(self._saves(copies) for copies in (counts.COUNTS, counts.LEDGER)),
            wall_s=wall_s,
        )

    def _saves(self, copies: tuple[str, str]) -> int:
        """How often the device has saved a record in its life: the higher counter of its two copies."""
        return counts.Shelf(self.unit.read_file, copies).newest


@contextmanager
def quiet_logs(path: Path) -> Iterator[None]:
    """What the relay and the servers log goes into a file: the screen is the progress's."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
        handler.close()
