"""What the bounds in time and sequence need: the status's next sequence, a moment of the current epoch, open gaps."""

import sqlalchemy as sa
from alembic import op

revision = "0002_bounds"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("devices", sa.Column("sampled_s", sa.BigInteger(), nullable=True))
    op.add_column("devices", sa.Column("next_sequence", sa.BigInteger(), nullable=True))
    op.add_column("epochs", sa.Column("gap_since_s", sa.BigInteger(), nullable=True))
    gap = sa.text("gap_since_s IS NOT NULL")
    op.create_index("ix_epochs_gap_since_s", "epochs", ["gap_since_s"], sqlite_where=gap, postgresql_where=gap)
    op.execute(
        "UPDATE devices SET sampled_s = (SELECT max(m.sample_s) FROM messages m"
        " WHERE m.device = devices.device AND m.epoch = devices.epoch AND NOT m.estimated)"
    )
