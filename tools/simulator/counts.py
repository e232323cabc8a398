"""What the device has counted: its ledger, read from the flash image with the firmware's own code."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.simulator import flash_image
from tools.simulator.scenario import ROOT

COPIES = ("state/a/ledger", "state/b/ledger")


@dataclass(frozen=True)
class Counted:
    """One consumable in the ledger. Milliseconds of running time."""

    lifetime_ms: int
    used_ms: int
    generation: int


def _firmware(name: str) -> Any:
    """A pure module of the firmware, under CPython."""
    for folder in (ROOT / "firmware", ROOT / "tools" / "on_host"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    return importlib.import_module(f"wearmeter.{name}")


def read(flash: Path, consumables: int) -> list[Counted] | None:
    """The newest good ledger, or None where there is none."""
    best = None
    for copy in COPIES:
        found = _firmware("store").unframe(flash_image.read_file(flash, copy))
        if found is not None and (best is None or found[0] > best[0]):
            best = found
    if best is None:
        return None
    ledger = _firmware("ledger").Ledger(consumables)
    ledger.restore(best[1])
    return [Counted(part.lifetime_ms, part.used_ms, part.generation) for part in ledger.consumables]
