"""Settings as command-line options, and what several commands begin with."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, get_args, get_origin

import click
from sqlalchemy.exc import SQLAlchemyError

from tools.relay import settings as of
from tools.relay.accounts.accounts import Accounts
from tools.relay.accounts.owners import owners_only
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.relay.store.store import Store

ACCOUNT = ("store", "key", "region", "lwa", "lwa_client_id", "lwa_client_secret")
ALL = tuple(Settings.model_fields)


def settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options for these settings; the command gets them together, with all the others, as `settings`."""

    def wrap(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_settings(**options: Any) -> Any:
            given = {name: options.pop(name) for name in names}
            try:
                file = click.get_current_context().find_root().params.get("settings")
                loaded = of.load(file, **{name: value for name, value in given.items() if value is not None})
            except ValueError as error:
                raise click.UsageError(str(error)) from error
            return command(settings=loaded, **options)

        for name in reversed(names):
            _option(name)(with_settings)
        return with_settings

    return wrap


def _option(name: str) -> Any:
    """The option of one setting. What is not given here is looked up elsewhere, so click knows no default."""
    field = Settings.model_fields[name]
    flag = "--" + name.replace("_", "-")
    if field.annotation is bool:
        flag += "/--no-" + name.replace("_", "-")
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else None
    text = field.description or ""
    if name in of.SECRETS:
        text += f" Better by {of.PREFIX}{name.upper()} or a secret's file."
    return click.option(
        flag, name, default=None, type=click.Choice(choices) if choices else None, help=text,
        show_default=None if field.default is None else str(field.default),
    )  # fmt: skip


def open_store(settings: Settings) -> Store:
    """Return the store. Raises click.ClickException in one line that shows no password."""
    try:
        return Store(settings.store, time.time, owners_only=owners_only(settings))
    except SQLAlchemyError as error:
        raise click.ClickException(f"the store cannot be opened: {str(error).splitlines()[0]}") from error


def note(store: Store, action: str, device: str | None, detail: str) -> None:
    """Write into the audit log that whoever is at the command line has done this. No customer is ever named there."""
    store.note(f"cli:{getpass.getuser()}", action, device, detail)


def known(store: Store, device: str) -> Any:
    """Return the device's row. Raises click.UsageError."""
    rows = store.rows(schema.devices, device=device)
    if not rows:
        raise click.UsageError(f"no device {device} has been heard of")
    return rows[0]


def accounts(settings: Settings) -> Accounts:
    """Return the customers of the store. Raises click.UsageError where there is no key."""
    if settings.key is None:
        raise click.UsageError("needs --key or RELAY_KEY: make one with `wearmeter-relay new-key`")
    try:
        return Accounts(settings, open_store(settings), time.time)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
