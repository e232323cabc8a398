"""Runs device tests against one mutant, each mutant in a process of its own.

The tests are plain functions, as MicroPython runs them, so there is no need of pytest here: starting it takes longer
than most of them. The mutated module never touches the disk: the child imports it from the changed syntax tree.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
TESTS = ROOT / "host_tests" / "device"
ON_PATH = (FIRMWARE, ROOT / "tools" / "on_host", TESTS)
BASELINE_S = 1800
WALL_S = 600
MEMORY_BYTES = 2 << 30
PASSED, FAILED = 0, 1


@dataclass
class Baseline:
    """Of each test: the seconds of CPU it takes, and the (path, line) of the firmware that it runs."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, set[tuple[str, int]]] = field(default_factory=dict)

    def covering(self, path: str, lines: range | None) -> list[str]:
        """The tests that run one of these lines of a file (None: all tests), the quickest first."""
        found = [
            test
            for test, seen in self.lines.items()
            if lines is None or any(where == path and line in lines for where, line in seen)
        ]
        return sorted(found, key=lambda test: self.seconds[test])


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a syntax tree."""

    def __init__(self, path: str, tree: ast.Module) -> None:
        self._name = path.removesuffix(".py").replace("/", ".")
        self._file = str(FIRMWARE / path)
        self._code = compile(tree, self._file, "exec")

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self, origin=self._file) if fullname == self._name else None

    def exec_module(self, module: types.ModuleType) -> None:
        module.__file__ = self._file
        exec(self._code, module.__dict__)


class Watch:
    """Notes the lines of the firmware that run."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int]] = set()
        self._names: dict[str, str] = {}

    def enter(self, frame: types.FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        """For sys.settrace."""
        file = frame.f_code.co_filename
        name = self._names.get(file)
        if name is None:
            inside = file.startswith(str(FIRMWARE) + os.sep)
            name = self._names[file] = str(Path(file).relative_to(FIRMWARE)) if inside else ""
        return self._line if name else None

    def _line(self, frame: types.FrameType, event: str, argument: Any) -> Callable[..., Any]:
        self.seen.add((self._names[frame.f_code.co_filename], frame.f_lineno))
        return self._line


def every_test() -> list[str]:
    """All tests, as "file.function". Imports them, and with them the firmware."""
    found = []
    for path in sorted(TESTS.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        found += [f"{path.stem}.{name}" for name in vars(module) if name.startswith("test_")]
    return found


def run_test(test: str, folder: Path) -> None:
    """Run one test in a folder of its own, as host_tests/device/conftest.py has it. Raises what it raises."""
    file, name = test.split(".")
    own = folder / test
    own.mkdir(parents=True)
    os.chdir(own)
    getattr(importlib.import_module(file), name)()


def start(cpu_s: int, work: Callable[[], None]) -> int:
    """Begin `work` in a child; returns its process id. It ends with PASSED or FAILED, or a signal after `cpu_s`."""
    pid = os.fork()
    if pid:
        return pid
    status = FAILED
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        signal.alarm(max(WALL_S, cpu_s))
        sys.path[:0] = [str(path) for path in ON_PATH]
        work()
        status = PASSED
    finally:
        os._exit(status)


def trial(tests: Sequence[str], folder: Path, finder: Changed) -> None:
    """Run `tests` with a module changed, until one fails: that raises."""
    sys.meta_path.insert(0, finder)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    for test in tests:
        run_test(test, folder)


def measure(folder: Path, kept: Path) -> Baseline:
    """Run all tests without a change; `kept` has what came out, for as long as tests and firmware stay as they are.
    Raises ValueError where a test fails."""
    digest = _digest()

    def work() -> None:
        found = {}
        for test in every_test():
            watch = Watch()
            began_s = time.process_time()
            sys.settrace(watch.enter)
            run_test(test, folder / "baseline")
            sys.settrace(None)
            found[test] = [time.process_time() - began_s, sorted(watch.seen)]
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps({"digest": digest, "tests": found}))

    if not kept.exists() or json.loads(kept.read_text())["digest"] != digest:
        if os.waitpid(start(BASELINE_S, work), 0)[1]:
            raise ValueError("the tests fail without any change")
    baseline = Baseline()
    for test, (seconds, lines) in json.loads(kept.read_text())["tests"].items():
        baseline.seconds[test] = seconds
        baseline.lines[test] = {(path, line) for path, line in lines}
    return baseline


def _digest() -> str:
    files = sorted([*(FIRMWARE / "wearmeter").rglob("*.py"), *TESTS.glob("*.py")])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def ends(running: dict[int, Any]) -> Iterator[tuple[Any, int]]:
    """Wait for one of the children `running` (by process id) to end; yields what it stands for, and its status."""
    pid, status = os.wait()
    if pid in running:
        yield running.pop(pid), os.waitstatus_to_exitcode(status)
