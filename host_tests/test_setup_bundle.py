"""What only the start needs is in a bundle that stays, and can be forgotten."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from tools.setup import bundle


def test_what_only_the_start_needs_is_forgotten_and_the_rest_stays() -> None:
    tree = ast.parse("FOLDERS = ('a', 'b')\nclass Early: pass\ndef watch(): pass\ndef stays(): return FOLDERS\n")
    bundle.add_let_go(tree, ["Early", "watch", "written_in_place"])
    names: dict[str, object] = {}
    exec(compile(tree, "wm_test", "exec"), names)
    names["let_go"]()  # type: ignore[operator]
    assert "Early" not in names and "watch" not in names
    assert names["stays"]() == ("a", "b")  # type: ignore[operator]


def test_nothing_that_stays_may_use_what_is_let_go(tmp_path: Path, root: Path) -> None:
    source = Path(shutil.copytree(root / "firmware", tmp_path / "firmware"))
    with open(source / "wearmeter" / "device" / "tick.py", "a") as module:
        module.write("\n\nfrom wearmeter.device.unit_files import load\n")
    with pytest.raises(bundle.BundleError, match=r"tick\.py: wearmeter\.device\.unit_files is let go"):
        bundle.join(source)


def test_the_start_lets_go_of_the_modules_that_say_so(root: Path) -> None:
    (first,) = [made for made in bundle.join(root / "firmware") if made.name == "wm_first"]
    assert {"watch", "Early", "NoProduct", "load", "check"} <= {name.split("_unit")[0] for name in first.start_only}
