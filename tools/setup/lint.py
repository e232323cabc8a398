"""ruff over everything, mypy over the host's code, and mypy over the device's code against MicroPython's own stubs.

python -m tools.setup.lint        # silent, and exit status 0, when all is well
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TYPINGS = ROOT / "build" / "typings"


def make_typings(target: Path = TYPINGS) -> None:
    """Gathers the stubs of the device's modules in one folder, which stands in for the standard library's."""
    packages = Path(sysconfig.get_path("purelib"))
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in [*packages.glob("*.pyi"), packages / "stdlib", packages / "stubs", packages / "_mpy_shed"]:
        (target / path.name).symlink_to(path)
    shutil.copytree(packages / "umqtt", target / "umqtt")
    with open(target / "umqtt" / "simple.pyi", "a") as stub:
        stub.write(
            "\nfrom typing import Any\n\nsocket: Any  # the module looks it up in its globals, and we put ours there\n"
        )


def mypy_device(board: Path) -> list[str]:
    """The command that checks the firmware as it stands on one board."""
    return [
        *(sys.executable, "-m", "mypy", "--config-file", os.devnull, "--no-error-summary"),
        *("--cache-dir", str(ROOT / ".mypy_cache" / board.parent.name), "--custom-typeshed-dir", str(TYPINGS)),
        *("--python-version", "3.10", "--explicit-package-bases", "--namespace-packages"),
        *("--follow-imports", "silent", "--check-untyped-defs", "--no-strict-optional"),
        *("firmware", str(board.relative_to(ROOT))),
    ]


def main() -> int:
    make_typings()
    commands: list[tuple[list[str], dict[str, str]]] = [
        ([sys.executable, "-m", "ruff", "check", "--quiet", "--output-format", "concise"], {}),
        ([sys.executable, "-m", "mypy", "--no-error-summary"], {}),
    ]
    for board in sorted((ROOT / "boards").glob("*/board.py")):
        paths = [TYPINGS, ROOT / "firmware", board.parent, ROOT / "boards"]
        commands.append((mypy_device(board), {"MYPYPATH": os.pathsep.join(str(path) for path in paths)}))
    failed = False
    for command, more in commands:
        result = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **more}, capture_output=True, text=True, check=False
        )
        # The stubs' own faults are not ours.
        stubs = str(TYPINGS.relative_to(ROOT))
        output = [line for line in result.stdout.splitlines() if line.strip() and not line.startswith(stubs)]
        output += [line for line in result.stderr.splitlines() if "No [mypy] section" not in line]
        if result.returncode and output:
            failed = True
            print("\n".join(output), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
