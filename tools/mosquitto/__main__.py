"""A broker for a trial: certificates, passwords, keys and configuration in a folder, and what to put into each unit's
config, which `make provision` takes. A folder outside the repository, for there are secrets in it.

python -m tools.mosquitto ~/wearmeter-broker --device 246f28a1b2c3
mosquitto -c ~/wearmeter-broker/mosquitto.conf
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
    keys = {device: secrets.token_bytes(32) for device in devices}
    folder = directory.resolve()
    broker = Mosquitto(folder, authority, passwords, root, tuple(hosts), keys=keys)
    for device in devices:
        authority.device(device).write(folder, device)
        tls = {"transport": "tls", "ca": str(folder / "ca.pem")}
        pair = {"client_cert": str(folder / f"{device}.pem"), "client_key": str(folder / f"{device}.key")}
        ways = {
            "with a password": {"port": broker.password_port, **tls, "user": device, "password": passwords[device]},
            "with a certificate of its own": {"port": broker.certificate_port, **tls, **pair},
            "with a key of its own (MicroPython 1.29)": {
                "port": broker.psk_port, "transport": "psk", "psk_identity": device, "psk_key": keys[device].hex(),
            },
        }  # fmt: skip
        for way, entry in ways.items():
            click.echo(f"{device}, {way}:")
            click.echo(f'  "broker": {json.dumps({"host": hosts[0], **entry})}, "device": {json.dumps(device)}')
    click.echo(f"relay: RELAY_BROKER_USER=relay RELAY_BROKER_PASSWORD={passwords['relay']}")
    click.echo(f"start it: mosquitto -c {directory}/mosquitto.conf")


if __name__ == "__main__":
    main()
