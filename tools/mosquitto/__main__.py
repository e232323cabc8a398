"""A broker for a trial: certificates, passwords and configuration in a folder, and what to put into config.json.

python -m tools.mosquitto build/mosquitto --device 246f28a1b2c3
mosquitto -c build/mosquitto/mosquitto.conf
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import click

from tools.mosquitto.broker import Mosquitto
from tools.mosquitto.certificates import Authority


@click.command(help=__doc__)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--device", "devices", multiple=True, help="A device's id; again for each.")
@click.option("--host", "hosts", multiple=True, default=("localhost", "127.0.0.1"), help="What the broker is called.")
@click.option("--root", default="wearmeter", show_default=True, help="The topics' root.")
def main(directory: Path, devices: tuple[str, ...], hosts: tuple[str, ...], root: str) -> None:
    if (directory / "mosquitto.conf").exists():
        raise click.ClickException(f"{directory} has a mosquitto.conf already; its certificates are not made anew")
    authority = Authority()
    passwords = {user: secrets.token_urlsafe(18) for user in (*devices, "relay")}
    broker = Mosquitto(directory.resolve(), authority, passwords, root, tuple(hosts))
    for device in devices:
        authority.device(device).write(directory, device)
        entry = {"host": hosts[0], "port": broker.password_port, "transport": "tls", "ca": "/ca.pem"}
        click.echo(f"{device}: {json.dumps({**entry, 'user': device, 'password': passwords[device]})}")
    click.echo(f"relay: RELAY_BROKER_USER=relay RELAY_BROKER_PASSWORD={passwords['relay']}")
    click.echo(f"start it: mosquitto -c {directory}/mosquitto.conf   (the CA for devices: {directory}/ca.pem)")


if __name__ == "__main__":
    main()
