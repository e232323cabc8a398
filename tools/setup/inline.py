"""Writes a function of ours that is called once in the place of its call: on the device each costs some 50 bytes more
than its code (an object, a name in a dictionary, a prelude, a rounded block), and sources are read by people.

Nothing is written in place that would not do exactly the same there:

1. `return f(x)` outside of any try or with: whatever the body of f is.
2. `f(x)` as a statement: a body without `return`; with `return` where nothing follows the statement in its function.
3. `y = f(x)`: a body whose only `return` is its last statement.
4. `f(x)` anywhere: a body of one `return`, and arguments that are names or numbers.

f is a function of the same bundle, or a private method called on `self`, of a class that is related to no other; with
no default, decorator, `yield`, import or inner function. Its local names get others where they are in the way; an
argument that is more than a name is assigned first.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_NEVER = (
    *(ast.Lambda, ast.FunctionDef, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp),
    *(ast.Yield, ast.YieldFrom, ast.Global, ast.Nonlocal, ast.NamedExpr),
    # What a function imports is let go with its frame: see device/run.py.
    *(ast.Import, ast.ImportFrom),
)


@dataclass
class _Function:
    node: ast.FunctionDef
    home: ast.ClassDef | None  # the class of a method, None for a function of the bundle
    siblings: list[ast.stmt]  # the body that it stands in

    @property
    def own(self) -> set[str]:
        """Its arguments and the names that it assigns."""
        return {argument.arg for argument in self.node.args.args} | _assigned(self.node)


def _assigned(node: ast.AST) -> set[str]:
    found = {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and not isinstance(name.ctx, ast.Load)}
    found |= {item.name for item in ast.walk(node) if isinstance(item, ast.ExceptHandler) and item.name}
    for item in ast.walk(node):
        if isinstance(item, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in item.names}
    return found


def _names(node: ast.AST) -> set[str]:
    found = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)} | _assigned(node)
    return found | {argument.arg for argument in ast.walk(node) if isinstance(argument, ast.arg)}


def _functions(tree: ast.Module) -> Iterator[_Function]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield _Function(node, None, tree.body)
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield _Function(inner, node, node.body)


def related(trees: list[ast.Module]) -> set[ast.ClassDef]:
    """The classes that have one of ours as their base, and those: their methods and attributes are not theirs alone."""
    classes = {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}
    found = set()
    for node in classes.values():
        bases = [classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
        found |= {*bases, node} if bases else set()
    return found


def _plain(node: ast.FunctionDef) -> bool:
    """Whether nothing in it forbids to write its body elsewhere."""
    arguments = node.args
    if node.decorator_list or arguments.defaults or arguments.vararg or arguments.kwarg or arguments.kwonlyargs:
        return False
    return not any(isinstance(inner, _NEVER) for statement in node.body for inner in ast.walk(statement))


class _Occurrences:
    """How often names occur in all bundles. Writing a function in place changes that of no other."""

    def __init__(self, trees: list[ast.Module]) -> None:
        self.variables: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.on_self: Counter[str] = Counter()  # of the attributes, those of `self` in a class's methods
        self.on_self_in: Counter[tuple[ast.ClassDef, str]] = Counter()
        for tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.Name):
                    self.variables[node.id] += 1
                elif isinstance(node, ast.Attribute):
                    self.attributes[node.attr] += 1
                elif isinstance(node, ast.alias):
                    self.variables.update({node.name, node.asname or node.name})
                elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                    self.variables[node.name] += 1
            for function in _functions(tree):
                if function.home and function.node.args.args:
                    own = function.node.args.args[0].arg
                    for node in ast.walk(function.node):
                        if (
                            isinstance(node, ast.Attribute)
                            and isinstance(node.value, ast.Name)
                            and node.value.id == own
                        ):
                            self.on_self[node.attr] += 1
                            self.on_self_in[function.home, node.attr] += 1

    def one_call(self, function: _Function) -> bool:
        """Whether its name occurs once beside its definition. Of a method's, what other classes call by that name on
        their own `self` is something else."""
        name = function.node.name
        if function.home is None:
            return self.variables[name] == 2 and not self.attributes[name]
        return self.on_self_in[function.home, name] == 1 and self.attributes[name] == self.on_self[name]


def _is_call(node: ast.AST | None, callee: _Function, caller: _Function) -> bool:
    if not isinstance(node, ast.Call) or node.keywords or any(isinstance(item, ast.Starred) for item in node.args):
        return False
    function = node.func
    name, given = callee.node.name, len(node.args)
    if callee.home is None:
        return isinstance(function, ast.Name) and function.id == name and given == len(callee.node.args.args)
    return (
        isinstance(function, ast.Attribute)
        and function.attr == name
        and isinstance(function.value, ast.Name)
        and caller.home is callee.home
        and bool(caller.node.args.args)
        and function.value.id == caller.node.args.args[0].arg
        and function.value.id not in _assigned(caller.node)
        and given == len(callee.node.args.args) - 1
    )


class _Renamed(ast.NodeTransformer):
    """Names exchanged for expressions."""

    def __init__(self, exchanged: dict[str, ast.expr]) -> None:
        self.exchanged = exchanged

    def visit_Name(self, node: ast.Name) -> ast.expr:
        new = self.exchanged.get(node.id)
        if new is None:
            return node
        if isinstance(new, ast.Name):
            return ast.copy_location(ast.Name(new.id, node.ctx), node)
        return ast.copy_location(copy.deepcopy(new), node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.ExceptHandler:
        new = self.exchanged.get(node.name or "")
        if isinstance(new, ast.Name):
            node.name = new.id
        self.generic_visit(node)
        return node


def _simple(node: ast.expr) -> bool:
    return isinstance(node, ast.Name | ast.Constant)


class _Place:
    """The body of a callee for one call of it in a caller."""

    def __init__(self, callee: _Function, caller: _Function, call: ast.Call) -> None:
        self.node = copy.deepcopy(callee.node)
        arguments = [argument.arg for argument in self.node.args.args]
        given = ([call.func.value] if isinstance(call.func, ast.Attribute) else []) + call.args
        assigned = _assigned(self.node)
        exchanged: dict[str, ast.expr] = {}
        self.before: list[ast.stmt] = []
        in_the_way = _names(caller.node)
        taken = in_the_way | _names(self.node)
        for name in sorted(callee.own):
            new = name
            while new in in_the_way or (new != name and new in taken):
                new += "_"
            taken.add(new)
            exchanged[name] = ast.Name(new, ast.Load())
        for name, value in zip(arguments, given, strict=True):
            if _simple(value) and name not in assigned:
                exchanged[name] = value
            else:
                target = exchanged[name]
                assert isinstance(target, ast.Name)
                self.before.append(
                    ast.copy_location(ast.Assign([ast.Name(target.id, ast.Store())], value, lineno=call.lineno), call)
                )
        # Several assignments, one after the other: a later value must not read what an earlier one has changed. The
        # targets are names that the caller does not know, so none does.
        renamed = _Renamed(exchanged)
        self.body: list[ast.stmt] = [renamed.visit(statement) for statement in _without_docstring(self.node.body)]

    @property
    def returns(self) -> list[ast.Return]:
        return [node for statement in self.body for node in ast.walk(statement) if isinstance(node, ast.Return)]


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


def _ends(body: list[ast.stmt]) -> bool:
    """Whether a body never comes past its end."""
    last = body[-1] if body else None
    if isinstance(last, ast.Return | ast.Raise):
        return True
    if isinstance(last, ast.If):
        return _ends(last.body) and _ends(last.orelse)
    return False


class _Caller:
    """Looks through one caller for the one call of a callee, and writes the callee there."""

    def __init__(self, callee: _Function, caller: _Function) -> None:
        self.callee = callee
        self.caller = caller
        self.done = False

    def write(self) -> bool:
        node = self.caller.node
        # A name that is the caller's own must mean the same in the callee.
        free = _names(self.callee.node) - self.callee.own
        if free & self.caller.own:
            return False
        self._body(node.body, tail=True, guarded=False)
        if not self.done:
            self._expression(node)
        return self.done

    def _body(self, body: list[ast.stmt], tail: bool, guarded: bool) -> None:
        for at, statement in enumerate(body):
            last = tail and at == len(body) - 1
            new = self._statement(statement, last, guarded)
            if new is not None:
                body[at : at + 1] = new
                self.done = True
            else:
                self._inside(statement, last, guarded)
            if self.done:
                return

    def _inside(self, statement: ast.stmt, last: bool, guarded: bool) -> None:
        if isinstance(statement, ast.If):
            self._body(statement.body, last, guarded)
            self._body(statement.orelse, last, guarded)
        elif isinstance(statement, ast.For | ast.While):
            self._body(statement.body, False, guarded)
            self._body(statement.orelse, last, guarded)
        elif isinstance(statement, ast.With):
            self._body(statement.body, False, True)
        elif isinstance(statement, ast.Try):
            for body in (statement.body, statement.orelse, statement.finalbody):
                self._body(body, False, True)
            for handler in statement.handlers:
                self._body(handler.body, False, True)

    def _place(self, call: ast.expr) -> _Place:
        assert isinstance(call, ast.Call)
        return _Place(self.callee, self.caller, call)

    def _statement(self, statement: ast.stmt, last: bool, guarded: bool) -> list[ast.stmt] | None:
        """What stands in place of a statement; None where it is no call of the callee, or cannot be written there."""
        value = getattr(statement, "value", None)
        if not isinstance(value, ast.expr) or not _is_call(value, self.callee, self.caller):
            return None
        place = self._place(value)
        returns = place.returns
        if isinstance(statement, ast.Return):
            if guarded:
                return None
            if not _ends(place.body) and not last:
                place.body.append(ast.copy_location(ast.Return(None), statement))
            return place.before + place.body
        if isinstance(statement, ast.Expr):
            if not returns:
                return place.before + (place.body or [ast.copy_location(ast.Pass(), statement)])
            if not last or guarded:
                return None
            for found in returns:
                if found.value is not None and not _simple(found.value):
                    return None
                found.value = None
            return place.before + place.body
        if isinstance(statement, ast.Assign) and len(returns) == 1 and place.body[-1] is returns[0]:
            result = returns[0].value or ast.Constant(None)
            made = ast.copy_location(ast.Assign(statement.targets, result, lineno=statement.lineno), returns[0])
            return place.before + place.body[:-1] + [made]
        return None

    def _expression(self, node: ast.FunctionDef) -> None:
        for parent in ast.walk(node):
            for field, value in ast.iter_fields(parent):
                found = value if isinstance(value, list) else [value]
                for at, item in enumerate(found):
                    if not _is_call(item, self.callee, self.caller):
                        continue
                    place = self._place(item)
                    only = place.body[0]
                    if place.before or len(place.body) != 1 or not isinstance(only, ast.Return) or only.value is None:
                        return
                    if isinstance(value, list):
                        value[at] = only.value
                    else:
                        setattr(parent, field, only.value)
                    self.done = True
                    return


def inline(trees: dict[str, ast.Module], kept: set[str]) -> list[str]:
    """Write in place, in the trees of all bundles, what is called once. `kept`: names that somebody else knows. Returns
    the names of what was written in place."""
    occurrences = _Occurrences(list(trees.values()))
    family = related(list(trees.values()))
    done: list[str] = []
    for tree in trees.values():
        left = [
            function
            for function in _functions(tree)
            if function.home not in family and _may_go(function, kept) and occurrences.one_call(function)
        ]
        changed = True
        while changed:  # What has been written in place may make room for another.
            changed = False
            for callee in left:
                caller = _caller_of(callee, tree)
                if caller and _Caller(callee, caller).write():
                    callee.siblings.remove(callee.node)
                    left.remove(callee)
                    done.append(callee.node.name)
                    changed = True
                    break
    return done


def _may_go(function: _Function, kept: set[str]) -> bool:
    name = function.node.name
    private = name.startswith("_") and not name.startswith("__")
    return name not in kept and (private or function.home is None) and _plain(function.node)


def _caller_of(callee: _Function, tree: ast.Module) -> _Function | None:
    for caller in _functions(tree):
        if caller.node is not callee.node:
            if any(_is_call(node, callee, caller) for node in ast.walk(caller.node)):
                return caller
    return None
