"""Names of ours are short in the bundles. Those of others stay: a callback set under another name is never called."""

from __future__ import annotations

import ast
from typing import Any

from tools.setup import firmware, shorten

# Set on objects of MicroPython's, and in no stub: with any of them renamed, certificates would be judged by nobody.
FOREIGN = ("verify_mode", "verify_callback", "load_verify_locations", "psk_identity", "psk_key", "server_hostname")


def test_what_is_set_on_micropythons_objects_keeps_its_name() -> None:
    firmware.build()
    text = (firmware.BUNDLES / "wm_tls.py").read_text()
    assert [name for name in FOREIGN if name not in text] == []


SOURCE = """
class Meter:
    def __init__(self, ticks_diff, max_on_ms):
        self._ticks_diff = ticks_diff
        self.max_on_ms = max_on_ms
        self._shared_with_a_stranger = 1

    def see(self, level, *, how=0):
        return self._weigh(level, how) + sum(map(lambda level: self._ticks_diff(level, 1), [5]))

    def _weigh(self, level, how):
        return level * self.max_on_ms + how

class Button:
    def __init__(self, pin):
        self._pin = pin

    def _weigh(self, level):
        return self._pin + level

    def look(self, level):
        return self._weigh(level)

class Base:
    def __init__(self):
        self._kept = 2

    def _twice(self, level):
        return level * self._kept

class Derived(Base):
    def __init__(self):
        super().__init__()
        self._mine = 1

    def look(self):
        return self._twice(5) + self._kept + self._mine

def stranger(meter):
    return meter._shared_with_a_stranger

def run():
    meter = Meter(lambda later, earlier: later - earlier, 7)
    return meter.see(3, how=2), Button(4).look(5), stranger(meter), Derived().look()
"""


def shortened() -> str:
    tree = ast.parse(SOURCE)
    shorten.shorten({"wm_test": tree}, [])
    return ast.unparse(tree)


def test_a_shortened_bundle_does_the_same() -> None:
    results = []
    for text, name in ((SOURCE, "run"), (shortened(), "")):
        names: dict[str, Any] = {}
        exec(text, names)
        run = names[name] if name else list(names.values())[-1]
        results.append(run())
    assert results[0] == results[1] == (27, 9, 1, 13)


def test_private_names_and_arguments_share_the_same_few_names() -> None:
    tree = ast.parse(shortened())
    meter, button, *_ = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    private = [{node.attr for node in ast.walk(found) if isinstance(node, ast.Attribute)} for found in (meter, button)]
    assert private[1] <= private[0], "the names of Button's are among those of Meter's"
    firsts = {node.args.args[0].arg for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.args.args}
    assert len(firsts) == 1
    assert "how" not in firsts and "_shared_with_a_stranger" not in shortened()
