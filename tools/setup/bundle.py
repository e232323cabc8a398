"""Joins the firmware's modules into a few files: source in rooms, device in bundles.

On the ESP32 looking a module up costs 6-17 ms for each entry of sys.path, reading it almost nothing: 34 files took
2.7 s to import. So the build joins what is needed together. All modules of a bundle share one set of globals: imports
between them fall away, names that two of them use are told apart by the module's name, and constants become private,
so that the compiler folds them away. Lines stay lines: `Bundle.where` turns a bundle's line into the source's.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "wearmeter"
# The fakes beside what they fake: for tests, on no device.
FAKES = "testing.py"
# What each bundle begins with; it takes along what its modules import at their top and an earlier one does not have.
ROOTS = {
    # In the order in which they are imported. wm_start is let go before the loop begins.
    "wm_first": [
        "wearmeter.device.early",
        "wearmeter.device.attention",
        "wearmeter.device.unit",
        "wearmeter.inputs.guarded",
        "wearmeter.inputs.level",
        "wearmeter.flash.record",
        "wearmeter.exchange.cbor",
    ],
    "wm_count": [
        "wearmeter.device.run",
        "wearmeter.device.guard",
        "wearmeter.device.tick",
        "wearmeter.exchange.schedule",
        "wearmeter.panel.button",
        "wearmeter.panel.panel",
        "wearmeter.panel.light",
        "wearmeter.state.state",
    ],
    "wm_start": ["wearmeter.device.start"],
    "wm_network": ["wearmeter.network.online"],
    "wm_names": ["wearmeter.network.names", "wearmeter.network.ntp"],
    "wm_tls": ["wearmeter.network.tls"],
    "wm_extras": [
        "wearmeter.inputs.drivers",
        "wearmeter.inputs.hardware",
        "wearmeter.inputs.mains",
        "wearmeter.inputs.tachometer",
        "wearmeter.inputs.current",
        "wearmeter.inputs.weight",
        "wearmeter.panel.pixel",
    ],
}
# Modules of another bundle that only the start needs: `let_go()` of that bundle forgets what they define. A bundle of
# their own would be let go whole, but to load it takes 60 ms more until the inputs are seen.
START_ONLY = {"wearmeter.device.early", "wearmeter.device.unit_files"}
# Asked for at the prompt by name, see tools/deploy.
KEPT = {
    ("wearmeter.device.early", "watch"),
    ("wearmeter.device.start", "start"),
    ("wearmeter.device.run", "device"),
    ("wearmeter.device.run", "run"),
    ("wearmeter.device.run", "resume"),
    ("wearmeter", "VERSION"),
}


class BundleError(Exception):
    """The modules cannot be joined; one line says which name or import is in the way."""


@dataclass
class Module:
    """One source: `names` are those it defines at its top, `constants` those of them that are const(...)."""

    name: str
    path: Path
    lines: list[str]
    tree: ast.Module
    names: list[str] = field(default_factory=list)
    constants: set[str] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)
    bundle: str = ""


@dataclass
class Bundle:
    """The text of one file, and for each of its lines (from 1) the source's (path, line)."""

    name: str
    text: str
    where: dict[int, tuple[str, int]]
    modules: list[str]
    start_only: list[str]  # names at its top


def _read(firmware: Path) -> dict[str, Module]:
    found = {}
    for path in sorted((firmware / PACKAGE).rglob("*.py")):
        if path.name == FAKES:
            continue
        parts = path.relative_to(firmware).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text()
        module = Module(name, path, text.splitlines(), ast.parse(text))
        for node in module.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                module.names.append(node.name)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if not isinstance(target, ast.Name):
                        raise BundleError(f"{path}:{node.lineno}: assign one name at a time")
                    module.names.append(target.id)
                    call = node.value
                    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "const":
                        module.constants.add(target.id)
        found[name] = module
    return found


def _own_imports(module: Module, modules: dict[str, Module], node: ast.AST) -> list[tuple[str, str, str]]:
    """(module, name in it or "" for the module itself, name here) of an import of the package's, [] of others."""
    if not isinstance(node, ast.ImportFrom) or not (node.module or "").split(".")[0] == PACKAGE:
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == PACKAGE for alias in node.names):
            raise BundleError(f"{module.path}:{node.lineno}: write from ... import ...")
        return []
    found = []
    for alias in node.names:
        here = alias.asname or alias.name
        if f"{node.module}.{alias.name}" in modules:
            found.append((f"{node.module}.{alias.name}", "", here))
        elif node.module in modules and alias.name in modules[node.module].names:
            found.append((node.module, alias.name, here))
        else:
            raise BundleError(f"{module.path}:{node.lineno}: {node.module} has no {alias.name}")
    return found


def _gather(modules: dict[str, Module], root: str, bundle: str, order: list[Module]) -> None:
    """Put `root` and what it needs at its top into a bundle, what is needed first."""
    module = modules[root]
    if module.bundle:
        return
    module.bundle = bundle
    for node in module.tree.body:
        for name, _, _ in _own_imports(module, modules, node):
            _gather(modules, name, bundle, order)
    order.append(module)


