"""What a relay can be told; each has a default, a command-line option and an environment variable (see __main__.py)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

Clock = Callable[[], float]

CUMULATIVE, INCREMENT = "cumulative", "increment"


@dataclass(frozen=True)
class Settings:
    """All durations in seconds of the relay's clock, unless said otherwise."""

    broker: str = "127.0.0.1:1883"
    broker_user: str | None = None
    broker_password: str | None = None
    broker_ca: str | None = None
    topic_root: str = "wearmeter"
    shared_group: str | None = None
    """Name of an MQTT 5 shared subscription, for several relays on one broker; None: MQTT 3.1.1, all messages."""
    store: str = "sqlite:///build/relay/relay.sqlite3"
    gateway: str | None = None
    """Base URL that every event goes to with `token`; None: by the customer's region, with that customer's token."""
    token: str | None = None
    test_gateway: str | None = None
    """Where events of devices marked as test go, with the token `test`; None: nowhere."""
    usage: str = CUMULATIVE
    gap_wait_s: int = 3600
    """How long a report of a newer part waits for the replacement that the sequence says is missing."""
    resends: int = 3
    resend_after_s: float = 1.0
    pause_s: float = 300.0
    """Between rounds of resends, for an event that may not be given up."""
    unreachable_after_s: float = 5.0
    """Before an event is tried again that got no answer at all."""
    lease_s: float = 60.0
    command_resend_s: float = 30.0
    key: str | None = None
    """Fernet key (several, comma-separated, newest first) that tokens are encrypted with."""
    region: str = "NA"
    """Of the customers that this skill is granted: NA, EU or FE."""
    lwa: str = "https://api.amazon.com"
    lwa_client_id: str | None = None
    lwa_client_secret: str | None = None
    refresh_ahead_s: float = 300.0
    web: str | None = None
    """HOST:PORT to serve the pages and the metrics at; None: neither."""
    web_token: str | None = None
    """What somebody must know to read them, at least 16 characters."""
    deliver: bool = True
    """False: this process accepts and acknowledges, and leaves the queue to another."""


def from_environment() -> Settings:
    """Return the settings with those that RELAY_ and the setting's name give. Raises ValueError for a bad number."""
    values: dict[str, Any] = {}
    for field in fields(Settings):
        text = os.environ.get(f"RELAY_{field.name.upper()}")
        if text is not None:
            convert: dict[type, Callable[[str], Any]] = {bool: _truth, int: int, float: float}
            values[field.name] = convert.get(type(field.default), str)(text)
    return Settings(**values)


def _truth(text: str) -> bool:
    return text.lower() not in ("0", "false", "no", "")
