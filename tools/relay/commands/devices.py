"""Commands about devices: what they are told, what Alexa is told of them, what the relay holds."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from tools.relay.accounts.fleet import Fleet
from tools.relay.accounts.skill import open_skill
from tools.relay.commands import options
from tools.relay.core import state, wire
from tools.relay.settings import Settings
from tools.relay.store import schema


@click.command()
@click.argument("device")
@click.argument("operation", type=click.Choice(["replaced", "undo", "report"]))
@click.argument("instance", required=False)
@options.settings("store")
def command(settings: Settings, device: str, operation: str, instance: str | None) -> None:
    """Queue a command for DEVICE: `replaced INSTANCE`, `undo INSTANCE` or `report`."""
    store = options.open_store(settings)
    row = options.known(store, device)
    arguments: list[int] = []
    if operation != "report":
        if row.about is None or row.epoch is None:
            raise click.UsageError(f"device {device} has not yet described itself and reported")
        ids = {part.instance: part.id for part in wire.decode_about(row.about).consumables}
        if instance not in ids:
            raise click.UsageError(f"INSTANCE is one of {', '.join(ids)}")
        consumable = ids[instance]
        (found,) = store.rows(schema.epochs, device=device, epoch=row.epoch)
        part = state.load(found.state).parts.get(consumable)
        generation = part.generation if part is not None else 1
        # The device speaks of a new part only once its replacement cannot be undone: one to undo is not yet known here.
        arguments = [consumable, generation + (operation == "undo")]
    code = {"replaced": wire.REPLACED, "undo": wire.UNDO, "report": wire.REPORT_NOW}[operation]
    number = store.add_command(device, code, arguments)
    options.note(store, operation, device, f"command {number} {instance or ''}".strip())
    click.echo(f"command {number} waits for {device}")


@click.command("send-now")
@click.argument("device")
@options.settings("store")
def send_now(settings: Settings, device: str) -> None:
    """Tell Alexa again what is known of DEVICE, and ask it for a fresh report if it is online."""
    store = options.open_store(settings)
    row = options.known(store, device)
    told = f"{Fleet(store).send_now(device)} events queued"
    options.note(store, "send-now", device, told)
    click.echo(told)
    if row.online:
        store.add_command(device, wire.REPORT_NOW, [])
        click.echo(f"{device} is asked for a report")


@click.command()
@click.argument("device")
@options.settings("store")
def replay(settings: Settings, device: str) -> None:
    """Queue the dead letters of DEVICE again, but for those that newer events have overtaken."""
    store = options.open_store(settings)
    options.known(store, device)
    again, stay = Fleet(store).replay(device)
    told = f"{again} events queued again, {stay} overtaken"
    options.note(store, "replay", device, told)
    click.echo(told)


@click.command("test-device")
@click.argument("device")
@click.option("--off", is_flag=True, help="It is a customer's after all.")
@options.settings("store")
def test_device(settings: Settings, device: str, off: bool) -> None:
    """Mark DEVICE as a test device: its events never reach the real gateway."""
    store = options.open_store(settings)
    Fleet(store).mark_test(device, not off)
    options.note(store, "customer" if off else "test", device, "")


@click.command()
@click.argument("device")
@click.argument("name")
@options.settings("store")
def name(settings: Settings, device: str, name: str) -> None:
    """Call DEVICE by this NAME in Alexa."""
    if not 1 <= len(name) <= 128:
        raise click.UsageError("NAME has 1 to 128 characters")
    store = options.open_store(settings)
    Fleet(store).name(device, name)
    options.note(store, "name", device, name)


@click.command()
@options.settings("store")
def show(settings: Settings) -> None:
    """Print what the relay holds, as JSON: devices, use of each part, commands, what was kept aside, dead letters."""
    store = options.open_store(settings)
    hidden = ("about", "payload", "claim", "customer", "told", "body")

    def table(of: Any, **equal: Any) -> list[dict[str, Any]]:
        rows = store.rows(of, **equal)
        return [{name: value for name, value in row._mapping.items() if name not in hidden} for row in rows]

    held: dict[str, Any] = {name: table(schema.metadata.tables[name]) for name in ("devices", "usage", "commands")}
    held |= {"quarantine": table(schema.quarantine), "dead": table(schema.queue, state="dead")}
    held |= {"queued": store.count(schema.queue, state="queued"), "counters": store.counts()}
    json.dump(held, sys.stdout, indent=2)
    click.echo()


@click.command()
@options.settings("store")
def discover(settings: Settings) -> None:
    """Print the Discover.Response for all devices."""
    header = {"namespace": "Alexa.Discovery", "name": "Discover", "payloadVersion": "3"}
    skill = open_skill(Settings(store=settings.store), options.open_store(settings), for_tests=True)
    json.dump(skill.handler({"directive": {"header": header}}), sys.stdout, indent=2, ensure_ascii=False)
    click.echo()


COMMANDS = (command, send_now, replay, test_device, name, show, discover)
