"""For tests: power the virtual board once with a main.py of the test's own, see what it printed and how it ended."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.setup import boards
from tools.simulator import flash_image
from tools.simulator.flash_image import FlashStats
from tools.simulator.process import BoardProcess
from tools.simulator.vacuum import STAMPED, board_files, find_micropython

START_UTC_MS = 1_772_431_200_000  # 2026-03-02 06:00:00
MOTOR_GPIOS = [number for name, number in boards.pins("virtual").items() if "motor" in name]
WIFI = {"ssid": "Home", "password": "a password"}


@dataclass(frozen=True)
class BoardRun:
    """One process of the board. `lines` are those of the console, `stamps_ms` their true time since power-on. `end` is
    its end file, empty when it ended by itself."""

    lines: list[str]
    stamps_ms: list[int | None]
    status: int
    end: dict[str, Any]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Board:
    """A board with its flash, which keeps what it holds from one power-on to the next."""

    directory: Path
    files: dict[str, bytes] = field(default_factory=dict)
    flash_kib: int = 256

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        content = {**board_files(), **self.files}
        flash_image.make(self.flash, content, self.flash_kib * 1024)
        for name in ("wear.bin", "nvs.json", "end.json", "watchdog.bin"):
            (self.directory / name).write_bytes(b"")
        self.clock.write_bytes(bytes(8))

    @property
    def flash(self) -> Path:
        return self.directory / "flash.bin"

    @property
    def clock(self) -> Path:
        return self.directory / "clock.bin"

    @property
    def wear(self) -> FlashStats:
        return FlashStats.read(self.directory / "wear.bin")

    def clock_utc_ms(self) -> int:
        return int(struct.unpack("<Q", self.clock.read_bytes())[0])

    def session(self, **keys: Any) -> dict[str, Any]:
        plain: dict[str, Any] = {
            "flash_file": str(self.flash),
            "stats_file": str(self.directory / "wear.bin"),
            "nvs_file": str(self.directory / "nvs.json"),
            "clock_file": str(self.clock),
            "watchdog_file": str(self.directory / "watchdog.bin"),
            "end_file": str(self.directory / "end.json"),
            "start_utc_ms": START_UTC_MS,
            "end_ms": 10_000,
            "unique_id": "246f28a1b2c3",
            "wifi": WIFI,
            "motor_gpios": MOTOR_GPIOS,
            "events": [],
        }
        return {**plain, **keys}

    def power(self, main: str | None = None, events: Iterable[list[Any]] = (), **keys: Any) -> BoardRun:
        """Runs until the board dies (after 10 s of its time, unless end_ms says otherwise).

        Raises DroppedCallbacks when the scheduler's queue was full, unless storm=True says that it may be.
        """
        if main is not None:
            flash_image.write_file(self.flash, "main.py", main.encode())
        session = self.session(events=list(events), **keys)
        process = BoardProcess(session, self.directory / "session.json", find_micropython())
        lines: list[str] = []
        stamps: list[int | None] = []
        for line in process.lines():
            stamped = STAMPED.fullmatch(line)
            lines.append(stamped[2] if stamped else line)
            stamps.append(int(stamped[1]) - START_UTC_MS if stamped else None)
        return BoardRun(lines, stamps, process.process.returncode, process.end() or {})
