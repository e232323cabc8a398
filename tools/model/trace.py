"""Traces of real runs, as JSON lines (README.md lists the steps), and whether the specification allows them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tools.model.checker import HERE, Sizes, check, specification

Step = dict[str, Any]
# What bounds an exploration must not bound a trace.
_UNBOUNDED = 1_000_000_000


def read(file: Path) -> list[Step]:
    """Return the steps of a trace. Raises ValueError for a line that is no JSON object with a `step`."""
    steps = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        step = json.loads(line)
        if not isinstance(step, dict) or "step" not in step:
            raise ValueError(f"{file.name}:{number}: no step")
        steps.append(step)
    return steps


def write(steps: list[Step], file: Path) -> None:
    """Write a trace, a step a line."""
    file.write_text("".join(json.dumps(step) + "\n" for step in steps))


def refusals(traces: list[list[Step]], limit_s: float = 120) -> dict[int, int]:
    """Return the traces that the specification refuses: the trace's place, and that of its first refused step.

    Raises as `checker.check`.
    """
    recorded = "---- MODULE Recorded ----\nTraces == " + _tla(traces) + "\n====\n"
    # `final` has a place for each generation; nothing else costs more for being larger.
    sizes = Sizes(
        unit=1000, life=_UNBOUNDED, generation=1 + sum(map(len, traces)), sequence=_UNBOUNDED, on_the_way=_UNBOUNDED,
        speeches=_UNBOUNDED, cuts=_UNBOUNDED,
    )  # fmt: skip
    modules = {
        "Wearmeter": specification(), "Replay": (HERE / "Replay.tla").read_text(), "Recorded": recorded,
    }  # fmt: skip
    found = check(modules, "Replay", sizes.configuration("ReplaySpec", ()), limit_s)
    reached = {at: 0 for at in range(len(traces))}
    for trace, step in re.findall(r'<<"reached", (\d+), (\d+)>>', found.output):
        reached[int(trace) - 1] = max(reached[int(trace) - 1], int(step))
    return {at: steps for at, steps in reached.items() if steps < len(traces[at])}


def _tla(value: Any) -> str:
    """Return a value of JSON as one of TLA+."""
    if isinstance(value, dict):
        return "[" + ", ".join(f"{name} |-> {_tla(field)}" for name, field in value.items()) + "]"
    if isinstance(value, list):
        return "<<" + ", ".join(_tla(item) for item in value) + ">>"
    return json.dumps(value)
