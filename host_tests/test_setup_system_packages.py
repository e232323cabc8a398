"""System packages that some tests want are installed where that is allowed, and never hold the tests up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.setup import system_packages
from tools.setup.system_packages import Package

ABSENT = Package("absent", "program-of-nowhere", "nothing")


def test_nothing_is_done_where_all_are_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system_packages, "missing", lambda: [])
    monkeypatch.setattr(system_packages, "install", lambda packages, limit_s: pytest.fail("installed"))
    assert system_packages.main() == 0
    assert capsys.readouterr().out == ""


def test_without_the_right_to_install_one_line_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system_packages, "missing", lambda: [ABSENT])
    monkeypatch.setattr(system_packages, "may_install", lambda: False)
    assert system_packages.main() == 0
    assert capsys.readouterr().out == "wearmeter: not installed here, so their tests will skip: absent\n"


def test_a_failed_installation_is_one_line_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system_packages, "missing", lambda: [ABSENT])
    monkeypatch.setattr(system_packages, "may_install", lambda: True)
    monkeypatch.setattr(system_packages, "install", lambda packages, limit_s: "E: no such package")
    assert system_packages.main() == 0
    assert "absent could not be installed, so their tests will skip: E: no such package" in capsys.readouterr().out


def test_what_cannot_be_installed_does_not_keep_the_others_from_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[str] = []

    def install(packages: list[Package], limit_s: float) -> str | None:
        tried.extend(package.name for package in packages)
        return "E: no such package" if packages == [ABSENT] else None

    monkeypatch.setattr(system_packages, "missing", lambda: [ABSENT, Package("present", "program", "something")])
    monkeypatch.setattr(system_packages, "may_install", lambda: True)
    monkeypatch.setattr(system_packages, "install", install)
    assert system_packages.main() == 0
    assert tried == ["absent", "present"]
    assert "present could not" not in capsys.readouterr().out


def test_an_installation_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "apt-get"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert "took over" in (system_packages.install([ABSENT], limit_s=0.2) or "")


def test_the_package_cannot_start_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a package's script calls to start its service is, for the installation, a stand-in that does nothing."""
    seen = tmp_path / "seen"
    apt = tmp_path / "apt-get"
    starters = "invoke-rc.d systemctl deb-systemd-invoke"
    apt.write_text(f'#!/bin/sh\nfor p in {starters}; do command -v $p; done >> "{seen}"\n')
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert system_packages.install([ABSENT]) is None
    places = {Path(line).parent for line in seen.read_text().split()}
    assert places and not places & {Path("/usr/sbin"), Path("/usr/bin"), Path("/bin"), Path("/sbin")}


def test_a_daemon_outside_the_users_path_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def which(program: str, path: str) -> None:
        asked.append(path)

    monkeypatch.setattr("shutil.which", which)
    system_packages.where("mosquitto")
    assert "/usr/sbin" in asked[0]
