"""ruff over everything, mypy over the host's code, and mypy over the device's code against MicroPython's own stubs.

python -m tools.setup.lint        # silent, and exit status 0, when all is well
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from tools.setup import boards

ROOT = Path(__file__).resolve().parents[2]
TYPINGS = ROOT / "build" / "typings"
SOCKET_STUB = "\nfrom typing import Any\n\nsocket: Any  # looked up in its globals, where we put ours\n"


def make_typings(target: Path = TYPINGS) -> None:
    """Gathers the stubs of the device's modules in one folder, which stands in for the standard library's.

    Made once for a .venv and the stubs' version; two at once are safe.
    """
    packages = Path(sysconfig.get_path("purelib"))
    stamp = f"{packages} {metadata.version('micropython-esp32-stubs')} {SOCKET_STUB}"
    made = target / "made-from"
    target.parent.mkdir(exist_ok=True)
    with open(target.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists() and made.read_text() == stamp:
            return
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for path in [*packages.glob("*.pyi"), packages / "stdlib", packages / "stubs", packages / "_mpy_shed"]:
            (target / path.name).symlink_to(path)
        shutil.copytree(packages / "umqtt", target / "umqtt")
        with open(target / "umqtt" / "simple.pyi", "a") as stub:
            stub.write(SOCKET_STUB)
        made.write_text(stamp)


def make_boards() -> None:
    """Writes each board's module, as the build does."""
    for name in boards.names():
        target = ROOT / "build" / "boards" / name / "board.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        text = boards.source(name)
        if not target.exists() or target.read_text() != text:
            target.write_text(text)


def mypy_device(board: Path) -> list[str]:
    """The command that checks the firmware as it stands on one board."""
    return [
        *(sys.executable, "-m", "mypy", "--config-file", os.devnull, "--no-error-summary"),
        *("--cache-dir", str(ROOT / ".mypy_cache" / board.parent.name), "--custom-typeshed-dir", str(TYPINGS)),
        *("--python-version", "3.10", "--explicit-package-bases", "--namespace-packages"),
        *("--follow-imports", "silent", "--check-untyped-defs", "--no-strict-optional"),
        *("firmware", str(board.relative_to(ROOT))),
    ]


def checks() -> dict[str, tuple[list[str], dict[str, str]]]:
    """What is run: by name, a command and what its environment has beside this one's."""
    commands: dict[str, tuple[list[str], dict[str, str]]] = {
        "ruff-format": ([sys.executable, "-m", "ruff", "format", "--check", "--quiet"], {}),
        "ruff": ([sys.executable, "-m", "ruff", "check", "--quiet", "--output-format", "concise"], {}),
        "mypy-host": ([sys.executable, "-m", "mypy", "--no-error-summary"], {}),
    }
    for name in boards.names():
        board = ROOT / "build" / "boards" / name / "board.py"
        paths = [TYPINGS, ROOT / "firmware", board.parent]
        environment = {"MYPYPATH": os.pathsep.join(str(path) for path in paths)}
        commands[f"mypy-{name}"] = (mypy_device(board), environment)
    return commands


def run(command: list[str], more: dict[str, str]) -> list[str]:
    """Runs one check; returns its complaints, without those about the stubs' own faults, which are not ours."""
    result = subprocess.run(command, cwd=ROOT, env={**os.environ, **more}, capture_output=True, text=True, check=False)
    if not result.returncode:
        return []
    stubs = str(TYPINGS.relative_to(ROOT))
    output = [line for line in result.stdout.splitlines() if line.strip() and not line.startswith(stubs)]
    return output + [line for line in result.stderr.splitlines() if "No [mypy] section" not in line]


def main() -> int:
    make_typings()
    make_boards()
    complaints = [line for command, more in checks().values() for line in run(command, more)]
    if complaints:
        print("\n".join(complaints), file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
