"""The firmware is compiled by mpy-cross, only where it changed, and runs from .mpy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools.setup import firmware


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source" / "thing.py"
    path.parent.mkdir()
    path.write_text("ANSWER = 42\n")
    return path


def test_only_what_changed_is_compiled(tmp_path: Path, source: Path) -> None:
    other = source.with_name("other.py")
    other.write_text("")
    wanted = {"lib/thing.mpy": source, "lib/other.mpy": other}
    assert firmware.build(tmp_path / "out", wanted) == ["lib/thing.mpy", "lib/other.mpy"]
    assert firmware.build(tmp_path / "out", wanted) == []
    source.write_text("ANSWER = 43\n")
    assert firmware.build(tmp_path / "out", wanted) == ["lib/thing.mpy"]


def test_what_is_no_longer_a_source_is_removed(tmp_path: Path, source: Path) -> None:
    firmware.build(tmp_path / "out", {"thing.mpy": source})
    firmware.build(tmp_path / "out", {})
    assert not (tmp_path / "out" / "thing.mpy").exists()


def test_a_source_that_does_not_compile_gets_one_line_with_its_place(tmp_path: Path, source: Path) -> None:
    source.write_text("def broken(:\n")
    with pytest.raises(firmware.BuildError) as caught:
        firmware.build(tmp_path / "out", {"thing.mpy": source})
    assert "thing.py" in str(caught.value)
    assert "SyntaxError" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "thing.mpy").exists()


def test_what_was_compiled_runs_on_this_machines_micropython(tmp_path: Path, source: Path, micropython: str) -> None:
    firmware.build(tmp_path / "out", {"thing.mpy": source})
    result = subprocess.run(
        [micropython, "-c", "import thing; print(thing.ANSWER)"],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.stdout.strip() == "42", result.stderr


def test_every_module_of_the_firmware_is_compiled(firmware: Path, root: Path) -> None:
    modules = {str(p.relative_to(root / "firmware").with_suffix("")) for p in root.glob("firmware/wearmeter/**/*.py")}
    compiled = {str(p.relative_to(firmware).with_suffix("")) for p in firmware.glob("wearmeter/**/*.mpy")}
    assert modules == compiled
    assert (firmware / "lib/umqtt/simple.mpy").exists()
