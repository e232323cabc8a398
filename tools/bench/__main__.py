"""Measure every figure anew: python -m tools.bench [NAME...]

Each module beside this one has `run(report)`, which calls `report.figure(name, value, unit, what)` for each figure.
They are printed as they come, and written to build/bench.json.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import time
from pathlib import Path

from tools.setup import firmware, umqtt

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "build" / "bench.json"


class Report:
    """Collects figures: `name` is MODULE.FIGURE."""

    def __init__(self) -> None:
        self.figures: dict[str, dict[str, object]] = {}

    def figure(self, name: str, value: float, unit: str, what: str) -> None:
        self.figures[name] = {"value": value, "unit": unit, "what": what}
        print(f"{name:44} {value:>12} {unit:6} {what}", flush=True)


def main(wanted: list[str]) -> int:
    names = [module.name for module in pkgutil.iter_modules([str(HERE)]) if not module.name.startswith("_")]
    for name in wanted:
        if name not in names:
            print(f"wearmeter: bench: no {name}; there are {', '.join(names)}", file=sys.stderr)
            return 2
    umqtt.fetch()
    firmware.build()
    report = Report()
    before = json.loads(OUT.read_text(encoding="utf-8"))["figures"] if wanted and OUT.exists() else {}
    for name in wanted or names:
        began = time.monotonic()
        importlib.import_module(f"tools.bench.{name}").run(report)
        print(f"-- {name}: {time.monotonic() - began:.0f} s")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"figures": {**before, **report.figures}}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
