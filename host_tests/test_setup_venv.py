"""Set-up makes .venv once, says in one line what a machine lacks, and notices when the requirements change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.setup import venv


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("# nothing\n")
    return path


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What set-up would run; making the environment leaves a python behind, nothing else happens."""
    ran: list[list[str]] = []

    def run(command: list[str], what: str) -> None:
        ran.append(command)
        if "venv" in command:
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.symlink_to(sys.executable)

    monkeypatch.setattr(venv, "run", run)
    return ran


def test_a_python_that_is_too_old_is_told_so_in_one_line() -> None:
    with pytest.raises(venv.SetupError) as caught:
        venv.check_prerequisites((3, 9, 2))
    assert "Python 3.10 or newer is needed" in str(caught.value)
    assert "3.9.2" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 14, 1)])
def test_python_3_10_to_3_14_will_do(version: tuple[int, int, int]) -> None:
    venv.check_prerequisites(version)


def test_a_missing_venv_module_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(venv.SetupError, match="python3-venv"):
        venv.check_prerequisites()


def test_a_missing_python_gets_one_line_from_make(root: Path) -> None:
    result = subprocess.run(
        ["make", "-C", str(root), "--no-print-directory", "setup", "PYTHON=python-of-nowhere"],
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("MAKE")},
    )
    assert result.returncode == 2
    assert result.stderr.splitlines()[0] == (
        "wearmeter: set-up: python-of-nowhere was not found, and Python 3.10 or newer is needed"
    )


def test_the_second_run_does_nothing(tmp_path: Path, requirements: Path, commands: list[list[str]]) -> None:
    assert venv.ensure(str(tmp_path / "v"), str(requirements)) is True
    assert len(commands) == 2
    assert venv.ensure(str(tmp_path / "v"), str(requirements)) is False
    assert len(commands) == 2


def test_changed_requirements_are_installed_into_the_same_environment(
    tmp_path: Path, requirements: Path, commands: list[list[str]]
) -> None:
    venv.ensure(str(tmp_path / "v"), str(requirements))
    requirements.write_text("# something else\n")
    del commands[:]
    assert venv.ensure(str(tmp_path / "v"), str(requirements)) is True
    assert [command[2] for command in commands] == ["pip"]


def test_an_environment_made_by_another_python_or_in_another_place_is_made_anew(
    tmp_path: Path, requirements: Path, commands: list[list[str]]
) -> None:
    venv.ensure(str(tmp_path / "v"), str(requirements))
    stamp = tmp_path / "v" / ".ready"
    stamp.write_text(stamp.read_text().split()[0] + " python3.1 /elsewhere\n")
    del commands[:]
    assert venv.ensure(str(tmp_path / "v"), str(requirements)) is True
    assert [command[2] for command in commands] == ["venv", "pip"]


def test_an_installation_cut_short_is_begun_again(
    tmp_path: Path, requirements: Path, monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]
) -> None:
    real = venv.run

    def fails(command: list[str], what: str) -> None:
        if "pip" in command:
            raise venv.SetupError("pip install failed: no network")
        real(command, what)

    monkeypatch.setattr(venv, "run", fails)
    with pytest.raises(venv.SetupError):
        venv.ensure(str(tmp_path / "v"), str(requirements))
    assert not venv.is_ready(str(tmp_path / "v"), str(requirements))


def test_a_failing_command_becomes_one_line_with_its_reason() -> None:
    with pytest.raises(venv.SetupError) as caught:
        venv.run([sys.executable, "-c", "print('ERROR: no such package'); print('note'); raise SystemExit(1)"], "pip")
    assert str(caught.value) == "pip failed: ERROR: no such package"


def test_every_requirement_is_pinned_and_names_no_host(root: Path) -> None:
    for name in ("requirements.in", "requirements.txt"):
        lines = [
            line for line in (root / "tools/setup" / name).read_text().splitlines() if line and line[0] not in "#-"
        ]
        assert lines
        assert not [line for line in lines if "==" not in line or "://" in line]


def test_every_direct_requirement_is_in_the_full_list(root: Path) -> None:
    def pins(name: str) -> set[str]:
        lines = (root / "tools/setup" / name).read_text().splitlines()
        return {
            line.split(";")[0].split("[")[0].split("==")[0].strip() for line in lines if line and line[0] not in "#-"
        }

    assert pins("requirements.in") | pins("../relay/requirements.in") <= pins("requirements.txt")