def _locals(tree: ast.AST) -> set[str]:
    """Names that functions use for something of their own, which a top-level name must not be mistaken for."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            found |= {inner.arg for inner in ast.walk(node) if isinstance(inner, ast.arg)}
            given = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and not _loads(inner)}
            found |= given - {name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names}
    return found


def _loads(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def _rename(order: list[Module], wanted_elsewhere: set[tuple[str, str]]) -> None:
    """Give each top-level name one that no other module has."""
    taken: dict[str, str] = {}
    local = {name for module in order for name in _locals(module.tree)}
    for module in order:
        for name in module.names:
            new = name
            folds = (
                name in module.constants
                and (module.name, name) not in wanted_elsewhere
                and (module.name, name) not in KEPT
            )
            if folds and not name.startswith("_"):
                new = "_" + name
            kept = (module.name, name) in KEPT
            if not kept and (new in local or (new in taken and taken[new] != module.name)):
                new = f"{new}_{module.name.rsplit('.', 1)[-1]}"
            if (new in taken and taken[new] != module.name) or (new in local and not kept):
                raise BundleError(f"{module.path}: {name} is in the way of {taken[new]}'s")
            taken[new] = module.name
            module.renamed[name] = new


class _Edits(ast.NodeVisitor):
    """Finds what has to be written otherwise in one module: (line, from column, to column, text)."""

    def __init__(self, module: Module, modules: dict[str, Module]) -> None:
        self.module = module
        self.modules = modules
        self.edits: list[tuple[int, int, int, str]] = []
        self.names = dict(module.renamed)  # name here -> name in the bundle
        self.aliases: dict[str, Module] = {}  # name here -> module
        self.foreign: dict[str, set[str]] = {}  # bundle -> names wanted of it at the top
        self.plain: set[str] = set()  # imports of others
        self.shadows: list[set[str]] = []
        for node in module.tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._top_import(node)

    def _blank(self, node: ast.stmt, text: str = "") -> None:
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
            self.edits.append((line, 0, len(self.module.lines[line - 1].encode()), text if line == node.lineno else ""))

    def _top_import(self, node: ast.Import | ast.ImportFrom) -> None:
        own = _own_imports(self.module, self.modules, node)
        if not own:
            self.plain.add(ast.unparse(node))
        for name, what, here in own:
            self._bind(name, what, here, top=True)
        self._blank(node)

    def _bind(self, name: str, what: str, here: str, top: bool) -> str:
        """Let `here` mean a name of another module; returns it as the other bundle has it, "" in the same bundle."""
        other = self.modules[name]
        if not what:
            if not top and other.bundle != self.module.bundle:
                raise BundleError(f"{self.module.path}: {here} is of another bundle: import its names, not the module")
            self.aliases[here] = other
            return ""
        new = other.renamed[what]
        if self.names.setdefault(here, new) != new:
            raise BundleError(f"{self.module.path}: {here} means two things, give the second another name")
        if other.bundle != self.module.bundle:
            if top:
                self.foreign.setdefault(other.bundle, set()).add(other.renamed[what])
            return other.renamed[what]
        return ""

    def _shadowed(self, name: str) -> bool:
        return any(name in names for names in self.shadows)

    def _function(self, node: ast.FunctionDef | ast.Lambda) -> None:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [extra for extra in (arguments.vararg, arguments.kwarg) if extra]
        local = {argument.arg for argument in every}
        body = node.body if isinstance(node.body, list) else [node.body]
        declared: set[str] = set()
        for statement in body:
            for inner in ast.walk(statement):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    local.add(inner.id)
                elif isinstance(inner, ast.ExceptHandler) and inner.name:
                    local.add(inner.name)
                elif isinstance(inner, ast.Import | ast.ImportFrom):
                    own = _own_imports(self.module, self.modules, inner)
                    local |= {alias.asname or alias.name.split(".")[0] for alias in inner.names} if not own else set()
                elif isinstance(inner, ast.FunctionDef):
                    local.add(inner.name)
                elif isinstance(inner, ast.Global):
                    declared |= set(inner.names)
        for default in [*arguments.defaults, *[item for item in arguments.kw_defaults if item]]:
            self.visit(default)
        self.shadows.append(local - declared)
        for statement in body:
            self.visit(statement)
        self.shadows.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if not self.shadows and node.name in self.names and self.names[node.name] != node.name:
            self._replace_after(node, "def ", node.name)
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if not self.shadows and self.names.get(node.name, node.name) != node.name:
            self._replace_after(node, "class ", node.name)
        for base in node.bases:
            self.visit(base)
        for statement in node.body:
            if isinstance(statement, ast.Assign):
                self.visit(statement.value)  # The class's own names stay.
            else:
                saved, self.shadows = self.shadows, self.shadows + [set()]
                self.visit(statement)
                self.shadows = saved

    def _replace_after(self, node: ast.FunctionDef | ast.ClassDef, word: str, name: str) -> None:
        at = node.col_offset + len(word)
        self.edits.append((node.lineno, at, at + len(name), self.names[name]))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        own = _own_imports(self.module, self.modules, node)
        if not own or not self.shadows:
            return
        lines = []
        for name, what, here in own:
            there = self._bind(name, what, here, top=False)
            if there:
                lines.append(f"from {self.modules[name].bundle} import {there}")
        indent = " " * node.col_offset
        self._blank(node, indent + ("; ".join(lines) or "pass"))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        value = node.value
        if isinstance(value, ast.Name) and value.id in self.aliases and not self._shadowed(value.id):
            other = self.aliases[value.id]
            if node.attr not in other.renamed:
                raise BundleError(f"{self.module.path}:{node.lineno}: {other.name} has no {node.attr}")
            new = other.renamed[node.attr]
            if other.bundle != self.module.bundle:
                self.foreign.setdefault(other.bundle, set()).add(new)
            if node.lineno != node.end_lineno or node.end_col_offset is None:
                raise BundleError(f"{self.module.path}:{node.lineno}: write {value.id}.{node.attr} in one line")
            self.edits.append((node.lineno, node.col_offset, node.end_col_offset, new))
            return
        self.visit(value)

    def visit_Name(self, node: ast.Name) -> None:
        if self._shadowed(node.id):
            return
        if node.id in self.aliases:
            raise BundleError(f"{self.module.path}:{node.lineno}: {node.id} is a module: use its names")
        new = self.names.get(node.id, node.id)
        if new != node.id:
            self.edits.append((node.lineno, node.col_offset, node.col_offset + len(node.id.encode()), new))

    def visit_Global(self, node: ast.Global) -> None:
        for name in node.names:
            if self.names.get(name, name) != name:
                raise BundleError(f"{self.module.path}:{node.lineno}: the global {name} would be renamed")

    def apply(self) -> list[str]:
        lines = [line.encode() for line in self.module.lines]
        for line, start, end, text in sorted(self.edits, reverse=True):
            before = lines[line - 1]
            lines[line - 1] = before[:start] + text.encode() + before[end:]
        return [line.decode() for line in lines]


def _wanted_elsewhere(modules: dict[str, Module]) -> set[tuple[str, str]]:
    """(module, name) that a module of another bundle uses."""
    wanted = set()
    for module in modules.values():
        aliases = {}
        for node in ast.walk(module.tree):
            for name, what, here in _own_imports(module, modules, node):
                if modules[name].bundle == module.bundle:
                    continue
                if what:
                    wanted.add((name, what))
                else:
                    aliases[here] = name
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
                wanted.add((aliases[node.value.id], node.attr))
    return wanted


def join(firmware: Path) -> list[Bundle]:
    """Return the bundles of the package in `firmware`. Raises BundleError, also for a module that is in none."""
    modules = _read(firmware)
    orders: dict[str, list[Module]] = {}
    for bundle, roots in ROOTS.items():
        orders[bundle] = []
        for root in roots:
            if root not in modules:
                raise BundleError(f"{firmware}: there is no {root}")
            _gather(modules, root, bundle, orders[bundle])
    left = [name for name, module in modules.items() if not module.bundle and module.names]
    if left:
        raise BundleError(f"{firmware}: in no bundle: {', '.join(left)}")
    _check_start_only(modules)
    wanted = _wanted_elsewhere(modules)
    # A name of one bundle is imported into others: it is unique in all of them.
    _rename([module for order in orders.values() for module in order], wanted)
    return [_emit(bundle, order, modules, firmware) for bundle, order in orders.items()]


def _emit(bundle: str, order: list[Module], modules: dict[str, Module], firmware: Path) -> Bundle:
    plain: set[str] = set()
    foreign: dict[str, set[str]] = {}
    bodies: list[tuple[Module, list[str]]] = []
    for module in order:
        edits = _Edits(module, modules)
        edits.visit(module.tree)
        plain |= edits.plain
        for other, names in edits.foreign.items():
            foreign.setdefault(other, set()).update(names)
        bodies.append((module, edits.apply()))
    lines = sorted(plain)
    lines += [f"from {other} import {', '.join(sorted(names))}" for other, names in sorted(foreign.items())]
    where = {}
    for module, body in bodies:
        for number, line in enumerate(body, 1):
            lines.append(line)
            where[len(lines)] = (str(module.path.relative_to(firmware)), number)
    start_only = [name for module in order if module.name in START_ONLY for name in module.renamed.values()]
    return Bundle(bundle, "\n".join(lines) + "\n", where, [module.name for module in order], start_only)


def add_let_go(tree: ast.Module, names: list[str]) -> None:
    """Add to a bundle's tree the function that forgets those of `names` that it still has at its top."""
    there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            there |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    found = ", ".join(name for name in names if name in there)
    if found:
        tree.body += ast.parse(f"def let_go():\n global {found}\n del {found}").body


def _check_start_only(modules: dict[str, Module]) -> None:
    for module in modules.values():
        if module.name in START_ONLY or module.bundle == "wm_start":
            continue
        for node in ast.walk(module.tree):
            for name, _, _ in _own_imports(module, modules, node):
                if name in START_ONLY:
                    raise BundleError(f"{module.path}: {name} is let go after the start")
