"""python -m tools.demo: a scenario through firmware, broker, relay and Alexa's event gateway, and what came of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.text import Text

from tools.demo import picture
from tools.demo.broker import BrokerError
from tools.demo.narrator import Narrator
from tools.demo.progress import Progress, final_table
from tools.demo.run import Run, Stopped, quiet_logs
from tools.setup.firmware import BUILD
from tools.setup.micropython import NoMicroPython
from tools.simulator import Scenario, ScenarioError
from tools.simulator.vacuum import SimulatorError

BROKEN, BAD_INPUT, STOPPED = 1, 2, 130
STOP_S = 15.0  # more than an orderly end takes
FILES = ("result.json", "timeline.html", "events.jsonl", "rejected.jsonl")


@click.command()
@click.option("--scenario", default="week", metavar="FILE", help="A TOML file, or the name of one that comes along.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Of the random household; default: the scenario's.")
@click.option("--out", default="build/demo", type=click.Path(path_type=Path), help="Folder for what it writes.")
def main(scenario: str, seed: int | None, out: Path) -> None:
    """Run a scenario; exit status 0 only if the promise held, 2 for a scenario that cannot be."""
    console = Console()
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        """Asks for the end: an exception just anywhere, in the middle of a transaction say, might never get there."""
        if not stopping.is_set():
            stopping.set()
            last_resort = threading.Timer(STOP_S, os._exit, (STOPPED,))
            last_resort.daemon = True
            last_resort.start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        sys.exit(demo(scenario, seed, out.resolve(), console, stopping))
    except Stopped:
        console.print("stopped")
        sys.exit(STOPPED)


def demo(name: str, seed: int | None, out: Path, console: Console, stopping: threading.Event) -> int:
    """Returns the exit status. Raises Stopped."""
    try:
        scenario = Scenario.load(name)
        out.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            (out / file).unlink(missing_ok=True)
        progress = Progress(console)
        with quiet_logs(out / "relay.log"):
            run = Run(scenario, seed, out, BUILD, progress, stopping)
            title = Text(f"{scenario.title} ({scenario.path.name}, seed {run.seed})", style="bold")
            console.print(title)
            with progress:
                record = run.run()
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        print(f"wearmeter: demo: {error}", file=sys.stderr)
        return BAD_INPUT
    except (SimulatorError, NoMicroPython, BrokerError) as error:
        print(f"wearmeter: demo: {error}", file=sys.stderr)
        return BROKEN
    narrator = Narrator(record)
    story = narrator.story()
    result = narrator.result_json(story)
    (out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    (out / "timeline.html").write_text(picture.html(story), encoding="utf-8")
    console.print(final_table(story.rows))
    console.print(
        f"{result['virtual_days']} days, {result['power_cuts']} power cuts, {record.holdings.messages} messages "
        f"(the largest {record.holdings.payload_bytes_max} bytes), {record.events} Alexa events, "
        f"{record.rejected} refused, in {record.wall_s:.1f} s",
        highlight=False,
        soft_wrap=True,
    )
    shown = out.relative_to(Path.cwd()) if out.is_relative_to(Path.cwd()) else out
    console.print(f"the run as a picture: {shown}/timeline.html", highlight=False, soft_wrap=True)
    if not story.holds:
        console.print(Text("the promise was broken: see the table", style="bold red"))
        return BROKEN
    console.print(Text("the promise held: true - 1 s a cut <= counted <= true, and all of it accepted", style="green"))
    return 0


if __name__ == "__main__":
    main()
