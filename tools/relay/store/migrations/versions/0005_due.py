"""Indexes of those rows alone that are looked for: commands without an answer, each half second; faulty devices."""

import sqlalchemy as sa
from alembic import op

revision = "0005_due"
down_revision = "0004_history"


def upgrade() -> None:
    for name, table, column, condition in (
        ("ix_commands_open", "commands", "number", "result IS NULL"),
        ("ix_devices_faulty", "devices", "faults", "faults <> 0"),
    ):
        where = sa.text(condition)
        op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)
