"""Writes the constants of the bundles as their values, wherever they are used.

MicroPython's compiler does so within one file, for const(...) under a private name; a bundle that imports a number from
another one keeps its name in both, 20 bytes of heap and a look-up at each use. So it is done here for all bundles.
"""

from __future__ import annotations

import ast


def fold(trees: dict[str, ast.Module], kept: set[str]) -> None:
    """Replace numbers and texts by their values in all trees. `kept`: names that somebody else
    looks up in a bundle."""
    values: dict[str, ast.Constant] = {}
    for tree in trees.values():
        changing = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
        for statement in list(tree.body):
            found = _constant(statement)
            if found and found[0] not in kept | changing:
                values[found[0]] = found[1]
                tree.body.remove(statement)
    for tree in trees.values():
        _Folded(values, set(trees)).visit(tree)
        if not any(isinstance(node, ast.Name) and node.id == "const" for node in ast.walk(tree)):
            tree.body = [node for node in tree.body if ast.unparse(node) != "from micropython import const"]


def _constant(statement: ast.stmt) -> tuple[str, ast.Constant] | None:
    """The name and the value of a constant at the top of a bundle."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    target, value = statement.targets[0], statement.value
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "const":
        value = value.args[0]
        if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub):
            value = ast.Constant(-ast.literal_eval(value.operand))
    if not isinstance(target, ast.Name) or not isinstance(value, ast.Constant) or type(value.value) not in (int, str):
        return None
    return target.id, value


class _Folded(ast.NodeTransformer):
    def __init__(self, values: dict[str, ast.Constant], bundles: set[str]) -> None:
        self.values = values
        self.bundles = bundles

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self.values.get(node.id)
        return node if value is None else ast.copy_location(ast.Constant(value.value), node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        if node.module in self.bundles:
            node.names = [alias for alias in node.names if alias.name not in self.values]
        return node if node.names else None
