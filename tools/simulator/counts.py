"""What the device has counted: its records, read from the flash image with the firmware's own code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.simulator import flash_image
from tools.simulator.scenario import ROOT

COUNTS = ("state/a/counts/now", "state/b/counts/now")
LEDGER = ("state/a/ledger", "state/b/ledger")


@dataclass(frozen=True)
class Counted:
    """One consumable. Milliseconds of running time."""

    lifetime_ms: int
    used_ms: int
    generation: int


def pure(name: str) -> Any:
    """A pure module of the firmware, under CPython: "state.ledger"."""
    for folder in (ROOT / "firmware", ROOT / "tools" / "on_host"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    return importlib.import_module(f"wearmeter.{name}")


class Shelf:
    """A record's files out of a flash image, as firmware/wearmeter/flash/record.py frames them."""

    def __init__(self, read: Callable[[str], bytes | None], copies: tuple[str, str]) -> None:
        record = pure("flash.record")
        self.newest = 0
        self.payload = b""
        for path in copies:
            data = read(path)
            if data and len(data) >= record.FRAME_BYTES:
                found = record.unframe(data)
                if found and found[0] > self.newest:
                    self.newest, self.payload = found


def read(flash: Path, ids: list[int]) -> list[Counted] | None:
    """What a start would find for the parts of these ids, or None where there is no good record of counts."""

    def file(name: str) -> bytes | None:
        return flash_image.read_file(flash, name)

    counts, ledger = Shelf(file, COUNTS).payload, Shelf(file, LEDGER).payload
    if not counts and not ledger:
        return None
    lifetimes = pure("state.counts").decode(counts)[2] if counts else {}
    parts = {part.id: part for part in pure("state.ledger").decode(ledger)[1]} if ledger else {}
    found = []
    for identity in ids:
        part = parts.get(identity) or pure("state.part").Part(identity)
        lifetime_ms = max(lifetimes.get(identity, 0), part.saved_ms)
        found.append(Counted(lifetime_ms, lifetime_ms - part.fitted_at_ms, part.generation))
    return found


def queue(flash: Path) -> list[Any]:
    """The messages waiting for the relay, as firmware/wearmeter/state/queue.py describes its entries."""
    ledger = pure("state.ledger")
    payload = Shelf(lambda name: flash_image.read_file(flash, name), LEDGER).payload
    if not payload:
        return []
    found = pure("state.queue").Queue(memoryview(bytearray(payload)), ledger.QUEUE_AT, len(payload))
    found.restore(len(payload))
    return [entry for entry in found.entries() if not entry.told]
