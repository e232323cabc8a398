"""Copies of the database, made while relays run: SQLite's own backup of pages, PostgreSQL's own pg_dump and pg_restore.

A copy is of one moment: a message in it has its events and its use with it, since they are one commit.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, create_engine, inspect, make_url


class BackupError(Exception):
    """It was not done; the message is one line without a password."""


def backup(store: str, target: Path) -> None:
    """Copy the database at the URL `store` into a new file. Raises BackupError; then there is no such file."""
    url = make_url(store)
    if target.exists():
        raise BackupError(f"{target} is there already")
    made = target.with_name(f"{target.name}.part")
    try:
        if url.get_backend_name() == "sqlite":
            _copy(_file(url), made)
        else:
            _postgresql("pg_dump", url, "--format=custom", "--no-owner", f"--file={made}")
        made.rename(target)
    except OSError as error:
        raise BackupError(f"{target}: {error.strerror}") from error
    finally:
        made.unlink(missing_ok=True)


def restore(source: Path, store: str) -> None:
    """Fill the database at the URL `store`, which must be empty, from a backup. Raises BackupError."""
    url = make_url(store)
    if not source.is_file():
        raise BackupError(f"there is no file {source}")
    if url.get_backend_name() == "sqlite":
        target = Path(url.database or "")
        if target.exists() and target.stat().st_size:
            raise BackupError(f"{target} is there already: stop the relay and move it away")
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(source, target)
        return
    engine = create_engine(url.set(drivername="postgresql+psycopg"), hide_parameters=True)
    try:
        if inspect(engine).get_table_names():
            raise BackupError(f"database {url.database} is not empty: make a new one with createdb")
    finally:
        engine.dispose()
    _postgresql("pg_restore", url, "--no-owner", "--exit-on-error", "--single-transaction", str(source))


def _file(url: URL) -> Path:
    file = Path(url.database or "")
    if not file.is_file():
        raise BackupError(f"there is no database {url.database}")
    return file


def _copy(source: Path, target: Path) -> None:
    """Copy page by page, also from a database in use, and look through the copy."""
    try:
        with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)) as old:
            with closing(sqlite3.connect(target)) as new:
                old.backup(new)
                (found,) = new.execute("PRAGMA integrity_check").fetchone()
                named = new.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise BackupError(f"{source}: {error}") from error
    if found != "ok" or named != (1,):
        target.unlink(missing_ok=True)
        raise BackupError(f"{source} is not a sound database of a relay: {found}")


def _postgresql(program: str, url: URL, *arguments: str) -> None:
    """Run one of PostgreSQL's programs; the password goes by environment, where no list of processes shows it."""
    path = shutil.which(program)
    if path is None:
        raise BackupError(f"{program} is not on this machine (Debian: apt-get install postgresql-client)")
    plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    environment = {**os.environ, "PGPASSWORD": str(url.password)} if url.password else dict(os.environ)
    done = subprocess.run(
        [path, *arguments, f"--dbname={plain.render_as_string()}"], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, env=environment, check=False,
    )  # fmt: skip
    if done.returncode:
        raise BackupError((done.stderr.strip().splitlines() or [f"{program} gave no reason"])[0])
