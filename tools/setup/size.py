"""Weighs the firmware: each bundle as .mpy, and the heap of a running unit, against their ceilings.

    python -m tools.setup.size            # exit status 1 if something is over its ceiling, or has none
    python -m tools.setup.size --lower    # brings each ceiling down to what there is now

The ceilings stand in size_ceilings.json, in bytes. They only go down: whoever raises one says why in the commit. The
heap is that of the 64-bit port on this machine, where an object takes twice what it takes on the chip: the most in ten
minutes without a broker.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tools.setup import firmware

CEILINGS = Path(__file__).with_name("size_ceilings.json")
RUN_MS = 600_000


def bundles(folder: Path = firmware.OUT) -> dict[str, int]:
    """Bytes of each bundle."""
    return {path.stem: path.stat().st_size for path in sorted(folder.glob("wm_*.mpy"))}


def heap() -> dict[str, int]:
    """Bytes of heap that the firmware uses at most while it runs on the virtual board."""
    from tools.simulator.scenario import PRODUCTS
    from tools.simulator.testing import WIFI, Board
    from tools.simulator.vacuum import firmware_files, packed_files

    product = json.loads((PRODUCTS / "vacuum.json").read_text())
    broker = {"host": "127.0.0.1", "port": 9, "transport": "plain"}
    config = {"schema": 2, "wifi": WIFI, "broker": broker, "serial": "SN-1"}
    with tempfile.TemporaryDirectory() as folder:
        files = {**firmware_files(firmware.BUILD), **packed_files(product, config)}
        run = Board(Path(folder), files, 1024).power(end_ms=RUN_MS, rest={"4": 0, "5": 0, "18": 1, "19": 1})
    return {"heap running": int(run.end["heap_peak"])}


def complaints(found: dict[str, int], ceilings: dict[str, int]) -> list[str]:
    """One line for whatever is too heavy, has no ceiling, or has one and is gone."""
    lines = [f"{name}: no ceiling in {CEILINGS.name}" for name in found if name not in ceilings]
    lines += [f"{name}: has a ceiling, and is no more" for name in ceilings if name not in found]
    lines += [
        f"{name}: {size:,} bytes, {size - ceilings[name]:,} over its ceiling"
        for name, size in found.items()
        if size > ceilings.get(name, size)
    ]
    return lines


def lower(found: dict[str, int], ceilings: dict[str, int]) -> None:
    """Brings the ceilings down to what there is."""
    lowered = {name: min(size, ceilings.get(name, size)) for name, size in found.items()}
    CEILINGS.write_text(json.dumps(lowered, indent=2) + "\n")


def main(arguments: list[str] | None = None) -> int:
    found = {**bundles(), **heap()}
    ceilings = json.loads(CEILINGS.read_text())
    if "--lower" in (sys.argv[1:] if arguments is None else arguments):
        lower(found, ceilings)
        ceilings = json.loads(CEILINGS.read_text())
    for name, size in sorted(found.items(), key=lambda item: -item[1]):
        print(f"{size:9,} of {ceilings.get(name, 0):9,}  {name}")
    wrong = complaints(found, ceilings)
    for line in wrong:
        print(f"wearmeter: size: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
