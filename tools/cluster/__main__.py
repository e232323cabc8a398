"""python -m tools.cluster: kill servers and relays for a while and print what became of every message."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click

from tools.cluster.servers import Missing, Servers
from tools.cluster.storm import storm
from tools.relay.store.stores_for_tests import Cluster


@click.command()
@click.option("--seconds", default=120.0, show_default=True, help="How long to go on killing.")
@click.option("--every", default=3.0, show_default=True, help="Seconds from one kill to the next, on average.")
@click.option("--devices", default=30, show_default=True, help="A multiple of three.")
@click.option("--seed", type=int, help="Of what is killed when; drawn if not given.")
def main(seconds: float, every: float, devices: int, seed: int | None) -> None:
    """Three NATS servers, a PostgreSQL, three relays, a swarm; kill -9 of one of them every few seconds."""
    seed = int(time.time()) if seed is None else seed
    try:
        database = Cluster(durable=True)
    except RuntimeError as error:
        sys.exit(f"wearmeter: {error}")
    try:
        with tempfile.TemporaryDirectory() as folder, Servers(Path(folder)) as servers:
            account = storm(
                Path(folder), database.url(), servers, seconds, seed, devices, (every / 2, every * 3 / 2)
            )  # fmt: skip
    except Missing as error:
        sys.exit(f"wearmeter: {error}")
    finally:
        database.stop()
    click.echo(f"seed {seed}: {account}")
    waits = ", ".join(f"{name} {account.wait_s(share):.2f} s" for name, share in _SHARES.items())
    click.echo(f"a device waited for its acknowledgment: {waits}")
    click.echo("\n".join(account.faults[:20]) or "nothing lost, nothing told twice, every device's order kept")
    sys.exit(1 if account.faults else 0)


_SHARES = {"half of the time at most": 0.5, "99 % at most": 0.99, "99.9 % at most": 0.999, "the longest": 1.0}

if __name__ == "__main__":
    main(prog_name="python -m tools.cluster")
