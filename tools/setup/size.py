"""Prints what the firmware weighs as .mpy: each module, all of it, and how far that is from the figure to reach."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.setup import firmware

REACH_BYTES = 24 * 1024  # all of wearmeter/, without umqtt


def sizes(folder: Path = firmware.OUT) -> dict[str, int]:
    """Bytes of each compiled module of the package."""
    return {
        str(path.relative_to(folder / "wearmeter").with_suffix("")): path.stat().st_size
        for path in sorted(folder.glob("wearmeter/**/*.mpy"))
    }


def main() -> int:
    found = sizes()
    for name, size in sorted(found.items(), key=lambda item: -item[1]):
        print(f"{size:7,}  {name}")
    total = sum(found.values())
    off = f"{total - REACH_BYTES:,} over" if total > REACH_BYTES else f"{REACH_BYTES - total:,} to spare"
    print(f"{total:7,}  all; {REACH_BYTES:,} is the figure to reach: {off}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
