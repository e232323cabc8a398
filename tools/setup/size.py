"""Weighs the firmware as .mpy: each module against its ceiling, and all of it against the figure to reach.

    python -m tools.setup.size            # exit status 1 if a module is over its ceiling, or has none
    python -m tools.setup.size --lower    # brings each ceiling down to what the module weighs now

The ceilings stand in size_ceilings.json, in bytes. They only go down: whoever raises one says why in the commit.
`optional` modules are imported only for a product that uses them; they are on the flash of every unit, but in the heap
of none that does without. They are not in the sum that is compared with the figure to reach.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tools.setup import firmware

REACH_BYTES = 24 * 1024  # all of wearmeter/, without umqtt and what is optional
CEILINGS = Path(__file__).with_name("size_ceilings.json")


def sizes(folder: Path = firmware.OUT) -> dict[str, int]:
    """Bytes of each compiled module of the package."""
    return {
        str(path.relative_to(folder / "wearmeter").with_suffix("")): path.stat().st_size
        for path in sorted(folder.glob("wearmeter/**/*.mpy"))
    }


def complaints(found: dict[str, int], ceilings: dict[str, dict[str, int]]) -> list[str]:
    """One line for each module that is too heavy, has no ceiling, or has one and is gone; and for the sum."""
    allowed = {**ceilings["always"], **ceilings["optional"]}
    lines = [f"{name}: no ceiling in {CEILINGS.name}" for name in found if name not in allowed]
    lines += [f"{name}: has a ceiling, and is no more" for name in allowed if name not in found]
    lines += [
        f"{name}: {size:,} bytes, {size - allowed[name]:,} over its ceiling"
        for name, size in found.items()
        if size > allowed.get(name, size)
    ]
    always = sum(size for name, size in found.items() if name not in ceilings["optional"])
    if always > ceilings["sum"]["always"]:
        lines.append(f"all that is always there: {always:,} bytes, ceiling {ceilings['sum']['always']:,}")
    return lines


def lower(found: dict[str, int], ceilings: dict[str, dict[str, int]]) -> None:
    """Brings the ceilings down to what there is."""
    for kind in ("always", "optional"):
        for name in ceilings[kind]:
            ceilings[kind][name] = min(ceilings[kind][name], found.get(name, 0))
    always = sum(size for name, size in found.items() if name not in ceilings["optional"])
    ceilings["sum"]["always"] = min(ceilings["sum"]["always"], always)
    CEILINGS.write_text(json.dumps(ceilings, indent=2) + "\n")


def main(arguments: list[str] | None = None) -> int:
    found = sizes()
    ceilings = json.loads(CEILINGS.read_text())
    if "--lower" in (sys.argv[1:] if arguments is None else arguments):
        lower(found, ceilings)
    allowed = {**ceilings["always"], **ceilings["optional"]}
    for name, size in sorted(found.items(), key=lambda item: -item[1]):
        optional = "  optional" if name in ceilings["optional"] else ""
        print(f"{size:7,} of {allowed.get(name, 0):6,}  {name}{optional}")
    total = sum(size for name, size in found.items() if name not in ceilings["optional"])
    off = f"{total - REACH_BYTES:,} over" if total > REACH_BYTES else f"{REACH_BYTES - total:,} to spare"
    print(
        f"{total:7,} of {ceilings['sum']['always']:6,}  all that is always there; "
        f"{REACH_BYTES:,} is the figure to reach: {off}"
    )
    wrong = complaints(found, ceilings)
    for line in wrong:
        print(f"wearmeter: size: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
