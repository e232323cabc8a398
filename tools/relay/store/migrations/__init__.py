"""Alembic's side of the store: `upgrade` brings a database of any age to the newest schema."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

_LOCK = 0x77656172  # one relay migrates, the others wait


def upgrade(connection: Connection) -> None:
    """Apply what is missing, in the caller's transaction. A database that a newer relay has migrated is left alone."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    config, newest, known = _scripts()
    current = MigrationContext.configure(connection).get_current_revision()
    if current != newest and current in known:
        config.attributes["connection"] = connection
        command.upgrade(config, newest)


@cache
def _scripts() -> tuple[Config, str, frozenset[str | None]]:
    """Return alembic's configuration, the newest revision, and all that are known (None: that of an empty database)."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head()
    assert newest is not None
    return config, newest, frozenset({None, *(script.revision for script in scripts.walk_revisions())})
