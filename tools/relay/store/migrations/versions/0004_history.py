"""Messages by month, and the points a day that remain of old ones."""

import datetime

import sqlalchemy as sa
from alembic import op

revision = "0004_history"
down_revision = "0003_endpoints"
_COLUMNS = "device, epoch, sequence, kind, received_s, sample_s, estimated, faults, late, payload"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.execute("ALTER TABLE messages DROP CONSTRAINT pk_messages")
    op.rename_table("messages", "messages_before")
    op.create_table(
        "messages",
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("received_s", sa.BigInteger(), nullable=False),
        sa.Column("sample_s", sa.BigInteger(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("faults", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("device", "epoch", "sequence", "received_s", name=op.f("pk_messages")),
        postgresql_partition_by="RANGE (received_s)",
    )
    if connection.dialect.name == "postgresql":
        op.execute("CREATE TABLE messages_rest PARTITION OF messages DEFAULT")
        _months(connection)
    op.execute(f"INSERT INTO messages ({_COLUMNS}) SELECT {_COLUMNS} FROM messages_before ORDER BY received_s")
    op.drop_table("messages_before")
    op.create_table(
        "history",
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("consumable", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("fitted", sa.Boolean(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("utc_s", sa.BigInteger(), nullable=False),
        sa.Column("used_s", sa.BigInteger(), nullable=False),
        sa.Column("lifetime_s", sa.BigInteger(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint(
            "device", "epoch", "consumable", "generation", "fitted", "day", name=op.f("pk_history")
        ),
    )


def _months(connection: sa.Connection) -> None:
    """A partition for each month that has messages."""
    found = connection.execute(sa.text(
        "SELECT DISTINCT date_trunc('month', to_timestamp(received_s) AT TIME ZONE 'UTC') FROM messages_before"
    ))  # fmt: skip
    for (month,) in found.all():
        first = month.replace(tzinfo=datetime.timezone.utc)
        following = (first + datetime.timedelta(days=32)).replace(day=1)
        op.execute(
            f"CREATE TABLE messages_{first:%Y%m} PARTITION OF messages"
            f" FOR VALUES FROM ({int(first.timestamp())}) TO ({int(following.timestamp())})"
        )
