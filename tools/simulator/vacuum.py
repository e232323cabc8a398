"""Runs a vacuum through a scenario: one process of the virtual board for each time with power, one after the other."""

from __future__ import annotations

import os
import re
import shutil
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.provision import pack
from tools.setup import boards, firmware
from tools.simulator import counts, flash_image, timeline
from tools.simulator.flash_image import FlashStats
from tools.simulator.process import BoardProcess, SimulatorError
from tools.simulator.scenario import ROOT, Scenario
from tools.simulator.timeline import Session, Timeline

BOARD = ROOT / "boards" / "virtual"
SSID, PASSWORD = "Home", "a password of the house"
STAMPED = re.compile(r"@(\d+) ?(.*)")
RESETS = {"watchdog": "watchdog", "hard": "hard", "soft": "soft"}


@dataclass(frozen=True)
class Line:
    """One line on the unit's console. at_ms: since the scenario's start, true time."""

    at_ms: int
    session: int
    text: str

    @property
    def word(self) -> str:
        """What it tells of: "replaced" in `wm replaced id=...`; empty for a line that isn't the firmware's."""
        parts = self.text.split(" ", 2)
        return parts[1] if parts[0] == "wm" and len(parts) > 1 else ""

    @property
    def values(self) -> dict[str, str]:
        return dict(re.findall(r"(\w+)=(\S+)", self.text)) if self.word else {}


@dataclass(frozen=True)
class Boot:
    """A start of the chip, and how it ended: cut, watchdog, hard (machine.reset), soft, hung, or crash."""

    session: int
    at_ms: int
    end_ms: int
    cause: str
    ended: str
    heap_peak: int
    flash_operations: int
    dropped_callbacks: int


@dataclass(frozen=True)
class Generation:
    """One fitted part: truth and count. counted_ms is None when the ledger cannot be read."""

    instance: str
    generation: int
    start_ms: int
    end_ms: int
    true_ms: int
    counted_ms: int | None


@dataclass(frozen=True)
class Progress:
    """Told after each session, and at each console line."""

    at_ms: int
    duration_ms: int
    session: int
    sessions: int
    running: tuple[str, ...]
    line: Line | None = None

    @property
    def day(self) -> int:
        return self.at_ms // 86_400_000 + 1


@dataclass
class Result:
    timeline: Timeline
    generations: list[Generation] = field(default_factory=list)
    boots: list[Boot] = field(default_factory=list)
    console: list[Line] = field(default_factory=list)
    flash: FlashStats = field(default_factory=lambda: FlashStats(0, 0, 0, ()))
    heap_peak: int = 0
    wall_s: float = 0.0

    @property
    def power_cuts(self) -> int:
        return sum(1 for boot in self.boots if boot.ended == "cut")

    def lines(self, word: str) -> list[Line]:
        return [line for line in self.console if line.word == word]


class VirtualClock:
    """Reads the true UTC of a running (or stopped) unit: for a relay that must live in the unit's time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def utc_ms(self) -> int:
        with open(self.path, "rb") as file:
            return int(struct.unpack("<Q", file.read(8))[0])

    def utc_s(self) -> int:
        return self.utc_ms() // 1000


def find_micropython() -> str:
    """The MicroPython to use: MICROPYTHON, else on the PATH, else the wheel's."""
    from tools.setup import micropython

    return micropython.find()


