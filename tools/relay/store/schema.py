"""The tables, times in UTC seconds since 1970-01-01. migrations/ makes them; a test compares the two."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def _where(condition: str) -> dict[str, Any]:
    """Return what makes an index one of those rows only."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


# SQLite numbers rows by itself only in a column of type INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")

customers = Table(
    "customers", metadata,
    Column("customer", String(256), primary_key=True),
    Column("region", String(2), nullable=False),
    Column("access", LargeBinary),  # tokens are Fernet ciphertext
    Column("refresh", LargeBinary),
    Column("expires_s", Float, nullable=False),
    Column("state", String(16), nullable=False),  # linked, revoked
    Column("reason", Text, nullable=False),
    Column("lease_until_s", Float, nullable=False),  # one refresh at a time
)  # fmt: skip

devices = Table(
    "devices", metadata,
    Column("device", String(32), primary_key=True),
    Column("epoch", BigInteger),  # of the newest accepted messages
    Column("sampled_s", BigInteger),  # a moment at which `epoch` was still the current one
    Column("status_epoch", BigInteger),
    Column("next_sequence", BigInteger),  # of that status
    Column("nonce", BigInteger),
    Column("online", Boolean, nullable=False),
    Column("last_seen_s", BigInteger, nullable=False),
    Column("firmware", String(64), nullable=False),
    Column("faults", BigInteger, nullable=False),
    Column("wear_permille", Integer, index=True),  # of the rated life of the most worn part; NULL: unknown
    Column("fault_detail", Text, nullable=False),
    Column("link_reason", BigInteger, nullable=False),
    Column("link_losses", BigInteger, nullable=False),
    Column("uptime_s", BigInteger, nullable=False),
    Column("clock_known", Boolean, nullable=False),
    Column("about", LargeBinary),
    Column("about_crc", BigInteger),
    Column("name", String(128)),
    Column("test", Boolean, nullable=False),
    Column("claim", String(64), unique=True),  # SHA-256 of the code on the label
    Column("customer", String(256), ForeignKey("customers.customer"), index=True),
    Column("told", Text),  # the endpoint as the customer's Alexa has accepted it
    Index("ix_devices_faulty", "faults", **_where("faults <> 0")),
)  # fmt: skip

epochs = Table(
    "epochs", metadata,
    Column("device", String(32), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("first_seen_s", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # see core/state.py
    Column("gap_since_s", BigInteger),  # when the oldest gap in the sequence was noticed, NULL without a gap
    Index("ix_epochs_gap_since_s", "gap_since_s", **_where("gap_since_s IS NOT NULL")),
)  # fmt: skip

messages = Table(  # by month of `received_s` on PostgreSQL; retention.py says how long they are kept
    "messages", metadata,
    Column("device", String(32), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("received_s", BigInteger, primary_key=True),
    Column("sample_s", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("faults", BigInteger, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    postgresql_partition_by="RANGE (received_s)",
)  # fmt: skip

history = Table(  # what remains of messages that are not kept: see core/wear.py
    "history", metadata,
    Column("device", String(32), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("consumable", Integer, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("fitted", Boolean, primary_key=True),  # the moment at which the part was fitted
    Column("day", Integer, primary_key=True),  # since 1970-01-01, of `utc_s`
    Column("utc_s", BigInteger, nullable=False),
    Column("used_s", BigInteger, nullable=False),
    Column("lifetime_s", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
)  # fmt: skip

quarantine = Table(
    "quarantine", metadata,
    Column("id", Number, primary_key=True),
    Column("device", String(32), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("received_s", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    UniqueConstraint("device", "epoch", "sequence", "payload"),
)  # fmt: skip

usage = Table(
    "usage", metadata,
    Column("device", String(32), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("consumable", Integer, primary_key=True),  # its id
    Column("generation", Integer, primary_key=True),
    Column("used_s", BigInteger, nullable=False),
    Column("replaced_s", BigInteger),
    Column("inferred", Boolean, nullable=False),  # its replacement was
    Column("gateway_s", BigInteger),  # the last value the gateway accepted
    Column("marked_s", BigInteger, nullable=False, server_default="0"),  # how much of it increments have told
)  # fmt: skip

queue = Table(
    "queue", metadata,
    Column("id", Number, primary_key=True),
    Column("device", String(32), nullable=False),
    Column("name", String(32), nullable=False),
    Column("message_id", String(36), nullable=False),
    Column("epoch", BigInteger),
    Column("consumable", Integer),
    Column("generation", Integer),
    Column("usage_s", BigInteger),
    Column("increment_s", BigInteger),  # drawn before it is first told
    Column("utc_s", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("inferred", Boolean, nullable=False),
    Column("customer", String(256)),  # of a discovery report; a sensor event goes to the device's owner
    Column("body", Text),  # the endpoint of an AddOrUpdateReport, as JSON
    Column("state", String(8), nullable=False),  # queued, sent, dead, void
    Column("attempts", Integer, nullable=False),
    Column("queued_s", Float, nullable=False),
    Column("done_s", Float),
    Column("reason", Text, nullable=False),
    Index("ix_queue_device_state_id", "device", "state", "id"),
    Index("ix_queue_queued", "queued_s", **_where("state = 'queued'")),
    Index("ix_queue_dead", "id", **_where("state = 'dead'")),
    Index("ix_queue_done", "done_s", **_where("state IN ('sent', 'void')")),
)  # fmt: skip

endpoints = Table(  # of devices that something has been queued for; delivery/outbox.py says how they work together
    "endpoints", metadata,
    Column("device", String(32), primary_key=True),
    Column("route", String(8), nullable=False),
    Column("due_s", Float),  # of the database's clock; NULL: nothing waits
    Column("leased", Boolean, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("news", BigInteger, nullable=False),
    Index("ix_endpoints_due", "route", "due_s", **_where("due_s IS NOT NULL")),
)  # fmt: skip

commands = Table(
    "commands", metadata,
    Column("number", Number, primary_key=True),
    Column("device", String(32), nullable=False, index=True),
    Column("operation", Integer, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("created_s", BigInteger, nullable=False),
    Column("sent_s", Float),
    Column("result", Integer),  # NULL until the device has answered
    Column("answered_s", BigInteger),
    Index("ix_commands_open", "number", **_where("result IS NULL")),
)  # fmt: skip

replenishment = Table(
    "replenishment", metadata,
    Column("model", String(256), primary_key=True),
    Column("instance", String(64), primary_key=True),
    Column("value", String(256), nullable=False),
)  # fmt: skip

audit = Table(
    "audit", metadata,
    Column("id", Number, primary_key=True),
    Column("at_s", BigInteger, nullable=False),
    Column("who", String(64), nullable=False),  # an operator's name; `cli:` and the user of the command line
    Column("action", String(32), nullable=False),
    Column("device", String(32), index=True),
    Column("detail", Text, nullable=False),  # what exactly, and the reason that was given
)  # fmt: skip

counters = Table(
    "counters", metadata,
    Column("name", String(128), primary_key=True),
    Column("value", BigInteger, nullable=False),
)  # fmt: skip
