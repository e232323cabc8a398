"""A function that is called once stands in the place of its call in the bundles, and nothing comes out otherwise."""

from __future__ import annotations

import ast
import textwrap
from typing import Any

import pytest

from tools.setup import compact, inline


def made(source: str, kept: frozenset[str] = frozenset()) -> tuple[list[str], str]:
    """What was written in place, and the text then."""
    tree = ast.parse(textwrap.dedent(source))
    done = inline.inline({"wm_test": tree}, set(kept))
    return done, "\n".join(compact.write(tree).lines)


def ran(text: str, *arguments: Any) -> Any:
    names: dict[str, Any] = {"__name__": "wm_test", "log": []}
    exec(text, names)
    try:
        result = names["run"](*arguments)
    except ValueError as error:
        result = repr(error)
    return result, names["log"]


WRITTEN = {
    "returned": """
        def _f(x, y):
            if x:
                return y + 1
            y *= 2
            log.append(y)
        def run(a):
            y = 5
            return _f(a, y)
        """,
    "returned in a loop, and the end reached": """
        def _f(x):
            if x > 2:
                return x
        def run(a):
            for n in range(a):
                log.append(n)
                if n:
                    return _f(n + a)
            return -1
        """,
    "a statement without return": """
        def _f(x, y):
            for n in range(x):
                y += n
            log.append(y)
        def run(a):
            y = 7
            try:
                _f(a * 2, a)
            except ValueError:
                pass
            return y
        """,
    "the last statement": """
        def _f(x):
            if x:
                log.append(x)
                return
            log.append("none")
        def run(a):
            if a < 2:
                _f(a)
            else:
                log.append("more")
        """,
    "an assignment": """
        def _f(x):
            found = x + 1
            return found * 2
        def run(a):
            found = 9
            b = _f(found - a)
            return a, b, found
        """,
    "an expression": """
        class _Thing:
            def __init__(self, a):
                self.a = a
            def _much(self, x):
                return self.a > x
            def ask(self, x):
                return [1 if not self._much(x) and x else 0]
        def run(a):
            return _Thing(a).ask(1)
        """,
    "a handler's name": """
        def _f(x):
            try:
                raise KeyError(x)
            except KeyError as error:
                log.append(repr(error))
        def run(a):
            try:
                raise ValueError(a)
            except ValueError as error:
                _f(a)
                return repr(error)
        """,
}


@pytest.mark.parametrize("what", WRITTEN)
def test_what_is_called_once_is_written_in_place_and_does_the_same(what: str) -> None:
    source = textwrap.dedent(WRITTEN[what])
    done, text = made(source)
    assert len(done) == 1 and f"def {done[0]}" not in text
    for argument in range(4):
        assert ran(text, argument) == ran(source, argument)


LEFT = {
    "called twice": "def _f(x):\n    log.append(x)\ndef run(a):\n    _f(a)\n    _f(a)\n",
    "used as a value": "def _f(x):\n    return x\ndef run(a):\n    return list(map(_f, [a]))\n",
    "returned within a try": """
        def _f(x):
            x += 1
            raise ValueError(x)
        def run(a):
            try:
                return _f(a)
            except ValueError:
                return 1
        """,
    "a return before the end": """
        def _f(x):
            if x:
                return
            log.append(x)
        def run(a):
            _f(a)
            return a
        """,
    "another's global under the caller's own name": """
        LIMIT = 3
        def _f(x):
            log.append(x)
            return x < LIMIT
        def run(LIMIT):
            return _f(LIMIT)
        """,
    "a method that another class has in its place": """
        class _Base:
            def ask(self, a):
                return self._much(a)
            def _much(self, a):
                return a
        class _Other(_Base):
            def _much(self, a):
                return -a
        def run(a):
            return _Base().ask(a), _Other().ask(a)
        """,
    "what it imports is let go with its frame": "def _f():\n    import os\n    log.append(1)\ndef run(a):\n    _f()\n",
    "an argument that would be reckoned twice": """
        def _f(x):
            return x + x
        def run(a):
            return 1 + _f(log.append(a) or 2)
        """,
}


@pytest.mark.parametrize("what", LEFT)
def test_what_would_not_do_the_same_stays_a_function(what: str) -> None:
    source = textwrap.dedent(LEFT[what])
    done, text = made(source)
    assert done == []
    for argument in range(4):
        assert ran(text, argument) == ran(source, argument)


def test_a_name_that_somebody_else_knows_stays() -> None:
    source = "def f(x):\n    log.append(x)\ndef run(a):\n    f(a)\n"
    assert made(source, frozenset({"f"}))[0] == []
    assert made(source)[0] == ["f"]


def test_each_line_of_the_text_has_the_line_that_it_came_from() -> None:
    source = """'A docstring.'

def _f(x):
    'Another.'
    log.append(
        x
    )

def run(a):
    _f(a)
"""
    tree = ast.parse(source)
    inline.inline({"wm_test": tree}, set())
    text = compact.write(tree)
    assert [(text.lines[at - 1].strip(), line) for at, line in text.where.items()] == [
        ("def run(a):", 9),
        ("log.append(a)", 5),
    ]
