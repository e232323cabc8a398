"""python -m tools.relay: run the relay, or ask and tell the store of one. Each option is also an environment variable,
RELAY_ and its name: RELAY_BROKER, RELAY_STORE ..."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from dataclasses import fields
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from . import schema, wire
from .service import Relay
from .settings import CUMULATIVE, INCREMENT, Settings
from .skill import Skill
from .store import Store, load_state

_DEFAULT = Settings()


def _option(name: str, **more: Any) -> Any:
    """An option for the setting of the same name, with the setting's default."""
    default = getattr(_DEFAULT, name)
    kind = more.pop("type", float if isinstance(default, float) else int if type(default) is int else str)
    return click.option("--" + name.replace("_", "-"), name, default=default, type=kind, show_default=True, **more)


STORE = _option("store", help="Database: sqlite:///file or postgresql://user@host/name.")


def _open(url: str) -> Store:
    try:
        return Store(url, time.time)
    except SQLAlchemyError as error:
        raise click.ClickException(f"store {url.split('@')[-1]}: {str(error).splitlines()[0]}") from error


@click.group(context_settings={"auto_envvar_prefix": "RELAY", "max_content_width": 100})
def cli() -> None:
    """The relay from devices on MQTT to Alexa's event gateway."""


# RELAY_STORE, not RELAY_RUN_STORE: one variable for every command.
_ENVIRONMENT = {"auto_envvar_prefix": "RELAY"}


@cli.command(context_settings=_ENVIRONMENT)
@_option("broker", help="MQTT broker, HOST:PORT.")
@_option("broker_user", help="User name at the broker.")
@_option("broker_password", help="Password at the broker; better by RELAY_BROKER_PASSWORD.")
@_option("broker_ca", help="File of the CA that signed the broker's certificate; turns TLS on.")
@_option("topic_root", help="Topics are ROOT/DEVICE/up, down, status, about.")
@_option("shared_group", help="Share the load with other relays: MQTT 5 shared subscription of this name.")
@STORE
@_option("gateway", help="Base URL that every event goes to; without it, by the region of the device's owner.")
@_option("token", help="Bearer token for --gateway; better by RELAY_TOKEN.")
@_option("test_gateway", help="Base URL for events of test devices; without it they go nowhere.")
@_option(
    "usage", type=click.Choice([CUMULATIVE, INCREMENT]), help="What usage tells: since fitted, or since last told."
)
@_option("gap_wait_s", help="How long a report of a new part waits for its missing replacement.")
def run(**options: Any) -> None:
    """Run until interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    names = {field.name for field in fields(Settings)}
    relay = Relay(Settings(**{name: value for name, value in options.items() if name in names}))
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        relay.start()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except SQLAlchemyError as error:
        raise click.ClickException(f"the store cannot be opened: {str(error).splitlines()[0]}") from error
    ended.wait()
    relay.stop()


@cli.command(context_settings=_ENVIRONMENT)
@STORE
@click.argument("device")
@click.argument("operation", type=click.Choice(["replaced", "undo", "report"]))
@click.argument("instance", required=False)
def command(store: str, device: str, operation: str, instance: str | None) -> None:
    """Queue a command for DEVICE: `replaced INSTANCE`, `undo INSTANCE` or `report`."""
    opened = _open(store)
    rows = opened.rows(schema.devices, device=device)
    if not rows:
        raise click.UsageError(f"no device {device} has been heard of")
    arguments: list[int] = []
    if operation != "report":
        if rows[0].about is None or rows[0].epoch is None:
            raise click.UsageError(f"device {device} has not yet described itself and reported")
        instances = [consumable.instance for consumable in wire.decode_about(rows[0].about).consumables]
        if instance not in instances:
            raise click.UsageError(f"INSTANCE is one of {', '.join(instances)}")
        index = instances.index(instance)
        (found,) = opened.rows(schema.epochs, device=device, epoch=rows[0].epoch)
        part = load_state(found.state).parts.get(index)
        generation = part.generation if part is not None else 1
        # The device speaks of a new part only once its replacement cannot be undone: one to undo is not yet known here.
        arguments = [index, generation + (operation == "undo")]
    code = {"replaced": wire.REPLACED, "undo": wire.UNDO, "report": wire.REPORT_NOW}[operation]
    number = opened.add_command(device, code, arguments)
    click.echo(f"command {number} waits for {device}")


@cli.command(context_settings=_ENVIRONMENT)
@STORE
def show(store: str) -> None:
    """Print what the relay holds, as JSON: devices, use of each part, counters, what was kept aside."""
    opened = _open(store)
    hidden = ("about", "payload", "claim", "customer", "told")

    def table(of: Any) -> list[dict[str, Any]]:
        return [{name: value for name, value in row._mapping.items() if name not in hidden} for row in opened.rows(of)]

    held: dict[str, Any] = {name: table(schema.metadata.tables[name]) for name in ("devices", "usage", "commands")}
    held |= {"quarantine": table(schema.quarantine), "counters": opened.counts()}
    json.dump(held, sys.stdout, indent=2)
    click.echo()


@cli.command(context_settings=_ENVIRONMENT)
@STORE
def discover(store: str) -> None:
    """Print the Discover.Response for all devices."""
    directive = {"directive": {"header": {"namespace": "Alexa.Discovery", "name": "Discover"}}}
    json.dump(Skill(_open(store)).handler(directive), sys.stdout, indent=2, ensure_ascii=False)
    click.echo()


if __name__ == "__main__":
    cli(prog_name="python -m tools.relay")
