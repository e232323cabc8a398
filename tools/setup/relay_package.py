"""Builds the relay's wheel into build/dist: an installable package with the command `wearmeter-relay`.

It is built from a copy, so that nothing of the build stays between the sources.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "dist"
SOURCES = ("pyproject.toml", "LICENSE", "tools/relay")


class PackageError(Exception):
    """The package does not build; the message is one line."""


def build(out: Path = OUT) -> Path:
    """Return the wheel. Raises PackageError. Nothing is downloaded: setuptools is in .venv."""
    with tempfile.TemporaryDirectory() as folder:
        for name in SOURCES:
            source, target = ROOT / name, Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", f"{folder}/dist", folder)
        (wheel,) = Path(folder, "dist").glob("*.whl")
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(wheel, out))


def pip(*arguments: str) -> None:
    """Run this Python's pip. Raises PackageError with the last line of what it says."""
    made = subprocess.run(
        [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        raise PackageError((made.stdout.strip().splitlines() or ["pip gave no reason"])[-1])


def main() -> int:
    try:
        print(build().relative_to(ROOT))
    except PackageError as error:
        print(f"wearmeter: the relay's package: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
