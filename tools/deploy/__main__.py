"""`python -m tools.deploy`: what `make deploy`, `monitor`, `status`, `crash`, `calibrate` and `erase-counters` run."""

from __future__ import annotations

import argparse
import json
import sys
import time

from tools.deploy import slots
from tools.deploy.device import Device, DeviceError


def deploy(device: Device, arguments: argparse.Namespace) -> None:
    done = slots.deploy(device, arguments.board, lambda line: print(line, flush=True))
    print(done.line)
    print(f"deployed: /{done.slot} counts")


def monitor(device: Device, arguments: argparse.Namespace) -> None:
    for line in device.lines(arguments.seconds):
        print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def status(device: Device, arguments: argparse.Namespace) -> None:
    from tools.deploy import inspect

    for line in inspect.show(inspect.status(device)):
        print(line)


def crashed(device: Device, arguments: argparse.Namespace) -> None:
    from tools.deploy import crash, inspect

    found = inspect.status(device)
    print(crash.located(crash.text(found["crash"]), found["sums"]) or "no crash is known")


def erase(device: Device, arguments: argparse.Namespace) -> None:
    from tools.deploy import inspect

    if not arguments.yes:
        print(f"All counts of the board at {device.port} will be lost: it starts a new life at zero.")
        if input("Type ERASE to go on: ").strip() != "ERASE":
            raise DeviceError("nothing was erased")
    print(f"erased: {', '.join(inspect.erase(device)) or 'there was nothing'}")
    print(slots.start(device))


def calibrate(device: Device, arguments: argparse.Namespace) -> None:
    from tools.deploy import calibrate as calibration

    found = calibration.calibrate(device, arguments.signal, arguments.driver, print)
    print("for the product file: " + json.dumps({"driver": arguments.driver, "signal": arguments.signal, **found}))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.deploy", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, command, text in (
        ("deploy", deploy, "put the firmware on the board and wait until it counts"),
        ("monitor", monitor, "show its console"),
        ("status", status, "counts, queue, link, faults, slots, heap, flash; nothing restarts"),
        ("crash", crashed, "the latest crash, with the source's file and line"),
        ("erase-counters", erase, "forget all counts; asks first"),
        ("calibrate", calibrate, "find the thresholds of a current-sense input"),
    ):
        sub = commands.add_parser(name, help=text)
        sub.add_argument("--port", required=True)
        sub.set_defaults(command=command)
        if name == "deploy":
            sub.add_argument("--board", required=True)
        if name == "monitor":
            sub.add_argument("--seconds", type=float, help="end after so long")
        if name == "calibrate":
            sub.add_argument("--driver", choices=["mains", "current"], default="mains")
            sub.add_argument("--signal", default="motor_current")
        if name == "erase-counters":
            sub.add_argument("--yes", action="store_true", help="do not ask")
    arguments = parser.parse_args()
    try:
        arguments.command(Device(arguments.port), arguments)
    except DeviceError as error:
        print(f"wearmeter: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print()
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
