"""Writes a bundle's tree as text for the compiler: a statement a line, without docstrings and annotations.

A line's number costs a byte of heap where the line before is near, and two where it is not. The names that a bundle
uses most come first: the compiler numbers names in the order in which it meets them, and the first 128 take one byte
wherever they are used, the others two.
"""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass, field

_SHORT = 120  # of the 128 numbers of one byte; the compiler uses some of its own


@dataclass
class Text:
    """`where`: for each line (from 1) that of the bundle's text that the tree was made of."""

    lines: list[str] = field(default_factory=list)
    where: dict[int, int] = field(default_factory=dict)


def write(tree: ast.Module) -> Text:
    """Return a tree's text. Raises TypeError for a statement that the firmware has not used before."""
    text = Text()
    body = _stripped(tree.body)
    at = 0
    while at < len(body) and isinstance(body[at], ast.Import | ast.ImportFrom):
        at += 1
    _write(body[:at], 0, text)
    text.lines += _most_used(tree)
    _write(body[at:], 0, text)
    return text


def _most_used(tree: ast.Module) -> list[str]:
    """A statement that names what is used most, and does nothing: no module's name is 0."""
    counted: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            counted[node.attr] += 1
        elif isinstance(node, ast.arg):
            counted[node.arg] += 1
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            counted[node.name] += 1
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]:
        local = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
        local |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
        counted.update(node.id for node in names if node.id not in local)
    names_used = [name for name, count in counted.most_common(_SHORT) if count > 1]
    return ["if __name__ == 0:", " __name__." + ".".join(names_used)] if names_used else []


def _stripped(body: list[ast.stmt]) -> list[ast.stmt]:
    kept: list[ast.stmt] = []
    for statement in body:
        text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not text and not (isinstance(statement, ast.AnnAssign) and statement.value is None):
            kept.append(statement)
    return kept


def _write(body: list[ast.stmt], depth: int, text: Text) -> None:
    def line(statement: ast.stmt | ast.ExceptHandler, content: str) -> None:
        text.lines.append(" " * depth + content)
        text.where[len(text.lines)] = statement.lineno

    def inside(inner: list[ast.stmt]) -> None:
        _write(inner, depth + 1, text)

    def otherwise(inner: list[ast.stmt]) -> None:
        if inner:
            line(inner[0], "else:")
            inside(inner)

    for statement in _stripped(body) or [ast.copy_location(ast.Pass(), body[0])] if body else []:
        if isinstance(statement, ast.FunctionDef):
            for decorator in statement.decorator_list:
                line(statement, f"@{ast.unparse(decorator)}")
            line(statement, f"def {statement.name}({_arguments(statement.args)}):")
            inside(statement.body)
        elif isinstance(statement, ast.ClassDef):
            bases = ", ".join(ast.unparse(base) for base in statement.bases)
            line(statement, f"class {statement.name}({bases}):" if bases else f"class {statement.name}:")
            inside(statement.body)
        elif isinstance(statement, ast.If):
            line(statement, f"if {ast.unparse(statement.test)}:")
            inside(statement.body)
            while len(statement.orelse) == 1 and isinstance(statement.orelse[0], ast.If):
                statement = statement.orelse[0]
                line(statement, f"elif {ast.unparse(statement.test)}:")
                inside(statement.body)
            otherwise(statement.orelse)
        elif isinstance(statement, ast.For):
            line(statement, f"for {ast.unparse(statement.target)} in {ast.unparse(statement.iter)}:")
            inside(statement.body)
            otherwise(statement.orelse)
        elif isinstance(statement, ast.While):
            line(statement, f"while {ast.unparse(statement.test)}:")
            inside(statement.body)
            otherwise(statement.orelse)
        elif isinstance(statement, ast.With):
            line(statement, f"with {', '.join(ast.unparse(item) for item in statement.items)}:")
            inside(statement.body)
        elif isinstance(statement, ast.Try):
            line(statement, "try:")
            inside(statement.body)
            for handler in statement.handlers:
                what = f" {ast.unparse(handler.type)}" if handler.type else ""
                line(handler, f"except{what}{f' as {handler.name}' if handler.name else ''}:")
                inside(handler.body)
            otherwise(statement.orelse)
            if statement.finalbody:
                line(statement.finalbody[0], "finally:")
                inside(statement.finalbody)
        else:
            line(statement, _simple(statement))


def _simple(statement: ast.stmt) -> str:
    if isinstance(statement, ast.AnnAssign) and statement.value:
        return f"{ast.unparse(statement.target)} = {ast.unparse(statement.value)}"
    content = ast.unparse(statement)
    if "\n" in content:
        raise TypeError(f"compact.py cannot write {type(statement).__name__}")
    return content


def _arguments(arguments: ast.arguments) -> str:
    for argument in [*arguments.args, *arguments.kwonlyargs]:
        argument.annotation = None
    return ast.unparse(arguments)
