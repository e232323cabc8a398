"""python -m tools.alexa_gateway: run the stand-in by itself."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from .gateway import Gateway


@click.command(context_settings={"auto_envvar_prefix": "ALEXA_GATEWAY"})
@click.option("--port", default=8088, show_default=True, help="On 127.0.0.1; 0: any free one.")
@click.option("--token", multiple=True, default=["token"], show_default=True, help="A bearer token to take.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/alexa_gateway"), show_default=True)
def main(port: int, token: tuple[str, ...], out: Path) -> None:
    """Answer POST /v3/events on loopback until interrupted; record events.jsonl and rejected.jsonl."""
    gateway = Gateway(out, set(token), port)
    try:
        url = gateway.start()
    except OSError as error:
        raise click.ClickException(f"port {port}: {error.strerror}") from error
    click.echo(f"{url}/v3/events, recording in {out}")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    gateway.stop()


if __name__ == "__main__":
    main(prog_name="python -m tools.alexa_gateway")
