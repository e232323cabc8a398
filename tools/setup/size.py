"""Weighs the firmware: each bundle as .mpy, and the heap of a running unit, against their ceilings.

    python -m tools.setup.size            # exit status 1 if something is over its ceiling, or has none
    python -m tools.setup.size --lower    # brings each ceiling down to what there is now

The ceilings stand in size_ceilings.json, in bytes. They only go down: whoever raises one says why in the commit. The
heap is the most in ten minutes on the virtual board without a broker, from main.py's first line on: all that the
firmware, main.py, board.py and umqtt.simple hold, and the pins and sockets that the stand-ins make for them.

On the 64-bit port of this machine an object takes twice what it takes on the chip. The chip's figure comes from a
32-bit unix MicroPython named in MICROPYTHON32, which needs no TLS. One that has the bundles, main and the virtual
board's `board` frozen in is weighed in that form, too. Without MICROPYTHON32 this is skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.setup import firmware, micropython

CEILINGS = Path(__file__).with_name("size_ceilings.json")
RUN_MS = 600_000
HEAP = "heap running"
HEAP_32 = "heap running, 32 bit"
HEAP_FROZEN = "heap running, 32 bit, frozen"
_RUN_FROZEN = b"import sys\nsys.path.insert(0, '.frozen')\nimport main\n"
_IS_FROZEN = "import sys; sys.path[:] = ['.frozen']; import wm_first"


class SizeError(Exception):
    """The heap could not be weighed; one line."""


def bundles(folder: Path = firmware.OUT) -> dict[str, int]:
    """Bytes of each bundle."""
    return {path.stem: path.stat().st_size for path in sorted(folder.glob("wm_*.mpy"))}


def heap(interpreter: str, frozen: bool = False) -> int:
    """Bytes of heap that the firmware uses at most while it runs on the virtual board. Raises SizeError."""
    from tools.simulator import flash_image
    from tools.simulator.process import BoardProcess
    from tools.simulator.scenario import PRODUCTS
    from tools.simulator.testing import WIFI, Board
    from tools.simulator.vacuum import firmware_files, packed_files

    product = json.loads((PRODUCTS / "vacuum.json").read_text())
    broker = {"host": "127.0.0.1", "port": 9, "transport": "plain"}
    config = {"schema": 2, "wifi": WIFI, "broker": broker, "serial": "SN-1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = {"main.py": _RUN_FROZEN} if frozen else firmware_files(firmware.BUILD)
        board = Board(folder, {**made, **packed_files(product, config)}, 1024)
        if frozen:
            flash_image.remove_file(board.flash, "board.py")
        session = board.session(end_ms=RUN_MS, rest={"4": 0, "5": 0, "18": 1, "19": 1})
        process = BoardProcess(session, folder / "session.json", interpreter)
        console = list(process.lines())
        end = process.end() or {}
    if "heap_peak" not in end or not any("wm link" in line for line in console):
        raise SizeError(f"the firmware did not run on {interpreter}: {' / '.join(console[-2:])}")
    return int(end["heap_peak"])


def heaps() -> dict[str, int]:
    """The heap on each MicroPython that there is. Raises SizeError."""
    found = {HEAP: heap(micropython.find())}
    chip = os.environ.get("MICROPYTHON32")
    if not chip:
        print("wearmeter: size: SKIPPED: the chip's heap (MICROPYTHON32 names no 32-bit MicroPython)", file=sys.stderr)
        return found
    found[HEAP_32] = heap(chip)
    if subprocess.run([chip, "-c", _IS_FROZEN], capture_output=True, check=False).returncode == 0:
        found[HEAP_FROZEN] = heap(chip, frozen=True)
    return found


def complaints(found: dict[str, int], ceilings: dict[str, int]) -> list[str]:
    """One line for whatever is too heavy, has no ceiling, or has one and is gone."""
    lines = [f"{name}: no ceiling in {CEILINGS.name}" for name in found if name not in ceilings]
    lines += [
        f"{name}: has a ceiling, and is no more"
        for name in ceilings
        if name not in found and name not in (HEAP_32, HEAP_FROZEN)  # skipped aloud
    ]
    lines += [
        f"{name}: {size:,} bytes, {size - ceilings[name]:,} over its ceiling"
        for name, size in found.items()
        if size > ceilings.get(name, size)
    ]
    return lines


def lower(found: dict[str, int], ceilings: dict[str, int]) -> None:
    """Brings the ceilings down to what there is."""
    lowered = {name: ceilings[name] for name in (HEAP_32, HEAP_FROZEN) if name in ceilings}
    lowered |= {name: min(size, ceilings.get(name, size)) for name, size in found.items()}
    CEILINGS.write_text(json.dumps(lowered, indent=2) + "\n")


def main(arguments: list[str] | None = None) -> int:
    try:
        found = {**bundles(), **heaps()}
    except SizeError as error:
        print(f"wearmeter: size: {error}", file=sys.stderr)
        return 1
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
