"""The relay as a package: the wheel runs by itself, requirements are named and hashed, its deployment files fit."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from tools.relay.__main__ import cli
from tools.relay.settings import SECRETS, Settings, load
from tools.setup import relay_package, relay_sbom

ROOT = Path(__file__).parents[1]
RELAY = ROOT / "tools" / "relay"
DEPLOY = RELAY / "deploy"
PLUGINS = ("testing", "stores_for_tests")  # for tests of others; they want pytest and the like


def requirements(file: Path) -> dict[str, str]:
    """Return the pinned version of each package that a requirements file names."""
    text = file.read_text().replace("\\\n", " ")
    lines = [line.partition(" #")[0].partition(" --hash")[0].strip() for line in text.splitlines()]
    found = [Requirement(line) for line in lines if line and line[0] not in "#-"]
    return {
        f"{requirement.name} {requirement.marker or ''}".strip(): str(requirement.specifier) for requirement in found
    }


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel, and borrows what it requires from this one's."""
    folder = tmp_path_factory.mktemp("package")
    wheel = relay_package.build(folder)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=60)
    python = folder / "venv" / "bin" / "python"
    purelib = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True, timeout=60
    )
    (Path(purelib.strip()) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([sys.executable, *install, "--disable-pip-version-check", str(wheel)], check=True, timeout=120)
    return folder / "venv" / "bin"


def run(*command: Any, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **environment}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=clean, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_installed_command_makes_a_store_and_shows_it(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "wearmeter-relay", "show", cwd=tmp_path, RELAY_STORE=f"sqlite:///{tmp_path}/relay.sqlite3")
    assert (done.returncode, '"devices": []' in done.stdout) == (0, True), done.stderr
    assert (tmp_path / "relay.sqlite3").exists()


def test_every_module_of_the_package_is_imported_without_the_rest_of_the_repository(
    installed: Path, tmp_path: Path
) -> None:
    program = f"""
import importlib, pkgutil, tools.relay
for found in pkgutil.walk_packages(tools.relay.__path__, "tools.relay."):
    if found.name.rpartition(".")[2] not in {PLUGINS!r} and not found.name.endswith("migrations.env"):
        importlib.import_module(found.name)
print(tools.relay.__file__)
"""
    done = run(installed / "python", "-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-600:]
    assert str(ROOT / "tools") not in done.stdout


def test_the_pages_and_migrations_are_in_the_package(installed: Path) -> None:
    (site,) = installed.parent.glob("lib/python*/site-packages/tools/relay")
    for kept in ("pages/templates", "store/migrations"):
        ours = {str(path.relative_to(RELAY)) for path in (RELAY / kept).rglob("*.*") if "__pycache__" not in str(path)}
        assert ours <= {str(path.relative_to(site)) for path in site.rglob("*")}


def test_what_the_relay_imports_is_what_its_package_requires() -> None:
    names = {
        "nats": "nats-py",
        "paho": "paho-mqtt",
        "prometheus_client": "prometheus-client",
        "markupsafe": "jinja2",
    }
    imported = set()
    for file in RELAY.rglob("*.py"):
        if file.stem not in PLUGINS:
            for name in re.findall(r"^ *(?:import|from) (\w+)", file.read_text(), re.MULTILINE):
                if name not in sys.stdlib_module_names and name != "tools":
                    imported.add(names.get(name, name.replace("_", "-")))
    required = {name.split()[0] for name in requirements(RELAY / "requirements.in")}
    # psycopg is loaded by SQLAlchemy by the store's URL, tomli by pydantic-settings on Python 3.10; boto3 is the AWS
    # Lambda entry's (tools/relay/aws).
    assert imported | {"psycopg", "tomli", "boto3"} == required


def test_the_hashed_list_is_complete_and_has_the_versions_that_are_tested() -> None:
    hashed, tested = requirements(RELAY / "requirements.txt"), requirements(ROOT / "tools/setup/requirements.txt")
    versions = {(name.split()[0], version) for name, version in tested.items()}
    assert {(name.split()[0], version) for name, version in hashed.items()} <= versions
    assert {name.split()[0] for name in requirements(RELAY / "requirements.in")} <= {name.split()[0] for name in hashed}
    for entry in (RELAY / "requirements.txt").read_text().replace("\\\n", " ").strip().splitlines():
        assert entry.startswith("#") or re.search(r"==\S+ .*--hash=sha256:[0-9a-f]{64}", entry), entry
    assert not re.search(r"(index-url|find-links|https?://)", (RELAY / "requirements.txt").read_text())


def test_the_bill_of_materials_names_every_requirement_with_its_version(tmp_path: Path) -> None:
    bill = relay_sbom.make(tmp_path / "relay.cdx.json")
    found = {(part["name"], f"=={part['version']}") for part in bill["components"]}
    assert found == {(name.split()[0], version) for name, version in requirements(RELAY / "requirements.txt").items()}
    assert bill["metadata"]["component"]["name"] == "wearmeter-relay" and bill["bomFormat"] == "CycloneDX"


# ---- the files to run it with


def test_the_example_of_a_settings_file_is_one_and_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(str(DEPLOY / "relay.toml"))
    assert found.broker == "mqtt.example.com:8883" and found.region == "EU"
    assert all(getattr(found, name) is None for name in SECRETS if name != "store")
    for line in (DEPLOY / "relay.toml").read_text().splitlines():
        name = line.removeprefix("# ").partition(" = ")
        assert not name[1] or name[0] in Settings.model_fields, line


def test_the_compose_file_sets_settings_that_there_are_and_names_its_files() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    relay = compose["services"]["relay"]
    for name in relay["environment"]:
        assert name.removeprefix("RELAY_").lower() in Settings.model_fields
    for name in relay["secrets"]:
        assert name.removeprefix("relay_") in SECRETS
    used = {name for service in compose["services"].values() for name in service.get("secrets", [])}
    assert used == set(compose["secrets"])
    context = (DEPLOY / relay["build"]["context"]).resolve()
    assert context == ROOT and (context / relay["build"]["dockerfile"]).is_file()
    assert all(
        ":" in service["image"].rpartition("/")[2] for service in compose["services"].values() if "image" in service
    )


def test_the_container_file_copies_what_there_is_and_does_not_run_as_root() -> None:
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert copied and all((ROOT / name).exists() for names in copied for name in names.split())
    assert set(relay_package.SOURCES) <= {name for names in copied for name in names.split()}
    last = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001$", last, re.MULTILINE) and "--require-hashes" in text
    for name in re.findall(r"RELAY_(\w+)=", text):
        assert name.lower() in Settings.model_fields


def test_the_systemd_unit_is_one_and_leaves_the_relay_little_of_the_machine(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not on this machine")
    unit = tmp_path / "wearmeter-relay.service"
    text = (DEPLOY / unit.name).read_text()
    unit.write_text(text.replace("/opt/wearmeter-relay/bin/wearmeter-relay", "/bin/true"))
    done = run(analyze, "verify", unit, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    done = run(analyze, "security", "--offline=true", "--threshold=20", unit, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-300:]  # exposure 2.0 of 10, or less


@pytest.mark.parametrize("page", ["README.md", "deploy/README.md"])
def test_the_pages_name_commands_settings_and_files_that_there_are(page: str) -> None:
    text = (RELAY / page).read_text()
    for name in re.findall(r"(?:^    |`)(?:RELAY_\S+ )*wearmeter-relay ([a-z][\w-]*)", text, re.MULTILINE):
        assert name in cli.commands, name
    for name in re.findall(r"\bRELAY_([A-Z_]+)", text):
        assert name.lower() in {*Settings.model_fields, "settings"}, name
    options = {name for command in (cli, *cli.commands.values()) for part in command.params for name in part.opts}
    for option in re.findall(r"`(--[a-z-]+)", text):
        assert option in options, option
    cells = re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE)
    for name in re.findall(r"`([\w/.-]+\.\w+|\w+/)`", " ".join(cells)):
        folder = (RELAY / page).parent
        assert (folder / name).exists() or list(folder.glob(f"*/{name}")), name
