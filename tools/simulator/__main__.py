"""`python -m tools.simulator`: run a scenario, or put the virtual board on a pseudo-terminal for mpremote."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from tools.simulator import Scenario, ScenarioError, Simulator
from tools.simulator.real_board import RealBoard
from tools.simulator.scenario import ROOT
from tools.simulator.vacuum import Progress, SimulatorError


def run(arguments: argparse.Namespace) -> int:
    """A scenario, with the console on standard output; the broker, if any, is the caller's."""

    def show(progress: Progress) -> None:
        if progress.line:
            print(f"day {progress.day} {progress.at_ms / 1000:.3f} {progress.line.text}")

    scenario = Scenario.load(arguments.scenario)
    simulator = Simulator(scenario, arguments.seed, arguments.out, arguments.broker_port, on_progress=show)
    result = simulator.run()
    for part in result.generations:
        print(f"{part.instance} {part.generation}: true {part.true_ms} ms, counted {part.counted_ms} ms")
    return 0


def board(arguments: argparse.Namespace) -> int:
    """The board in real time until a signal; SIGUSR1 pulls the plug, SIGUSR2 puts it back."""
    over = threading.Event()
    wanted = [True]
    changed = threading.Event()

    def plug(state: bool) -> None:
        wanted[0] = state
        changed.set()

    signal.signal(signal.SIGUSR1, lambda *_: plug(False))
    signal.signal(signal.SIGUSR2, lambda *_: plug(True))
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, lambda *_: over.set())
    with RealBoard(arguments.flash, arguments.pty_link) as unit:
        print(f"the virtual board is at {arguments.pty_link}", flush=True)
        while not over.is_set():
            changed.wait(0.2)
            changed.clear()
            if wanted[0] and not over.is_set():
                unit.plug_in()
            else:
                unit.unplug()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.simulator", description=__doc__)
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run", help="run a scenario")
    running.add_argument("scenario", help="a TOML file, or the name of one in tools/simulator/scenarios")
    running.add_argument("--seed", type=int)
    running.add_argument("--out", type=Path, default=ROOT / "build" / "simulator")
    running.add_argument("--broker-port", type=int, default=1883, help="of a broker on 127.0.0.1")
    running.set_defaults(command=run)
    boarding = commands.add_parser("board", help="the board in real time on a pseudo-terminal")
    boarding.add_argument("--pty-link", type=Path, required=True, help="symlink to make to the terminal")
    boarding.add_argument("--flash", type=Path, required=True, help="image file; made if it is not there")
    boarding.set_defaults(command=board)
    arguments = parser.parse_args()
    try:
        return int(arguments.command(arguments))
    except (ScenarioError, SimulatorError) as error:
        print(f"wearmeter: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
