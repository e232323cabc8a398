"""Commands about owners: claims, keys, and the ids that Amazon gives for parts."""

from __future__ import annotations

import click
from cryptography.fernet import Fernet

from tools.relay.accounts.claims import ClaimRefused, Claims
from tools.relay.accounts.fleet import Fleet
from tools.relay.commands import options
from tools.relay.settings import Settings


@click.command("claim-code")
@click.argument("device")
@options.settings("store")
def claim_code(settings: Settings, device: str) -> None:
    """Print a new claim code for the label of DEVICE; the one before is void."""
    store = options.open_store(settings)
    click.echo(Claims(store).new_code(device))
    options.note(store, "claim-code", device, "")


@click.command()
@click.argument("customer")
@click.argument("code")
@options.settings("store", "region")
def claim(settings: Settings, customer: str, code: str) -> None:
    """CUSTOMER, as Login with Amazon names them, has the device with this CODE."""
    store = options.open_store(settings)
    try:
        device = Claims(store).claim(customer, code, settings.region)
    except ClaimRefused as error:
        raise click.UsageError(str(error)) from error
    options.note(store, "claim", device, "")
    click.echo(f"{device} is theirs")


@click.command()
@click.argument("device")
@options.settings("store")
def release(settings: Settings, device: str) -> None:
    """DEVICE is its owner's no longer."""
    store = options.open_store(settings)
    options.known(store, device)
    Claims(store).release(device)
    options.note(store, "release", device, "")


@click.command()
@click.argument("model")
@click.argument("instance")
@click.argument("dash_id")
@options.settings("store")
def replenish(settings: Settings, model: str, instance: str, dash_id: str) -> None:
    """Amazon gave DASH_ID for consumable INSTANCE of MODEL; owners' Alexas are told."""
    store = options.open_store(settings)
    told = f"{Fleet(store).replenish(model, instance, dash_id)} devices reported to Alexa"
    options.note(store, "replenish", None, f"{model} {instance}: {told}")
    click.echo(told)


@click.command("new-key")
def new_key() -> None:
    """Print a new key for RELAY_KEY."""
    click.echo(Fernet.generate_key().decode())


@click.command("rotate-keys")
@options.settings(*options.ACCOUNT)
def rotate_keys(settings: Settings) -> None:
    """Encrypt every token anew with the first of the keys."""
    accounts = options.accounts(settings)
    told = f"{accounts.rotate_keys()} customers"
    options.note(accounts.store, "rotate-keys", None, told)
    click.echo(told)


COMMANDS = (claim_code, claim, release, replenish, new_key, rotate_keys)
