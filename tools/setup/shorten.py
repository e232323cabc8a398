"""Gives the firmware's own names short ones in the bundles: a name costs 11 bytes of heap and its letters.

A MicroPython that loads an .mpy keeps each name that its ROM does not have. Some 600 names of ours would take 14 KB of
the 40 that the firmware may use. So the build calls them by names that are in every ESP32's ROM and that we do not use
(`acosh`), and by one or two letters when those are used up. A name stays as it is where MicroPython, umqtt.simple, a
board, main.py or a command at the prompt (tools/deploy) knows it. `names.json` beside the bundles has the way back.
"""

from __future__ import annotations

import ast
import io
import itertools
import keyword
import re
import string
import sysconfig
import tokenize
from collections import Counter
from functools import cache
from pathlib import Path

# Names of MicroPython's own modules and types that every ESP32 has in ROM (and the unix port, too).
_ROM = Path(__file__).with_name("rom_names.txt")
# Attributes of tls.SSLContext that no stub has: with one of them renamed, certificates would be judged by nobody.
_OF_SSL_CONTEXT = {"verify_mode", "verify_callback", "psk_identity", "psk_key"}
# The modules that device code talks to.
_STUBS = "__builtins__ binascii errno esp32 gc machine micropython network select socket time tls vfs".split()
_STUBS_IN_FOLDERS = ["stdlib/io.pyi", "stdlib/builtins.pyi", "stdlib/struct.pyi", "stdlib/os/__init__.pyi"]
_STUBS_IN_FOLDERS += ["stdlib/sys/__init__.pyi", "stdlib/typing.pyi", "umqtt/simple.pyi", "umqtt/robust.pyi"]


def _defined(tree: ast.AST) -> set[str]:
    """All identifiers that a module defines or uses, of any kind."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.keyword) and node.arg:
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found |= set(node.name.split(".")) | {node.asname or ""}
    return found


@cache
def _of_micropython() -> frozenset[str]:
    """The names that MicroPython's modules and umqtt know."""
    packages = Path(sysconfig.get_path("purelib"))
    known: set[str] = set()
    for path in [*(packages / f"{name}.pyi" for name in _STUBS), *(packages / name for name in _STUBS_IN_FOLDERS)]:
        if path.exists():
            known |= _defined(ast.parse(path.read_text()))
    return frozenset(known)


def _own(texts: dict[str, str]) -> Counter[str]:
    """The names that the bundles define and a device would keep, with how often they occur. Locals are not kept."""
    defined: set[str] = set()
    every: Counter[str] = Counter()
    for text in texts.values():
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.arg):
                defined.add(node.arg)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                # Only an object's own: what is set on another's may be MicroPython's, known to no stub.
                if isinstance(node.value, ast.Name) and node.value.id == "self":
                    defined.add(node.attr)
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        for statement in [*tree.body, *(inner for found in classes for inner in found.body)]:
            if isinstance(statement, ast.Assign):
                defined |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME:
                every[token.string] += 1
    return Counter({name: every[name] for name in defined})


def mapping(texts: dict[str, str], known_elsewhere: list[Path]) -> dict[str, str]:
    """Old name -> new name. `known_elsewhere`: sources (or prose) whose every word keeps its name here."""
    rom = _ROM.read_text().split()
    kept = set(_of_micropython()) | _OF_SSL_CONTEXT | set(keyword.kwlist) | set(texts)
    for path in known_elsewhere:
        kept |= set(re.findall(r"[A-Za-z_]\w*", path.read_text()))
    used = {token for text in texts.values() for token in re.findall(r"[A-Za-z_]\w*", text)}
    letters = ("".join(pair) for size in (1, 2) for pair in itertools.product(string.ascii_letters, repeat=size))
    free = (name for name in itertools.chain(rom, letters) if name not in used and not keyword.iskeyword(name))
    own = _own(texts)
    names = [name for name in own if name not in kept and not name.startswith("__") and len(name) > 2]
    # Constants with an underscore are folded away by the compiler: they keep their names and their meaning.
    folded = {name for name in names if name.startswith("_") and name.upper() == name}
    return {name: next(free) for name in sorted(names, key=lambda name: (-own[name], name)) if name not in folded}


def apply(text: str, names: dict[str, str]) -> str:
    """The text with its names exchanged, line by line as it was."""
    lines = text.splitlines()
    edits = [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.NAME and token.string in names
    ]
    for token in reversed(edits):
        row, column = token.start
        line = lines[row - 1]
        lines[row - 1] = line[:column] + names[token.string] + line[column + len(token.string) :]
    return "\n".join(lines) + "\n"
