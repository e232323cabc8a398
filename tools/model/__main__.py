"""python -m tools.model: check the specification in full, or replay traces against it (make model)."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from tools.model.checker import Broken, Sizes, Unavailable, check, specification
from tools.model.trace import read, refusals

# Together 1.3 million distinct states.
LARGE = (
    Sizes(life=1, generation=2, sequence=2, on_the_way=1, cuts=1),
    Sizes(life=1, generation=1, sequence=2, on_the_way=2, cuts=1, kills=1),
    Sizes(increment=True, life=1, generation=1, sequence=2, on_the_way=1, restores=1),
)
LIMIT_S = 300


@click.group()
def cli() -> None:
    """The protocol's specification."""


@cli.command()
@click.option("--minutes", default=LIMIT_S / 60, show_default=True, help="To give up after.")
def explore(minutes: float) -> None:
    """Visit every state of the large configurations; say what breaks."""
    began = time.monotonic()
    total = 0
    for sizes in LARGE:
        left_s = minutes * 60 - (time.monotonic() - began)
        found = check(
            {"Wearmeter": specification()}, "Wearmeter", sizes.configuration(), left_s, os.cpu_count() or 1, 6144
        )
        click.echo(f"{found.distinct:>9} states, {found.generated} steps: {sizes}")
        if found.violated is not None:
            click.echo("\n".join([f"{found.violated} is broken:", *found.path]))
            sys.exit(1)
        total += found.distinct
    click.echo(f"{total} states in {time.monotonic() - began:.0f} s; every invariant holds")


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def replay(files: tuple[Path, ...]) -> None:
    """Say which traces the specification refuses, and at which line."""
    refused = refusals([read(file) for file in files])
    for at, steps in refused.items():
        click.echo(f"{files[at]}:{steps + 1}: the specification does not allow this step")
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    try:
        cli(prog_name="python -m tools.model")
    except (Broken, Unavailable) as error:
        sys.exit(f"wearmeter: {error}")
