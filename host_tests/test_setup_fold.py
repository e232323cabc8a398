"""A constant of the firmware is its value in every bundle, and no name."""

from __future__ import annotations

import ast

from tools.setup import fold

SOURCES = {
    "wm_first": """
from micropython import const
LIMIT = const(12)
_LEAST = const(-3)
HEAD = "<BI"
FOLDER = ("/a", "/b")
VERSION = "1"
made = 5

def change():
    global made
    made += _LEAST
""",
    "wm_second": """
from wm_first import FOLDER, HEAD, LIMIT
from wm_first import HEAD

def both(self):
    return LIMIT, HEAD, FOLDER, self.LIMIT
""",
}


def test_numbers_and_texts_are_written_in_all_bundles_and_the_rest_stays() -> None:
    trees = {name: ast.parse(text) for name, text in SOURCES.items()}
    fold.fold(trees, {"VERSION"})
    assert ast.unparse(trees["wm_first"]).split() == (
        "FOLDER = ('/a', '/b') VERSION = '1' made = 5 def change(): global made made += -3".split()
    )
    assert ast.unparse(trees["wm_second"]).split() == (
        "from wm_first import FOLDER def both(self): return (12, '<BI', FOLDER, self.LIMIT)".split()
    )


def test_a_name_that_somebody_looks_up_in_a_bundle_stays() -> None:
    tree = ast.parse("from micropython import const\nPERIOD = const(3)\n")
    fold.fold({"wm_first": tree}, {"PERIOD"})
    assert ast.unparse(tree).split("\n") == ["from micropython import const", "PERIOD = const(3)"]
