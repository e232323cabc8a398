"""A pytest plugin: `store_url`, an empty database for each test, of each kind the relay runs on, and a `store` on it.

PostgreSQL is a cluster of the tests' own: made with Debian's initdb and pg_ctl under an unprivileged user, on a free
loopback port, gone when they end. Where it cannot be made, the tests that want it are skipped with the reason.
"""

from __future__ import annotations

import glob
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tools.relay.store.store import Store
from tools.relay.testing import Clock

_numbers = itertools.count()

# The server outlives pg_ctl: if the tests are killed, this ends it and removes its folder.
_WATCH = """while kill -0 "$1" 2>/dev/null; do sleep 1; done
[ -d "$2" ] || exit 0
kill -QUIT "$(head -n 1 "$2/data/postmaster.pid")"; sleep 1; rm -rf "$2"
"""


class Cluster:
    """A running PostgreSQL; `url()` makes an empty database. Raises RuntimeError, in one line, where that can't be.

    Unless `durable`, it does not wait for the disk: nobody cuts the power of a test.
    """

    def __init__(self, durable: bool = False) -> None:
        programs = [str(Path(found).parent) for found in sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))]
        found = shutil.which("initdb", path=os.pathsep.join([*reversed(programs), os.environ.get("PATH", "")]))
        if found is None:
            raise RuntimeError("PostgreSQL: no initdb on this machine (Debian: apt-get install postgresql)")
        self._programs = Path(found).resolve().parent
        self._user = self._unprivileged()
        self._folder = Path(tempfile.mkdtemp(prefix="wearmeter-postgresql-"))
        if self._user is not None:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        try:
            self._run("initdb", "-D", "data", "-U", "relay", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
            options = f"-p {self.port} -h 127.0.0.1 -k {self._folder}"
            if not durable:
                options += " -c fsync=off -c full_page_writes=off"
            self._run("pg_ctl", "-D", "data", "-w", "-t", "30", "-l", "log", "-o", options, "start")
        except RuntimeError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        subprocess.Popen(
            ["sh", "-c", _WATCH, "sh", str(os.getpid()), str(self._folder)], cwd="/", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        Store(self._make("template_relay", "template1"), lambda: 0.0).close()

    def url(self, of: str | None = None) -> str:
        """Return the URL of a new database that holds nothing but the schema, or what that of the URL `of` holds."""
        return self._make(f"relay{next(_numbers)}", of.rpartition("/")[2] if of is not None else "template_relay")

    def pid(self) -> int:
        """Return the process id of the server."""
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make(self, name: str, template: str) -> str:
        with psycopg.connect(f"postgresql://relay@127.0.0.1:{self.port}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE {template}'.encode())
        return f"postgresql://relay@127.0.0.1:{self.port}/{name}"

    @staticmethod
    def _unprivileged() -> str | None:
        """Return the user to run the server as, None where this one will do."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                pwd.getpwnam(name)
                return name
            except KeyError:
                continue
        raise RuntimeError("PostgreSQL does not run as root, and there is no other user here")

    def _run(self, program: str, *arguments: str) -> None:
        more: dict[str, Any] = (
            {} if self._user is None else {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid}
        )
        done = subprocess.run(
            [str(self._programs / program), *arguments], cwd=self._folder, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=90, **more,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"PostgreSQL: {program} failed: {done.stderr.decode(errors='replace').strip()[-200:]}")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL of the tests' own; skips where there can be none."""
    try:
        cluster = Cluster()
    except RuntimeError as error:
        pytest.skip(str(error))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file that holds nothing but the schema."""
    file = tmp_path_factory.mktemp("sqlite") / "empty.sqlite3"
    Store(f"sqlite:///{file}", lambda: 0.0).close()
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, empty_sqlite: Path, tmp_path: Path) -> str:
    """The URL of a database that holds nothing but the schema."""
    if request.param == "sqlite":
        shutil.copy(empty_sqlite, tmp_path / "relay.sqlite3")
        return f"sqlite:///{tmp_path}/relay.sqlite3"
    cluster: Cluster = request.getfixturevalue("postgresql")
    return cluster.url()


@pytest.fixture
def clock() -> Clock:
    """The time of `store`."""
    return Clock()


@pytest.fixture
def store(store_url: str, clock: Clock) -> Iterator[Store]:
    """A store on an empty database."""
    opened = Store(store_url, clock)
    yield opened
    opened.close()
