"""`make mutate`: how many small changes of the core the device tests notice.

    python -m tools.mutate [--count 300] [--seed 9] [--jobs 2] [--only state/] [--again]

Writes build/mutate.json. Exit status 1 where fewer than 92 of 100 mutants are killed, or a named one lives.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from tools.mutate import mutants, trial
from tools.mutate.mutants import Mutant
from tools.mutate.trial import FIRMWARE, PASSED, ROOT, Baseline, Changed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOMS = ("state", "flash", "inputs", "panel", "exchange", "device")
# Fakes are for tests; run.py runs on the board only, where host_tests/test_board_safe_mode.py tests it.
LEFT_OUT = ("testing.py", "__init__.py", "run.py")
REASONS = Path(__file__).with_name("survivors.toml")
NAMED = Path(__file__).with_name("named.toml")
RESULT = ROOT / "build" / "mutate.json"
BASELINE = ROOT / "build" / "mutate-baseline.json"
ENOUGH = 0.92
NO_TEST = 2


def sources() -> list[str]:
    """The files of the core, below firmware/."""
    files = [path for room in ROOMS for path in sorted((FIRMWARE / "wearmeter" / room).glob("*.py"))]
    return [str(path.relative_to(FIRMWARE)) for path in files if path.name not in LEFT_OUT]


def named() -> list[tuple[str, str, ast.Module]]:
    """The mutants of named.toml: (name, path, changed tree). Raises ValueError where one has lost its place."""
    found = []
    for entry in tomllib.loads(NAMED.read_text())["mutant"]:
        source = (FIRMWARE / entry["path"]).read_text()
        if source.count(entry["old"]) != 1:
            raise ValueError(f"{NAMED.name}: {entry['name']!r} has lost its place in {entry['path']}")
        found.append((entry["name"], entry["path"], ast.parse(source.replace(entry["old"], entry["new"]))))
    return found


def tests_for(baseline: Baseline, path: str, lines: range | None) -> tuple[list[str], int]:
    """The tests that can notice a change there, and the seconds of CPU that they may take."""
    tests = baseline.covering(path, lines)
    return tests, 10 + int(3 * sum(baseline.seconds[test] for test in tests))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.mutate", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="how many mutants to draw")
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="those of paths that contain this")
    parser.add_argument("--again", action="store_true", help="those that lived in the last run")
    options = parser.parse_args(arguments)

    every = [mutant for path in sources() for mutant in mutants.find(FIRMWARE, path)]
    drawn = [mutant for mutant in mutants.draw(every, options.count, options.seed) if options.only in mutant.path]
    if options.again:
        lived = {found["key"] for found in json.loads(RESULT.read_text())["lived"]}
        drawn = [mutant for mutant in every if mutant.key in lived]
    with tempfile.TemporaryDirectory() as folder:
        baseline = trial.measure(Path(folder), BASELINE)
        found = run(drawn, baseline, Path(folder), options.jobs)
    return report(found, len(every), options)


def run(drawn: list[Mutant], baseline: Baseline, folder: Path, jobs: int) -> dict[str, list[Any]]:
    """Try each mutant; returns {"killed", "lived", "named_lived"}."""
    waiting: list[tuple[Any, Changed, list[str], int]] = []
    for name, path, tree in named():
        waiting.append((name, Changed(path, tree), *tests_for(baseline, path, None)))
    for mutant in drawn:
        lines = mutant.lines if mutant.inside else None
        tree = mutant.tree((FIRMWARE / mutant.path).read_text())
        waiting.append((mutant, Changed(mutant.path, tree), *tests_for(baseline, mutant.path, lines)))
    found: dict[str, list[Any]] = {"killed": [], "lived": [], "named_lived": []}
    running: dict[int, Any] = {}
    for at, (what, finder, tests, cpu_s) in enumerate(waiting):
        if tests:
            running[trial.start(cpu_s, partial(trial.trial, tests, folder / str(at), finder))] = what
        else:
            note(found, what, NO_TEST)
        while len(running) >= jobs:
            for ended, status in trial.ends(running):
                note(found, ended, status)
    while running:
        for ended, status in trial.ends(running):
            note(found, ended, status)
    return found


def note(found: dict[str, list[Any]], what: Mutant | str, status: int) -> None:
    """Sort a mutant by how its tests ended."""
    lives = status in (PASSED, NO_TEST)
    if isinstance(what, str):
        found["named_lived"] += [what] * lives
    else:
        found["lived" if lives else "killed"].append(what)
    if lives:
        print(
            f"lives: {what if isinstance(what, str) else describe(what)}{' (no test runs it)' * (status == NO_TEST)}",
            flush=True,
        )


def describe(mutant: Mutant) -> str:
    return f"firmware/{mutant.path}:{mutant.line} {mutant.function} [{mutant.kind}] {mutant.old} -> {mutant.new}"


def report(found: dict[str, list[Any]], every: int, options: argparse.Namespace) -> int:
    """Print and keep the result; returns the exit status."""
    reasons = {entry["mutant"]: entry["reason"] for entry in tomllib.loads(REASONS.read_text()).get("survivor", [])}
    lived = sorted(found["lived"], key=lambda mutant: (mutant.path, mutant.line))
    tried = len(lived) + len(found["killed"])
    accepted = [mutant for mutant in lived if mutant.key in reasons]
    result = {
        "seed": options.seed,
        "possible": every,
        "tried": tried,
        "killed": len(found["killed"]),
        "accepted": len(accepted),
        "named_lived": found["named_lived"],
        "lived": [
            {"key": mutant.key, "where": f"firmware/{mutant.path}:{mutant.line}", "kind": mutant.kind,
             "reason": reasons.get(mutant.key)}
            for mutant in lived
        ],
    }  # fmt: skip
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    for mutant in found["killed"]:
        if mutant.key in reasons:
            print(f"{REASONS.name}: is killed now: {mutant.key}")
    killed = len(found["killed"]) / max(1, tried)
    print(
        f"{len(found['killed'])} of {tried} mutants killed ({100 * killed:.1f} %), drawn of {every} by seed "
        f"{options.seed}; "
        f"{len(lived)} live, {len(accepted)} of them with a reason in {REASONS.name}"
    )
    return 1 if killed < ENOUGH or found["named_lived"] else 0


if __name__ == "__main__":
    sys.exit(main())