class Simulator:
    """One unit, from the factory to the end of the scenario.

    broker_port: of the real broker on loopback. firmware_dir: what `make build` has made (build/).
    on_progress(Progress) is called in the thread that runs. stop() may be called from another.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int | None = None,
        out_dir: Path | str = ROOT / "build" / "simulator",
        broker_port: int = 1883,
        micropython: str | None = None,
        firmware_dir: Path | str = ROOT / "build",
        on_progress: Callable[[Progress], None] | None = None,
        broker_host: str = "127.0.0.1",
        hosts: dict[str, str] | None = None,
        config: dict[str, Any] | None = None,
        extra_files: dict[str, bytes] | None = None,
        main: bytes | None = None,
    ) -> None:
        self.scenario = scenario
        self.timeline = timeline.build(scenario, seed)
        self.directory = Path(out_dir) / "unit"
        self.broker = {"host": broker_host, "port": broker_port, "transport": "plain"}
        self.micropython = micropython or find_micropython()
        self.firmware_dir = Path(firmware_dir)
        self.on_progress = on_progress
        self.hosts = hosts or {}
        self.config = config or {}
        self.extra_files = extra_files or {}
        self.main = main
        self.flash_path = self.directory / "flash.bin"
        self.stats_path = self.directory / "flash-wear.bin"
        self.clock_path = self.directory / "clock.bin"
        self.console_path = self.directory / "console.log"
        self.session_overrides: dict[str, Any] = {}
        self.result = Result(self.timeline)
        self._process: BoardProcess | None = None
        self._stopped = False
        self._make_unit()

    # --- the factory ------------------------------------------------------------------------------------------------

    def _make_unit(self) -> None:
        if self.directory.exists():
            shutil.rmtree(self.directory)
        self.directory.mkdir(parents=True)
        files = firmware_files(self.firmware_dir) if self.main is None else {"main.py": self.main}
        files.update(board_files())
        files.update(packed_files(self.scenario.product.data, self.device_config()))
        files.update(self.extra_files)
        flash_image.make(self.flash_path, files, self.scenario.device.flash_kib * 1024)
        for name in ("flash-wear.bin", "nvs.json", "end.json", "watchdog.bin", "console.log"):
            (self.directory / name).touch()
        self.tell_clock(0)

    def device_config(self) -> dict[str, Any]:
        device = self.scenario.device
        config: dict[str, Any] = {
            "schema": 2,
            "wifi": {"ssid": SSID, "password": PASSWORD},
            "broker": self.broker,
            "topic_root": device.topic_root,
            "device": None,
            "serial": device.serial,
            "ntp_host": device.ntp_host,
        }
        return {**config, **self.config}

    # --- time -------------------------------------------------------------------------------------------------------

    @property
    def clock(self) -> VirtualClock:
        return VirtualClock(self.clock_path)

    def virtual_utc_s(self) -> int:
        """The unit's true UTC in seconds; while it has no power, that of its last moment."""
        return self.clock.utc_s()

    def tell_clock(self, at_ms: int) -> None:
        """In place and in one write: others read at any moment."""
        descriptor = os.open(self.clock_path, os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, struct.pack("<Q", self.scenario.start_utc_ms + at_ms))
        os.close(descriptor)

    # --- running ----------------------------------------------------------------------------------------------------

    def run(self) -> Result:
        """All sessions. Raises SimulatorError when the scheduler dropped a callback or the board cannot run."""
        began = time.monotonic()
        with open(self.console_path, "w", encoding="utf-8") as console:
            for session in self.timeline.sessions:
                if self._stopped:
                    break
                self.power_on(session, console)
        self.tell_clock(self.scenario.duration_ms)
        self.result.flash = FlashStats.read(self.stats_path)
        self.result.heap_peak = max((boot.heap_peak for boot in self.result.boots), default=0)
        self.result.generations = self._generations()
        self.result.wall_s = time.monotonic() - began
        return self.result

    def stop(self) -> None:
        """End at once; run() returns what there is."""
        self._stopped = True
        process = self._process
        if process is not None:
            process.kill()

    def power_on(self, session: Session, console: Any) -> None:
        """From power-on to the cut, through resets of the chip."""
        board: dict[str, Any] = self.session_file(session)
        cause = "power"
        while not self._stopped:
            board["reset_cause"] = cause
            began_ms = int(board["elapsed_ms"])
            end = self._run_process(board, session, console)
            boot = Boot(
                session.number,
                session.on_ms + began_ms,
                session.on_ms + int(end["now_us"]) // 1000,
                cause,
                str(end["reason"]),
                int(end["heap_peak"]),
                int(end["flash_operations"]),
                int(end["dropped_callbacks"]),
            )
            self.result.boots.append(boot)
            cause = str(end["reason"])
            if cause not in RESETS:
                break
            board["elapsed_ms"] = -(-int(end["now_us"]) // 1000)
            board["rtc_us"] = int(end["rtc_us"])
            board.pop("cut_at_operation", None)
            if board["elapsed_ms"] >= board["end_ms"]:
                break
        self._tell(session.off_ms, session, None)

    def session_file(self, session: Session) -> dict[str, Any]:
        """The board's session file; its keys are described in boards/virtual/README.md."""
        device = self.scenario.device
        return {
            "mode": "virtual",
            "flash_file": str(self.flash_path.resolve()),
            "stats_file": str(self.stats_path.resolve()),
            "nvs_file": str((self.directory / "nvs.json").resolve()),
            "clock_file": str(self.clock_path.resolve()),
            "watchdog_file": str((self.directory / "watchdog.bin").resolve()),
            "end_file": str((self.directory / "end.json").resolve()),
            "start_utc_ms": self.scenario.start_utc_ms + session.on_ms,
            "end_ms": session.off_ms - session.on_ms,
            "elapsed_ms": 0,
            "boot_ms": self.scenario.boot_ms,
            "unique_id": device.unique_id,
            "ticks_ms_start": device.ticks_ms_start,
            "wifi_connect_ms": device.wifi_connect_ms,
            "wifi": {"ssid": SSID, "password": PASSWORD},
            "hosts": self.hosts,
            "rest": {str(number): value for number, value in self.timeline.rest.items()},
            "motor_gpios": [boards.pins("virtual")[source.signal] for source in self.scenario.product.inputs.values()],
            "events": session.events,
            **self.session_overrides,
        }

    def _run_process(self, board: dict[str, Any], session: Session, console: Any) -> dict[str, Any]:
        """Raises SimulatorError: dropped callbacks, or a board that ended by itself."""
        heap_kib = self.scenario.device.heap_kib
        process = BoardProcess(board, self.directory / "session.json", self.micropython, heap_kib)
        self._process = process
        try:
            for text in process.lines():
                self._console(text, session, console)
        finally:
            self._process = None
        end = process.end()
        if end:
            return end
        if self._stopped:
            now_us = (self.clock.utc_ms() - int(board["start_utc_ms"])) * 1000
            nothing = {"heap_peak": 0, "flash_operations": 0, "dropped_callbacks": 0}
            return {"reason": "stopped", "now_us": now_us, **nothing}
        last = self.result.console[-1].text if self.result.console else "nothing on its console"
        raise SimulatorError(f"the virtual board ended by itself (status {process.process.returncode}): {last}")

    def _console(self, text: str, session: Session, console: Any) -> None:
        stamped = STAMPED.fullmatch(text)
        if stamped:
            line = Line(int(stamped[1]) - self.scenario.start_utc_ms, session.number, stamped[2])
        else:
            before = self.result.console[-1].at_ms if self.result.console else session.on_ms
            line = Line(max(before, session.on_ms), session.number, text)
        self.result.console.append(line)
        console.write(f"{line.at_ms / 1000:.3f} {line.text}\n")
        console.flush()
        self._tell(line.at_ms, session, line)

    def _tell(self, at_ms: int, session: Session, line: Line | None) -> None:
        if self.on_progress:
            running = tuple(
                name for name, runs in self.timeline.running.items() if any(a <= at_ms < b for a, b in runs)
            )
            sessions = len(self.timeline.sessions)
            self.on_progress(Progress(at_ms, self.scenario.duration_ms, session.number, sessions, running, line))

    # --- truth and count --------------------------------------------------------------------------------------------

    def read_file(self, name: str) -> bytes | None:
        """A file on the unit's flash, e.g. "state/a/ledger"."""
        return flash_image.read_file(self.flash_path, name)

    def _generations(self) -> list[Generation]:
        """The parts fitted one after the other, as the device acknowledged their replacement on its console."""
        product = self.scenario.product
        counted = counts.read(self.flash_path, product.ids) if self.main is None else None
        found = []
        for index, part in enumerate(product.consumables):
            borders: list[tuple[int, int]] = [(0, 0)]  # since when, lifetime then
            for line in self.result.console:
                if line.word in ("replaced", "undone") and line.values.get("id") == str(part.id):
                    if line.word == "replaced":
                        # The line comes after the write; the border is the tick that saw the press.
                        ago_ms = int(line.values.get("ago_ms", 0))
                        borders.append((line.at_ms - ago_ms, int(line.values["fitted_at_ms"])))
                    elif len(borders) > 1:
                        borders.pop()
            for number, (since_ms, lifetime_ms) in enumerate(borders, 1):
                if number < len(borders):
                    until_ms = borders[number][0]
                    count: int | None = borders[number][1] - lifetime_ms
                else:
                    until_ms = self.scenario.duration_ms
                    count = counted[index].lifetime_ms - lifetime_ms if counted else None
                true_ms = self.timeline.true_ms(part.input, since_ms, until_ms)
                found.append(Generation(part.instance, number, since_ms, until_ms, true_ms, count))
        return found


def board_files() -> dict[str, bytes]:
    """The module `board`, beside main.py: for a main.py of a test's own."""
    return {"board.py": boards.source("virtual").encode()}


def firmware_files(build: Path) -> dict[str, bytes]:
    """What a deployed unit holds: main.py, the name of the slot that runs, and the same firmware in both slots.

    `build` is what `make build` has made. Raises SimulatorError.
    """
    if not (build / "mpy" / "main.py").exists():
        raise SimulatorError(f"{build} holds no firmware: run `make build` first")
    slot = firmware.slot_files("virtual", build)
    files = {"main.py": (build / "mpy" / "main.py").read_bytes(), "slot": b"fw_a "}
    return {**files, **{f"{name}/{path}": data for name in ("fw_a", "fw_b") for path, data in slot.items()}}


def packed_files(product: dict[str, Any], config: dict[str, Any] | None) -> dict[str, bytes]:
    """The unit's own files, checked and packed. Raises pack.FileError."""
    checked = pack.read_product(product, "product", boards.pins("virtual"))
    files = pack.unit_files("product", pack.pack_product(checked))
    if config is not None:
        files.update(pack.unit_files("config", pack.pack_config(pack.read_config(config, "config"))))
    return files
