"""`python -m tools.provision`: what `make provision`, `make factory` and `make seal` run."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tools.deploy.device import Device, DeviceError
from tools.provision import factory, unit
from tools.provision.files import ProvisionError
from tools.setup import boards
from tools.simulator.scenario import ROOT


def tell(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.provision", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("unit", help="one unit on a port; asks for what the config lacks")
    one.add_argument("--config", type=Path, help="JSON, outside the repository")
    many = commands.add_parser("factory", help="images for a list of units")
    many.add_argument("--fleet", type=Path, required=True)
    many.add_argument("--config", type=Path, required=True, help="what all units have in common, JSON")
    many.add_argument("--out", type=Path, default=ROOT / "build" / "factory")
    for sub in (one, many):
        sub.add_argument("--board", choices=boards.names(), default="esp32_generic")
        sub.add_argument("--product", default="vacuum", help="name in firmware/products, or a file")
    end = commands.add_parser("seal", help="end a unit's factory test: counts at zero, console closed")
    end.add_argument("--report", type=Path, help="append the result to this file, a line of JSON each")
    for sub in (one, end):
        sub.add_argument("--port", required=True)
    arguments = parser.parse_args()
    try:
        if arguments.command == "unit":
            unit.provision(Device(arguments.port), arguments.board, arguments.product, arguments.config, tell)
        elif arguments.command == "factory":
            made = factory.make(
                arguments.fleet, arguments.config, arguments.product, arguments.board, arguments.out, tell
            )
            print(f"{len(made)} units in {arguments.out}; flash one with: sh {arguments.out}/flash.sh SERIAL PORT")
        else:
            report = unit.seal(Device(arguments.port), tell)
            if arguments.report:
                with open(arguments.report, "a") as file:
                    file.write(json.dumps(report, sort_keys=True) + "\n")
    except (ProvisionError, DeviceError) as error:
        print(f"wearmeter: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print()
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
