"""The firmware is joined into bundles and compiled by mpy-cross, only where it changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tools.setup import firmware


@pytest.fixture
def source(tmp_path: Path, root: Path) -> Path:
    """A firmware/ of its own."""
    return Path(shutil.copytree(root / "firmware", tmp_path / "firmware"))


def test_only_what_changed_is_compiled(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "build"
    assert "mpy/wm_count.mpy" in firmware.build(out, source)
    assert firmware.build(out, source) == []
    changed = source / "wearmeter" / "network" / "tls.py"
    changed.write_text(changed.read_text() + "\n\ndef more():\n    return 1\n")
    assert firmware.build(out, source) == ["mpy/wm_tls.mpy"]


def test_what_is_no_longer_a_source_is_removed(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "build"
    (out / "mpy").mkdir(parents=True)
    (out / "mpy" / "old.mpy").write_bytes(b"M")
    firmware.build(out, source)
    assert not (out / "mpy" / "old.mpy").exists()


def test_a_source_that_cannot_be_joined_gets_one_line_with_its_place(tmp_path: Path, source: Path) -> None:
    with open(source / "wearmeter" / "state" / "part.py", "a") as module:
        module.write("from wearmeter.state.counts import nothing\n")
    with pytest.raises(firmware.BuildError) as caught:
        firmware.build(tmp_path / "build", source)
    assert "part.py:" in str(caught.value) and "\n" not in str(caught.value)


def test_a_source_that_does_not_compile_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "thing.py").write_text("def broken(:\n")
    with pytest.raises(firmware.BuildError) as caught:
        firmware.compile_one(tmp_path / "thing.py", tmp_path / "thing.mpy", "thing.py")
    assert "thing.py" in str(caught.value) and "SyntaxError" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "thing.mpy").exists()


def test_every_module_with_code_is_in_a_bundle_and_its_lines_are_known(firmware: Path, root: Path) -> None:
    lines = json.loads((root / "build" / "bundles" / "lines.json").read_text())
    there = {path for bundle in lines.values() for path, _, _ in bundle.values()}
    for path in (root / "firmware" / "wearmeter").rglob("*.py"):
        if path.name != "testing.py" and "def " in path.read_text():
            assert str(path.relative_to(root / "firmware")) in there, path
    assert {path.stem for path in firmware.glob("wm_*.mpy")} == set(lines)
