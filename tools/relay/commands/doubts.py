"""Messages kept aside, and a device that the relay no longer understands. Each command goes to the audit log."""

from __future__ import annotations

import click

from tools.relay.commands import options
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.relay.store.store import Refusal

_reason = click.option("--reason", required=True, help="Why; kept in the audit log.")


@click.command("kept-aside")
@click.argument("device")
@options.settings("store")
def kept_aside(settings: Settings, device: str) -> None:
    """List the messages of DEVICE that were kept aside: number, sequence, reason."""
    store = options.open_store(settings)
    options.known(store, device)
    for row in store.rows(schema.quarantine, device=device):
        click.echo(f"{row.id}  epoch {row.epoch}  sequence {row.sequence}  {row.reason}")


@click.command()
@click.argument("number", type=int)
@_reason
@options.settings("store")
def readmit(settings: Settings, number: int, reason: str) -> None:
    """Believe the message kept aside under NUMBER, whatever the relay holds against it. Alexa is told what it says."""
    store = options.open_store(settings)
    try:
        device = store.readmit(number)
    except Refusal as error:
        raise click.UsageError(str(error)) from error
    options.note(store, "readmit", device, f"{reason} (message {number})")
    click.echo(f"message {number} of {device} is accepted")


@click.command()
@click.argument("device")
@_reason
@options.settings("store")
def reset(settings: Settings, device: str, reason: str) -> None:
    """Forget what the relay believes of DEVICE: it begins anew with its next message. Accepted messages stay."""
    store = options.open_store(settings)
    options.known(store, device)
    epochs = store.reset(device)
    options.note(store, "reset", device, f"{reason} (epochs forgotten: {epochs})")
    click.echo(f"{device} begins anew with its next message")


COMMANDS = (kept_aside, readmit, reset)
