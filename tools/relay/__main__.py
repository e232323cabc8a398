"""python -m tools.relay: run the relay, or ask and tell the store of one.

Each option is also an environment variable, RELAY_ and its name: RELAY_BROKER, RELAY_STORE, RELAY_KEY ...
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import click
import uvicorn
from cryptography.fernet import Fernet
from sqlalchemy.exc import SQLAlchemyError

from tools.relay import logs
from tools.relay.accounts.accounts import Accounts
from tools.relay.accounts.fleet import ClaimRefused, Fleet
from tools.relay.accounts.skill import open_skill
from tools.relay.core import wire
from tools.relay.delivery.gateway_client import REGIONS
from tools.relay.pages.web import application
from tools.relay.service import Relay
from tools.relay.settings import CUMULATIVE, INCREMENT, Settings
from tools.relay.store import schema
from tools.relay.store.store import Store, load_state

_DEFAULT = Settings()
_HELP = {
    "broker": "MQTT broker, HOST:PORT.",
    "broker_user": "User name at the broker.",
    "broker_password": "Password at the broker; better by RELAY_BROKER_PASSWORD.",
    "broker_ca": "File of the CA that signed the broker's certificate; turns TLS on.",
    "topic_root": "Topics are ROOT/DEVICE/up, down, status, about.",
    "shared_group": "Share the load with other relays: MQTT 5 shared subscription of this name.",
    "store": "Database: sqlite:///FILE or postgresql://USER@HOST/NAME.",
    "gateway": "Base URL that every event goes to, instead of that of the owner's region.",
    "token": "Bearer token for --gateway, if one serves all; better by RELAY_TOKEN.",
    "test_gateway": "Base URL for events of test devices; without it they go nowhere.",
    "usage": "What usage tells: the time since the part was fitted, or since last told.",
    "web": "Serve the pages and the metrics at HOST:PORT.",
    "web_token": "What must be known to read them; better by RELAY_WEB_TOKEN.",
    "gap_wait_s": "How long a report of a new part waits for its missing replacement.",
    "key": "Fernet key for the customers' tokens (several: newest first); better by RELAY_KEY.",
    "region": "Region of the customers that this skill is granted.",
    "lwa": "Base URL of Login with Amazon.",
    "lwa_client_id": "The skill's client id at Login with Amazon.",
    "lwa_client_secret": "Its secret; better by RELAY_LWA_CLIENT_SECRET.",
}
_CHOICES = {"usage": [CUMULATIVE, INCREMENT], "region": list(REGIONS)}
_RUN = [name for name in _HELP]
_ACCOUNT = ["store", "key", "region", "lwa", "lwa_client_id", "lwa_client_secret"]


def _settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options for these settings; the command gets them together as `settings`."""

    def wrap(command: Callable[..., Any]) -> Callable[..., Any]:
        def with_settings(**options: Any) -> Any:
            chosen = {name: options.pop(name) for name in names}
            return command(settings=Settings(**chosen), **options)

        with_settings.__name__, with_settings.__doc__ = command.__name__, command.__doc__
        with_settings.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
        for name in reversed(names):
            default = getattr(_DEFAULT, name)
            kind = click.Choice(_CHOICES[name]) if name in _CHOICES else int if type(default) is int else str
            flag, variable = "--" + name.replace("_", "-"), f"RELAY_{name.upper()}"
            click.option(flag, name, default=default, type=kind, envvar=variable, show_default=True, help=_HELP[name])(
                with_settings
            )
        return with_settings

    return wrap


def _open(settings: Settings) -> Store:
    try:
        return Store(settings.store, time.time)
    except SQLAlchemyError as error:
        raise click.ClickException(f"the store cannot be opened: {str(error).splitlines()[0]}") from error


def _known(store: Store, device: str) -> Any:
    rows = store.rows(schema.devices, device=device)
    if not rows:
        raise click.UsageError(f"no device {device} has been heard of")
    return rows[0]


def _accounts(settings: Settings) -> Accounts:
    if settings.key is None:
        raise click.UsageError("needs --key or RELAY_KEY: make one with `python -m tools.relay new-key`")
    try:
        return Accounts(settings, _open(settings), time.time)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@click.group(context_settings={"max_content_width": 100})
def cli() -> None:
    """The relay from devices on MQTT to Alexa's event gateway."""


@cli.command()
@_settings(*_RUN)
def run(settings: Settings) -> None:
    """Run until interrupted."""
    logs.configure()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        relay = Relay(settings)
        relay.start()
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except SQLAlchemyError as error:
        raise click.ClickException(f"the store cannot be opened: {str(error).splitlines()[0]}") from error
    ended.wait()
    relay.stop()


@cli.command("serve-skill")
@click.option("--port", default=8090, show_default=True, help="On 127.0.0.1.")
@_settings(*_ACCOUNT)
def serve_skill(settings: Settings, port: int) -> None:
    """Answer directives over HTTP, as the deployed function would."""
    logs.configure()
    if settings.key is not None:
        _accounts(settings)
    skill = open_skill(settings, _open(settings))
    uvicorn.run(application(skill), host="127.0.0.1", port=port, log_level="warning")


