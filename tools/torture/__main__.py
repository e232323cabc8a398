"""Torture the counter and the link for a while: python -m tools.torture [--seconds N] [--seed N] [--replay ID]

Each module named in MODULES has `run(report, seconds, seed)` and `replay(report, id)`; an id begins with its name.
Exit status 0: no promise was broken, 1: one was (each is printed with its replay id), 2: it could not run.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import random
import sys

from tools.setup import firmware, micropython, umqtt
from tools.torture.report import Report

# The share of the time that each gets.
MODULES = {"power": 0.55, "damage": 0.1, "kills": 0.2, "network": 0.15}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300, help="time budget (default 300)")
    parser.add_argument("--seed", type=int, default=None, help="draws the histories (default: another each time)")
    parser.add_argument("--only", choices=sorted(MODULES), help="only this part")
    parser.add_argument("--replay", metavar="ID", help="replay one failure")
    options = parser.parse_args()
    seed = random.randrange(10000) if options.seed is None else options.seed
    try:
        umqtt.fetch()
        firmware.build()
        micropython.find()
    except (umqtt.UmqttError, firmware.BuildError, micropython.NoMicroPython) as error:
        print(f"wearmeter: torture: {error}", file=sys.stderr)
        return 2
    there = [name for name in MODULES if importlib.util.find_spec(f"tools.torture.{name}")]
    report = Report(options.seconds, seed, os.cpu_count() or 1)
    try:
        if options.replay:
            name, _, rest = options.replay.partition("/")
            if name not in there or not rest:
                print(f"wearmeter: torture: {options.replay} is no replay id ({', '.join(there)})", file=sys.stderr)
                return 2
            importlib.import_module(f"tools.torture.{name}").replay(report, rest)
        else:
            chosen = [options.only] if options.only else there
            shares = sum(MODULES[name] for name in chosen)
            with report:
                for name in chosen:
                    module = importlib.import_module(f"tools.torture.{name}")
                    module.run(report, options.seconds * MODULES[name] / shares, seed)
    except KeyboardInterrupt:
        print("stopped")
    print(report.summary())
    for replay_id in report.failures:
        print(f"  make torture REPLAY={replay_id}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
