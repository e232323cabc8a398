"""A whole unit for tests: the compiled firmware on a virtual board in virtual time, through resets of the chip."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.setup import firmware as firmware_build
from tools.simulator import counts, flash_image
from tools.simulator.counts import Counted
from tools.simulator.testing import START_UTC_MS, WIFI, Board, BoardRun
from tools.simulator.vacuum import firmware_files, packed_files

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ROOT / "firmware" / "products" / "vacuum.json"
SUCTION, BRUSH, FILTER_BUTTON = 4, 5, 18
REST = {str(SUCTION): 0, str(BRUSH): 0, str(FILTER_BUTTON): 1, "19": 1}
IDLE = [[0, "pin", int(gpio), level] for gpio, level in REST.items()]


def config(**more: Any) -> dict[str, Any]:
    """Of a unit whose broker is nowhere."""
    return {
        "schema": 2,
        "wifi": WIFI,
        "broker": {"host": "127.0.0.1", "port": 9, "transport": "plain"},
        "serial": "SN-1",
        **more,
    }


def clean(start_ms: int, end_ms: int, gpio: int = SUCTION) -> list[list[Any]]:
    """The motor runs from start to end."""
    return [[start_ms, "pin", gpio, 1], [end_ms, "pin", gpio, 0]]


@functools.cache
def built() -> dict[str, bytes]:
    """The compiled firmware, brought up to date once in a run of the tests: looking takes half a second."""
    firmware_build.build()
    return firmware_files(firmware_build.BUILD)


@dataclass
class Unit:
    """Made in `directory` with the firmware of build/mpy, a product and a config; `files` come on top."""

    directory: Path
    files: dict[str, bytes] = field(default_factory=dict)
    product: dict[str, Any] = field(default_factory=lambda: dict(json.loads(PRODUCT.read_text())))
    config: dict[str, Any] = field(default_factory=config)
    flash_kib: int = 512
    firmware: bool = True  # False: only the unit's own files are on the flash

    def __post_init__(self) -> None:
        files = dict(built()) if self.firmware else {}
        files.update(packed_files(self.product, self.config))
        self.board = Board(self.directory, {**files, **self.files}, self.flash_kib)

    def power(self, until_ms: int, events: Iterable[list[Any]] = (), boots: int = 20, **keys: Any) -> list[BoardRun]:
        """With power until `until_ms`, through resets of the chip; each start is one BoardRun."""
        runs: list[BoardRun] = []
        cause, elapsed_ms, rtc_us = "power", 0, 0
        while len(runs) < boots:
            run = self.board.power(
                events=sorted([*IDLE, *events], key=lambda event: event[0]),
                end_ms=until_ms,
                elapsed_ms=elapsed_ms,
                rtc_us=rtc_us,
                reset_cause=cause,
                rest=REST,
                **keys,
            )
            runs.append(run)
            cause = str(run.end.get("reason", "none"))
            if cause not in ("hard", "soft", "watchdog"):
                break
            elapsed_ms = -(-int(run.end["now_us"]) // 1000)
            rtc_us = int(run.end["rtc_us"])
        return runs

    def read(self, name: str) -> bytes | None:
        return flash_image.read_file(self.board.flash, name)

    def write(self, name: str, content: bytes) -> None:
        flash_image.write_file(self.board.flash, name, content)

    def counted(self) -> list[Counted]:
        found = counts.read(self.board.flash, [part["id"] for part in self.product["consumables"]])
        assert found is not None, "there is no ledger"
        return found

    def queue(self) -> list[Any]:
        """The messages waiting for the relay: see tools/simulator/counts.py."""
        return counts.queue(self.board.flash)


__all__ = ["START_UTC_MS", "Unit", "clean", "config"]
