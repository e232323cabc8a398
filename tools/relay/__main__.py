"""wearmeter-relay, or python -m tools.relay: run the relay, or ask and tell the store of one.

Every setting is an option of `run`, the environment variable RELAY_ and its name, and a line of the settings file.
"""

from __future__ import annotations

import gc
import signal
import threading

import click
import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from tools.relay import logs
from tools.relay.accounts.skill import open_skill
from tools.relay.commands import certify, customers, devices, doubts, options, upkeep
from tools.relay.pages.server import Connection
from tools.relay.pages.web import application
from tools.relay.service import Relay
from tools.relay.settings import Settings


@click.group(context_settings={"max_content_width": 100})
@click.option("--settings", type=click.Path(dir_okay=False), help="TOML file of settings; also RELAY_SETTINGS.")
def cli(settings: str | None) -> None:
    """The relay from devices on MQTT to Alexa's event gateway.

    Each option that is a setting can also be given as RELAY_ and its name in the environment, as a secret's file
    relay_ and its name, or in the settings file; the first of these that has it counts.
    """


@cli.command()
@options.settings(*options.ALL)
def run(settings: Settings) -> None:
    """Run until interrupted."""
    logs.configure(settings.log_level)
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
    _collect_seldom()
    ended.wait()
    relay.stop()


def _collect_seldom() -> None:
    """Let the garbage collector look less often, and not at what stays for ever.

    Each message makes some two hundred small objects that hold no cycles; looking for cycles among them took a sixth of
    the time to accept it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@cli.command("serve-skill")
@click.option("--port", default=8090, show_default=True, help="On 127.0.0.1.")
@options.settings(*options.ACCOUNT)
def serve_skill(settings: Settings, port: int) -> None:
    """Answer directives over HTTP, as the deployed function would."""
    logs.configure()
    if settings.key is not None:
        options.accounts(settings)
    if settings.key is None:
        click.echo("no key: every device is shown to whoever asks; only tests on this machine are answered", err=True)
    skill = open_skill(settings, options.open_store(settings), for_tests=True)
    uvicorn.run(application(skill), host="127.0.0.1", port=port, log_level="warning", http=Connection)


for added in (*devices.COMMANDS, *certify.COMMANDS, *doubts.COMMANDS, *customers.COMMANDS, *upkeep.COMMANDS):
    cli.add_command(added)


def main() -> None:
    """The console script."""
    cli(prog_name="wearmeter-relay")


if __name__ == "__main__":
    main()
