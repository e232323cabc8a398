"""What a relay can be told, and from where: the command line, else the environment, else a secret's file, else the
settings file, else the default below. Each field is an option of `run` and the variable RELAY_ and its name.

A secret's file is named `relay_` and the setting, in systemd's credentials folder or a container's /run/secrets. The
settings file is TOML with the fields' names (tools/relay/deploy/relay.toml shows it), named by --settings or
RELAY_SETTINGS.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

Clock = Callable[[], float]

CUMULATIVE, INCREMENT = "cumulative", "increment"
PREFIX = "RELAY_"
CONTAINER_SECRETS = "/run/secrets"


def _secret(description: str) -> Any:
    """A setting that is never printed."""
    return Field(default=None, repr=False, description=description)


class Settings(BaseModel):
    """All durations in seconds of the relay's clock, unless said otherwise. Raises ValueError for a bad value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    broker: str = Field(
        default="127.0.0.1:1883", description="MQTT broker, HOST:PORT, or NATS servers, nats://HOST:PORT,HOST:PORT,..."
    )
    broker_user: str | None = Field(default=None, description="User name at the broker.")
    broker_password: str | None = _secret("Password at the broker.")
    broker_ca: str | None = Field(
        default=None, description="File of the CA that signed the broker's certificate; turns TLS on."
    )
    topic_root: str = Field(default="wearmeter", description="Topics are ROOT/DEVICE/up, down, status, about.")
    shared_group: str | None = Field(
        default=None, description="Share the load with other relays: MQTT 5 shared subscription of this name."
    )
    store: str = Field(
        default="sqlite:///build/relay/relay.sqlite3",
        repr=False,  # its URL may hold a password
        description="Database: sqlite:///FILE or postgresql://USER@HOST/NAME.",
    )
    gateway: str | None = Field(
        default=None,
        description="Base URL that every event goes to with --token, instead of that of the owner's region.",
    )
    token: str | None = _secret("Bearer token for --gateway, if one serves all.")
    test_gateway: str | None = Field(
        default=None,
        description="Base URL for events of test devices, with the token `test`; without it they go nowhere.",
    )
    usage: Literal["cumulative", "increment"] = Field(
        default="cumulative", description="What usage tells: the time since the part was fitted, or since last told."
    )
    gap_wait_s: int = Field(
        default=3600, description="How long a report of a new part waits for its missing replacement."
    )
    resend_after_s: float = Field(
        default=1.0, description="Before an event is sent again; each next time waits twice as long, at most an hour."
    )
    deadline_s: float = Field(default=10.0, description="How long one request to the gateway may take in all.")
    senders: int = Field(default=256, ge=1, description="Devices of one route whose events are sent at once.")
    keep_sent_s: float = Field(default=7 * 86400.0, description="How long events are kept after they were sent.")
    keep_messages_s: float = Field(
        default=180 * 86400.0,
        description="How long messages are kept (PostgreSQL: whole months); of older ones a point a day remains.",
    )
    lease_s: float = Field(
        default=60.0, description="How long one relay keeps the others off a device whose events it is sending."
    )
    command_resend_s: float = Field(
        default=30.0, description="Before a command is sent again that a device has not answered."
    )
    key: str | None = _secret("Fernet key for the customers' tokens (several: comma-separated, newest first).")
    region: Literal["NA", "EU", "FE"] = Field(
        default="NA", description="Region of the customers that this skill is granted."
    )
    lwa: str = Field(default="https://api.amazon.com", description="Base URL of Login with Amazon.")
    lwa_client_id: str | None = Field(default=None, description="The skill's client id at Login with Amazon.")
    lwa_client_secret: str | None = _secret("Its secret.")
    refresh_ahead_s: float = Field(default=300.0, description="How long before its end an access token is refreshed.")
    web: str | None = Field(default=None, description="Serve the pages and the metrics at HOST:PORT.")
    web_token: str | None = _secret("What somebody must know to read them, at least 16 characters.")
    operators: str | None = _secret("Who may act on the pages: NAME:TOKEN, several comma-separated.")
    log_level: Literal["debug", "info", "warning"] = Field(
        default="info", description="What is logged: debug has each message and the fate of each event."
    )
    deliver: bool = Field(
        default=True, description="Send the queue to the gateway; without it, this process leaves that to another."
    )


SECRETS = tuple(name for name, field in Settings.model_fields.items() if not field.repr)


class _Outside(Settings, BaseSettings):
    """The same, as pydantic-settings wants it to look its sources up."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True)


def load(file: str | None = None, **given: Any) -> Settings:
    """Return the settings: those given, else from outside as this module's docstring says.

    `file` is the settings file, None for that of RELAY_SETTINGS. Raises ValueError, in one line that shows no value.
    """
    file = file or os.environ.get(f"{PREFIX}SETTINGS")
    if file and not Path(file).is_file():
        raise ValueError(f"there is no settings file {file}")
    folders = [os.environ.get("CREDENTIALS_DIRECTORY"), CONTAINER_SECRETS]
    secrets = [folder for folder in folders if folder and Path(folder).is_dir()]
    try:
        written = TomlConfigSettingsSource(_Outside, Path(file) if file else None)()
    except ValueError as error:
        raise ValueError(f"settings file {file}: {error}") from None
    environment = EnvSettingsSource(_Outside)()
    try:
        return Settings(**{**written, **SecretsSettingsSource(_Outside, secrets)(), **environment, **given})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "_".join(str(step) for step in first["loc"])
        raise ValueError(f"setting {name!r}: {first['msg']}") from None
