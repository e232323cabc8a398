"""Commands for whoever runs the relay: copies of its database, and whether it is well."""

from __future__ import annotations

from pathlib import Path

import click
import httpx

from tools.relay.commands import options
from tools.relay.settings import Settings
from tools.relay.store import backup as copies


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@options.settings("store")
def backup(settings: Settings, file: Path) -> None:
    """Copy the store into a new FILE, also while relays run."""
    try:
        copies.backup(settings.store, file)
    except copies.BackupError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{file.stat().st_size} bytes in {file}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@options.settings("store")
def restore(settings: Settings, file: Path) -> None:
    """Fill an empty store from a backup in FILE, and bring it to this relay's schema."""
    try:
        copies.restore(file, settings.store)
    except copies.BackupError as error:
        raise click.ClickException(str(error)) from error
    store = options.open_store(settings)
    options.note(store, "restore", None, str(file))
    store.close()
    click.echo(f"restored from {file}")


@click.command()
@options.settings("web")
def health(settings: Settings) -> None:
    """Ask the relay that serves its pages at --web whether it is well; exit status 1 where it is not."""
    if settings.web is None:
        raise click.UsageError("needs --web or RELAY_WEB: where the relay serves its pages")
    host, _, port = settings.web.rpartition(":")
    url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{port}/healthz"
    try:
        answer = httpx.get(url, timeout=4, trust_env=False)
        found = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise click.ClickException(f"{url}: {type(error).__name__}") from error
    click.echo(", ".join(found["reasons"]) or "well")
    if answer.status_code != 200:
        raise SystemExit(1)


COMMANDS = (backup, restore, health)
