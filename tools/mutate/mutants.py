"""Finds what can be changed in a source file, and changes it.

A mutant is one node of the syntax tree made wrong: a comparison or its boundary, an operator, a constant, a condition,
a statement left out, a value not returned. What a line of the log says is for people, so log calls are left alone.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], list[tuple[str, type[ast.cmpop]]]] = {
    ast.Lt: [("boundary", ast.LtE), ("comparison", ast.GtE)],
    ast.LtE: [("boundary", ast.Lt), ("comparison", ast.Gt)],
    ast.Gt: [("boundary", ast.GtE), ("comparison", ast.LtE)],
    ast.GtE: [("boundary", ast.Gt), ("comparison", ast.Lt)],
    ast.Eq: [("comparison", ast.NotEq)],
    ast.NotEq: [("comparison", ast.Eq)],
    ast.Is: [("comparison", ast.IsNot)],
    ast.IsNot: [("comparison", ast.Is)],
    ast.In: [("comparison", ast.NotIn)],
    ast.NotIn: [("comparison", ast.In)],
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
LOGS = {"_log", "log", "print"}


@dataclass
class Mutant:
    """One change. `lines` are those of the statement it is in; `inside` whether that is in a function: what is not runs
    at import. `steps` lead from the tree's root to the node that is replaced."""

    path: str
    function: str
    line: int
    kind: str
    old: str
    new: str
    lines: range
    inside: bool
    steps: list[tuple[str, int | None]] = field(repr=False)
    node: ast.AST = field(repr=False)
    ordinal: int = 0  # among those of the same words

    @property
    def key(self) -> str:
        """What names the mutant as long as its function has it, wherever the lines go."""
        again = f" #{self.ordinal + 1}" if self.ordinal else ""
        return f"{self.path} {self.function}: {self.old} -> {self.new}{again}"

    def tree(self, source: str) -> ast.Module:
        """Return the tree of `source` with the change made."""
        tree = ast.parse(source)
        parent: ast.AST = tree
        for name, at in self.steps[:-1]:
            value = getattr(parent, name)
            parent = value if at is None else value[at]
        name, at = self.steps[-1]
        node = copy.deepcopy(self.node)
        if at is None:
            setattr(parent, name, node)
        else:
            getattr(parent, name)[at] = node
        return ast.fix_missing_locations(tree)


def find(root: Path, path: str) -> list[Mutant]:
    """Return all mutants of the file `path` below `root`."""
    tree = ast.parse((root / path).read_text())
    found = list(_walk(tree, path, "", [], range(0), False))
    seen: dict[str, int] = {}
    for mutant in found:
        key = mutant.key
        mutant.ordinal = seen.get(key, 0)
        seen[key] = mutant.ordinal + 1
    return found


def draw(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """Return `count` of them. A change elsewhere in the source leaves the draw of the others as it is."""
    ranked = sorted(mutants, key=lambda mutant: hashlib.sha256(f"{seed} {mutant.key}".encode()).digest())
    return sorted(ranked[:count], key=lambda mutant: (mutant.path, mutant.line, mutant.key))


def _walk(
    node: ast.AST, path: str, function: str, steps: list[tuple[str, int | None]], lines: range, inside: bool
) -> Iterator[Mutant]:
    for name, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        for at, child in enumerate(children):
            if not isinstance(child, ast.AST) or _passed_over(node, name, child):
                continue
            here = [*steps, (name, at if isinstance(value, list) else None)]
            where, span, within = function, lines, inside
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                where = f"{function}.{child.name}".lstrip(".")
                within = isinstance(child, ast.FunctionDef)
            elif isinstance(child, ast.arguments):
                within = False  # Defaults are made at import.
            if isinstance(child, ast.stmt):
                span = _span(child)
            for kind, new in _changes(child):
                yield Mutant(path, where, child.lineno, kind, _text(child), _text(new), span, inside, here, new)  # type: ignore[attr-defined]
            yield from _walk(child, path, where, here, span, within)


def _passed_over(parent: ast.AST, name: str, child: ast.AST) -> bool:
    """Docstrings, annotations, defaults of logs, imports, and what is logged."""
    if isinstance(child, (ast.Import, ast.ImportFrom, ast.JoinedStr)):
        return True
    if name in ("annotation", "returns", "decorator_list"):
        return True
    return _is_log(child)


def _is_log(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        node = node.value
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) in LOGS


def _span(statement: ast.stmt) -> range:
    """The lines of a statement; of a compound one those of its head."""
    body = getattr(statement, "body", None)
    end = body[0].lineno - 1 if body else statement.end_lineno or statement.lineno
    return range(statement.lineno, max(end, statement.lineno) + 1)


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            for kind, other in COMPARISONS[type(operator)]:
                yield kind, _with(node, ops=[*node.ops[:at], other(), *node.ops[at + 1 :]])
    elif isinstance(node, ast.BinOp) and not _is_text(node.left):
        if type(node.op) in ARITHMETIC:
            yield "arithmetic", _with(node, op=ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.AugAssign):
        if type(node.op) in ARITHMETIC:
            yield "arithmetic", _with(node, op=ARITHMETIC[type(node.op)]())
        yield "removed", ast.Pass()
    elif isinstance(node, ast.BoolOp):
        yield "boolean", _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "boolean", node.operand
    elif isinstance(node, ast.Constant):
        yield from _other_constants(node)
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)) and not isinstance(node.test, (ast.Compare, ast.Constant)):
        if not (isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)):
            yield "condition", _with(node, test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield "removed", ast.Pass()
    elif isinstance(node, ast.Assign) and not any(isinstance(target, ast.Name) for target in node.targets):
        yield "removed", ast.Pass()
    elif isinstance(node, (ast.Raise, ast.Break, ast.Continue, ast.Delete)):
        yield "removed", ast.Pass()
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield "return", ast.Return(ast.Constant(None))


def _other_constants(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    """A number is made larger by a quarter, at least by one, and made 0: nobody sees a millisecond more of a minute."""
    value = node.value
    if isinstance(value, bool):
        yield "constant", ast.Constant(not value)
    elif isinstance(value, int):
        yield "constant", ast.Constant(value + max(1, value // 4))
        if value > 1:
            yield "constant", ast.Constant(0)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _is_text(node: ast.AST) -> bool:
    """Whether `%` after it makes a text."""
    return isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))


def _text(node: ast.AST) -> str:
    """The head of the node's text, in one line."""
    if isinstance(node, (ast.If, ast.While)):
        return f"{'if' if isinstance(node, ast.If) else 'while'} {ast.unparse(node.test)}:"
    return " ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split())
