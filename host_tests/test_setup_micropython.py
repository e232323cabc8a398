"""MicroPython: the one named in MICROPYTHON, else on the PATH, else the wheel's."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.setup import micropython as setup


@pytest.fixture(autouse=True)
def found_anew() -> Iterator[None]:
    setup.find.cache_clear()
    yield
    setup.find.cache_clear()


def executable(folder: Path, answer: str) -> Path:
    path = folder / "micropython"
    path.write_text(f"#!/bin/sh\necho {shlex.quote(answer)}\n")
    path.chmod(0o755)
    return path


def test_the_one_named_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = executable(tmp_path, setup.ANSWER)
    monkeypatch.setenv("MICROPYTHON", str(path))
    assert setup.find() == str(path)


def test_one_named_that_does_not_work_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROPYTHON", str(executable(tmp_path, "I am something else")))
    with pytest.raises(setup.NoMicroPython) as caught:
        setup.find()
    assert "MICROPYTHON=" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_then_the_one_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = executable(tmp_path, setup.ANSWER)
    monkeypatch.delenv("MICROPYTHON", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert setup.find() == str(path)


def test_one_on_the_path_that_is_too_old_is_passed_over_for_the_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path, "micropython 5")
    monkeypatch.delenv("MICROPYTHON", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert setup.find() == str(Path(sys.executable).parent / "micropython")


def test_none_at_all_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MICROPYTHON", raising=False)
    monkeypatch.setattr(setup, "works", lambda path: False)
    with pytest.raises(setup.NoMicroPython, match="no MicroPython works here"):
        setup.find()
