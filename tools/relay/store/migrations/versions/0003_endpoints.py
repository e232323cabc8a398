"""Endpoints with leases that are fenced, and a queue whose indexes hold only what waits."""

import sqlalchemy as sa
from alembic import op

revision = "0003_endpoints"
down_revision = "0002_bounds"


def upgrade() -> None:
    op.create_table(
        "endpoints",
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("route", sa.String(length=8), nullable=False),
        sa.Column("due_s", sa.Float(), nullable=True),
        sa.Column("leased", sa.Boolean(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("news", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("device", name=op.f("pk_endpoints")),
    )
    _index("ix_endpoints_due", "endpoints", ["route", "due_s"], "due_s IS NOT NULL")
    with op.batch_alter_table("devices") as devices:
        devices.drop_column("lease_until_s")
        devices.drop_column("lease_owner")
    op.add_column("usage", sa.Column("marked_s", sa.BigInteger(), server_default="0", nullable=False))
    with op.batch_alter_table("queue") as queue:
        queue.drop_index("ix_queue_state_device_id")
        queue.drop_constraint(op.f("uq_queue_message_id"), type_="unique")
        queue.drop_column("next_try_s")
        queue.add_column(sa.Column("increment_s", sa.BigInteger(), nullable=True))
    op.create_index("ix_queue_device_state_id", "queue", ["device", "state", "id"])
    _index("ix_queue_queued", "queue", ["queued_s"], "state = 'queued'")
    _index("ix_queue_dead", "queue", ["id"], "state = 'dead'")
    _index("ix_queue_done", "queue", ["done_s"], "state IN ('sent', 'void')")


def _index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
