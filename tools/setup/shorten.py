"""Gives the firmware's own names short ones in the bundles: a name costs 11 bytes of heap and its letters.

A MicroPython that loads an .mpy keeps each name that its ROM does not have. Some 600 names of ours would take 14 KB of
the 40 that the firmware may use. So the build calls them by names that are in every ESP32's ROM and that we do not use
(`acosh`), and by one or two letters when those are used up. The private names of a class and the arguments of a
function are nobody else's: all classes and functions use the same few names for them. A name stays as it is where
MicroPython, umqtt.simple, a board, main.py or a command at the prompt (tools/deploy) knows it.
"""

from __future__ import annotations

import ast
import itertools
import keyword
import re
import string
import sysconfig
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tools.setup.inline import related

# Names of MicroPython's own modules and types that every ESP32 has in ROM (and the unix port, too).
_ROM = Path(__file__).with_name("rom_names.txt")
# Attributes of tls.SSLContext that no stub has: with one of them renamed, certificates would be judged by nobody.
_OF_SSL_CONTEXT = {"verify_mode", "verify_callback", "psk_identity", "psk_key"}
# The compiler takes const(...) for more than a call.
_OF_COMPILER = {"const"}
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


def _identifiers(tree: ast.AST) -> Iterator[str]:
    """All names in a tree, each as often as it occurs."""
    for node in ast.walk(tree):
        for field in ("id", "attr", "name", "arg", "asname", "module"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield from value.split(".")
        if isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names


def _public(trees: list[ast.Module]) -> set[str]:
    """The names that the bundles define, of functions, classes, attributes and what stands at the top."""
    defined: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                # Only an object's own: what is set on another's may be MicroPython's, known to no stub.
                if isinstance(node.value, ast.Name) and node.value.id == "self":
                    defined.add(node.attr)
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        for statement in [*tree.body, *(inner for found in classes for inner in found.body)]:
            if isinstance(statement, ast.Assign):
                defined |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return defined


class _Exchange(ast.NodeVisitor):
    """Exchanges names in place: all of them, those of attributes alone, or those of variables alone."""

    def __init__(self, names: dict[str, str], attributes: bool = True, variables: bool = True) -> None:
        self.names = names
        self.attributes = attributes
        self.variables = variables

    def generic_visit(self, node: ast.AST) -> None:
        fields = []
        if self.attributes and isinstance(node, ast.Attribute):
            fields = ["attr"]
        elif self.variables and not isinstance(node, ast.Attribute):
            fields = ["id", "name", "arg", "asname"]
        for field in fields:
            value = getattr(node, field, None)
            if isinstance(value, str):
                setattr(node, field, self.names.get(value, value))
        if self.variables and isinstance(node, ast.Global | ast.Nonlocal):
            node.names = [self.names.get(name, name) for name in node.names]
        super().generic_visit(node)


def _self_of(method: ast.stmt) -> str:
    """What a method calls its object, "" for anything else."""
    if isinstance(method, ast.FunctionDef) and method.args.args and not method.decorator_list:
        return method.args.args[0].arg
    if isinstance(method, ast.FunctionDef) and method.args.args:
        return method.args.args[0].arg if ast.unparse(method.decorator_list[0]) != "staticmethod" else ""
    return ""


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name.upper() != name


def _private_names(trees: list[ast.Module]) -> dict[ast.ClassDef, list[str]]:
    """The private names of each class that nobody but its own methods uses, on `self`; the most used first."""
    found: dict[ast.ClassDef, Counter[str]] = {}
    every: Counter[str] = Counter()
    for tree in trees:
        every.update(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_private(node.attr))
        for node in [node for node in tree.body if isinstance(node, ast.ClassDef)]:
            found[node] = Counter()
            for method in node.body:
                own = _self_of(method)
                for inner in ast.walk(method):
                    if isinstance(inner, ast.Attribute) and _is_private(inner.attr):
                        if isinstance(inner.value, ast.Name) and inner.value.id == own:
                            found[node][inner.attr] += 1
    accounted = sum(found.values(), Counter())
    shared = {name for name in every if every[name] != accounted[name]}
    family = related(trees)
    alone = {node: names for node, names in found.items() if node not in family}
    for node in family:
        shared |= set(found[node]) | {method.name for method in node.body if isinstance(method, ast.FunctionDef)}
    return {
        node: [name for name, _ in sorted(names.items(), key=lambda item: (-item[1], item[0])) if name not in shared]
        for node, names in alone.items()
    }


def _shorten_private(trees: list[ast.Module], names: list[str]) -> None:
    """Give the private names of each class the same few names."""
    for node, private in _private_names(trees).items():
        exchanged = dict(zip(private, names, strict=False))
        for method in node.body:
            _Exchange(exchanged, variables=False).visit(method)
            if isinstance(method, ast.FunctionDef):
                method.name = exchanged.get(method.name, method.name)
            elif isinstance(method, ast.Assign):
                for target in method.targets:
                    if isinstance(target, ast.Name):
                        target.id = exchanged.get(target.id, target.id)


def _shorten_arguments(trees: list[ast.Module], names: list[str], keywords: set[str]) -> None:
    """Give the arguments of all functions the same few names, but where a call may name them."""
    for tree in trees:
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]
        for function in functions:
            inner = [node for node in ast.walk(function) if isinstance(node, ast.arg)]
            own = [argument.arg for argument in function.args.args]
            # Where an inner function has an argument of the same name, that is another variable: both stay.
            again = {name for name, count in Counter(node.arg for node in inner).items() if count > 1}
            used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} | {node.arg for node in inner}
            free = iter([name for name in names if name not in used])
            exchanged = {name: next(free) for name in own if name not in keywords and name not in again}
            for argument in function.args.args:
                argument.arg = exchanged.get(argument.arg, argument.arg)
            for statement in function.body if isinstance(function.body, list) else [function.body]:
                _Exchange(exchanged, attributes=False).visit(statement)


_SHARED = 64  # names that all classes and functions share


def shorten(trees: dict[str, ast.Module], known_elsewhere: list[Path]) -> None:
    """Exchange the names in the trees of all bundles. `known_elsewhere`: sources (or prose) whose every word keeps its
    name."""
    every = list(trees.values())
    kept = set(_of_micropython()) | _OF_SSL_CONTEXT | set(keyword.kwlist) | set(trees)
    keywords = {node.arg for tree in every for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    for path in known_elsewhere:
        text = path.read_text()
        kept |= set(re.findall(r"[A-Za-z_]\w*", text))
        keywords |= set(re.findall(r"\b([A-Za-z_]\w*)=", text))
    used = _OF_COMPILER | {name for tree in every for name in _identifiers(tree)}
    letters = ("".join(pair) for size in (1, 2) for pair in itertools.product(string.ascii_letters, repeat=size))
    rom = _ROM.read_text().split()
    free = (name for name in itertools.chain(rom, letters) if name not in used and not keyword.iskeyword(name))
    shared = [next(free) for _ in range(_SHARED)]
    _shorten_private(every, shared)
    public = _public(every)
    _shorten_arguments(every, shared, keywords)
    own = public | {node.arg for tree in every for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names = [name for name in own if name not in kept and name not in shared]
    names = [name for name in names if not name.startswith("__") and len(name) > 2]
    count = Counter(name for tree in every for name in _identifiers(tree))
    exchanged = {name: next(free) for name in sorted(names, key=lambda name: (-count[name], name))}
    for tree in every:
        _Exchange(exchanged).visit(tree)