@cli.command()
@click.argument("device")
@click.argument("operation", type=click.Choice(["replaced", "undo", "report"]))
@click.argument("instance", required=False)
@_settings("store")
def command(settings: Settings, device: str, operation: str, instance: str | None) -> None:
    """Queue a command for DEVICE: `replaced INSTANCE`, `undo INSTANCE` or `report`."""
    store = _open(settings)
    row = _known(store, device)
    arguments: list[int] = []
    if operation != "report":
        if row.about is None or row.epoch is None:
            raise click.UsageError(f"device {device} has not yet described itself and reported")
        instances = [consumable.instance for consumable in wire.decode_about(row.about).consumables]
        if instance not in instances:
            raise click.UsageError(f"INSTANCE is one of {', '.join(instances)}")
        index = instances.index(instance)
        (found,) = store.rows(schema.epochs, device=device, epoch=row.epoch)
        part = load_state(found.state).parts.get(index)
        generation = part.generation if part is not None else 1
        # The device speaks of a new part only once its replacement cannot be undone: one to undo is not yet known here.
        arguments = [index, generation + (operation == "undo")]
    code = {"replaced": wire.REPLACED, "undo": wire.UNDO, "report": wire.REPORT_NOW}[operation]
    click.echo(f"command {store.add_command(device, code, arguments)} waits for {device}")


@cli.command("send-now")
@click.argument("device")
@_settings("store")
def send_now(settings: Settings, device: str) -> None:
    """Tell Alexa again what is known of DEVICE, and ask it for a fresh report if it is online."""
    store = _open(settings)
    row = _known(store, device)
    click.echo(f"{Fleet(store).send_now(device)} events queued")
    if row.online:
        store.add_command(device, wire.REPORT_NOW, [])
        click.echo(f"{device} is asked for a report")


@cli.command()
@click.argument("device")
@_settings("store")
def replay(settings: Settings, device: str) -> None:
    """Queue the dead letters of DEVICE again, but for those that newer events have overtaken."""
    store = _open(settings)
    _known(store, device)
    again, stay = Fleet(store).replay(device)
    click.echo(f"{again} events queued again, {stay} overtaken")


@cli.command("test-device")
@click.argument("device")
@click.option("--off", is_flag=True, help="It is a customer's after all.")
@_settings("store")
def test_device(settings: Settings, device: str, off: bool) -> None:
    """Mark DEVICE as a test device: its events never reach the real gateway."""
    Fleet(_open(settings)).mark_test(device, not off)


@cli.command("claim-code")
@click.argument("device")
@_settings("store")
def claim_code(settings: Settings, device: str) -> None:
    """Print a new claim code for the label of DEVICE; the one before is void."""
    click.echo(Fleet(_open(settings)).new_code(device))


@cli.command()
@click.argument("customer")
@click.argument("code")
@_settings("store", "region")
def claim(settings: Settings, customer: str, code: str) -> None:
    """CUSTOMER, as Login with Amazon names them, has the device with this CODE."""
    try:
        click.echo(f"{Fleet(_open(settings)).claim(customer, code, settings.region)} is theirs")
    except ClaimRefused as error:
        raise click.UsageError(str(error)) from error


@cli.command()
@click.argument("device")
@_settings("store")
def release(settings: Settings, device: str) -> None:
    """DEVICE is its owner's no longer."""
    store = _open(settings)
    _known(store, device)
    Fleet(store).release(device)


@cli.command()
@click.argument("device")
@click.argument("name")
@_settings("store")
def name(settings: Settings, device: str, name: str) -> None:
    """Call DEVICE by this NAME in Alexa."""
    if not 1 <= len(name) <= 128:
        raise click.UsageError("NAME has 1 to 128 characters")
    Fleet(_open(settings)).name(device, name)


@cli.command()
@click.argument("model")
@click.argument("instance")
@click.argument("dash_id")
@_settings("store")
def replenish(settings: Settings, model: str, instance: str, dash_id: str) -> None:
    """Amazon gave DASH_ID for consumable INSTANCE of MODEL; owners' Alexas are told."""
    click.echo(f"{Fleet(_open(settings)).replenish(model, instance, dash_id)} devices reported to Alexa")


@cli.command("new-key")
def new_key() -> None:
    """Print a new key for RELAY_KEY."""
    click.echo(Fernet.generate_key().decode())


@cli.command("rotate-keys")
@_settings(*_ACCOUNT)
def rotate_keys(settings: Settings) -> None:
    """Encrypt every token anew with the first of the keys."""
    click.echo(f"{_accounts(settings).rotate_keys()} customers")


@cli.command()
@_settings("store")
def show(settings: Settings) -> None:
    """Print what the relay holds, as JSON: devices, use of each part, commands, what was kept aside, dead letters."""
    store = _open(settings)
    hidden = ("about", "payload", "claim", "customer", "told", "body")

    def table(of: Any, **equal: Any) -> list[dict[str, Any]]:
        rows = store.rows(of, **equal)
        return [{name: value for name, value in row._mapping.items() if name not in hidden} for row in rows]

    held: dict[str, Any] = {name: table(schema.metadata.tables[name]) for name in ("devices", "usage", "commands")}
    held |= {"quarantine": table(schema.quarantine), "dead": table(schema.queue, state="dead")}
    held |= {"queued": store.count(schema.queue, state="queued"), "counters": store.counts()}
    json.dump(held, sys.stdout, indent=2)
    click.echo()


@cli.command()
@_settings("store")
def discover(settings: Settings) -> None:
    """Print the Discover.Response for all devices."""
    header = {"namespace": "Alexa.Discovery", "name": "Discover", "payloadVersion": "3"}
    skill = open_skill(Settings(store=settings.store), _open(settings))
    json.dump(skill.handler({"directive": {"header": header}}), sys.stdout, indent=2, ensure_ascii=False)
    click.echo()


if __name__ == "__main__":
    cli(prog_name="python -m tools.relay")
