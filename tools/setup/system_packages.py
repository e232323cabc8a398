"""Installs, where it may, the system packages that some tests want and nothing else needs.

As root on a Debian-like machine a missing one is installed with apt-get, quietly and for at most a few minutes.
Anywhere else, or if that fails, one line says so, and the tests that want it skip by name.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 240  # all of it: a slow mirror must not hold up the tests


@dataclass(frozen=True)
class Package:
    """A Debian package, the program that shows it is there, and what it is for."""

    name: str
    program: str
    purpose: str


WANTED = (
    Package("mosquitto", "mosquitto", "tests against a second broker"),
    Package("postgresql", "initdb", "tests of the relay on a cluster of their own"),
    Package("chromium", "chromium", "tests of the relay's pages in a real browser"),
    Package("openjdk-17-jre-headless", "java", "checks of the protocol's specification"),
    Package("nats-server", "nats-server", "tests of the relay on a JetStream cluster"),
)


def where(program: str) -> str | None:
    """Path of a program, looked for also where Debian puts daemons and PostgreSQL. None if absent."""
    folders = ["/usr/sbin", "/usr/local/sbin", *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)]
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))


def missing(wanted: tuple[Package, ...] = WANTED) -> list[Package]:
    return [package for package in wanted if where(package.program) is None]


def may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: list[Package], limit_s: float = LIMIT_S) -> str | None:
    """Installs packages; no service of theirs is started. Returns None, or one line saying why it failed."""
    deadline = time.monotonic() + limit_s
    with tempfile.TemporaryDirectory() as folder:
        # A package's own script starts its service through one of these. Stand-ins first on the PATH of this one
        # installation start nothing, and change nothing of the machine.
        for name in ("invoke-rc.d", "systemctl", "deb-systemd-invoke", "update-rc.d"):
            script = Path(folder) / name
            script.write_text("#!/bin/sh\nexit 0\n")
            script.chmod(0o755)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        environment["PATH"] = f"{folder}:{environment.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}"
        names = [package.name for package in packages]
        for command in (
            ["apt-get", "-qq", "update"],
            ["apt-get", "-qq", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=60", "install", *names],
        ):
            try:
                result = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    env=environment,
                    timeout=max(1.0, deadline - time.monotonic()),
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return f"{' '.join(command[:3])} took over {limit_s:.0f} s"
            if result.returncode and command[2] != "update":
                lines = [line for line in result.stdout.splitlines() if line.startswith("E:")] or ["apt-get failed"]
                return lines[0]
    return None


def main() -> int:
    lacking = missing()
    if not lacking:
        return 0
    names = ", ".join(package.name for package in lacking)
    if not may_install():
        print(f"wearmeter: not installed here, so their tests will skip: {names}")
        return 0
    print(f"wearmeter: installing {names} with apt-get, for the tests that want it", flush=True)
    deadline = time.monotonic() + LIMIT_S
    for package in lacking:  # one by one: what a machine has not must not cost it the others
        reason = install([package], max(1.0, deadline - time.monotonic()))
        if reason:
            print(f"wearmeter: {package.name} could not be installed, so their tests will skip: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
