"""Cuts the power at every flash operation of histories: micropython cuts.py PLAN.json

The plan: {"path": where the firmware is, "files": {path on the device: hex}, "products": [packed product, one of a
single part], "erase_ms": what erasing a block takes, "histories": [names], "depth": 1 or 2, "every": [stride, offset]
of first cuts, "every_deep": stride of second ones, "seconds": budget or null, "replay": id or null, "verbose": bool}.
Prints one JSON object a line: progress {"cuts", "history", "of"}, failures {"failed", "why"}, and at the end {"done",
"loss_max_ms": the most that was missing after a start, beside what edges cost that came while the device was held up}.

A cut's id is HISTORY/OPERATION.TEAR[/OPERATION.TEAR]: at that operation of the history, then at that of the recovery.
"""

import json
import sys

with open(sys.argv[1]) as _file:
    plan = json.load(_file)
sys.path[:0] = [__file__.rsplit("/", 1)[0] if "/" in __file__ else "."] + plan["path"]

import gc  # noqa: E402
import time  # noqa: E402

import histories  # noqa: E402
import nor  # noqa: E402
import unit as units  # noqa: E402

OFF_US = 4000000
RECOVERIES = (
    histories.in_order(histories.motor("suction", 1700, 3000), histories.motor("brush", 10, 2500)),
    histories.in_order(histories.motor("suction", 1600, 5700), histories.press("filter", 2000)),
)


class Search:
    def __init__(self):
        self.cuts = 0
        self.failed = 0
        self.began = time.ticks_ms()
        self.said = self.began
        self.loss_us = []
        self.name = ""

    def out_of_time(self):
        seconds = plan.get("seconds")
        return seconds is not None and time.ticks_diff(time.ticks_ms(), self.began) > seconds * 1000

    def tell(self, done, of, now=False):
        if now or time.ticks_diff(time.ticks_ms(), self.said) > 300:
            self.said = time.ticks_ms()
            print(json.dumps({"cuts": self.cuts, "history": self.name, "at": done, "of": of}))

    def fail(self, where, error):
        self.failed += 1
        why = "%s: %s" % (type(error).__name__, error)
        print(json.dumps({"failed": where, "why": why}))
        if not isinstance(error, units.Broken) or plan.get("verbose"):
            sys.print_exception(error)


search = Search()


def live(unit, history):
    """Run a history, and return (flash at the mark, backup copies at the mark, operations since)."""

    def mark(operations):
        unit.operations = operations
        if operations is not None:
            del operations[:]
            begun[:] = [bytearray(unit.image), dict(unit.backups)]

    begun = [bytearray(unit.image), dict(unit.backups)]
    unit.mark = mark
    unit.operations = operations = []
    history(unit)
    unit.operations = None
    return begun[0], begun[1], operations


def recover(unit, at):
    """A unit after a cut: start, be checked, run, and be checked again when all has settled. Raises Broken."""
    unit.net = True
    unit.power_on(RECOVERIES[at % len(RECOVERIES)])
    unit.truth.check_start(unit.state, unit.now_us)
    parts = enumerate(unit.state.parts)
    lost_us = max([unit.truth.ran_us(at, unit.now_us) - part.lifetime_ms * 1000 for at, part in parts])
    search.loss_us.append(max(0, lost_us - unit.truth.unseen_us))
    unit.begin()
    unit.run(6000 if at % len(RECOVERIES) else 3500)
    unit.truth.check_totals(unit.state, unit.now_us)
    unit.finish()


def explore(image, backups, operations, truth, where, depth, wanted):
    """Cut at each of the operations. `wanted`: the rest of a replay id as [(operation, tear)...], or []."""
    image = bytearray(image)
    backups = dict(backups)
    torn = bytearray(len(image))
    number = 0
    stride, offset = plan.get("every", (1, 0)) if len(where) == 1 else (plan.get("every_deep", 1), 0)
    if len(where) > 1:
        offset = where[-1][0] % stride
    for at, (kind, place, data, began_us, cost_us) in enumerate(operations):
        for tear, (quarters, scrambled) in enumerate(nor.TEARS[kind]):
            number += 1
            if (wanted[0] != (at, tear)) if wanted else number % stride != offset:
                continue
            if search.out_of_time():
                return
            torn[:] = image
            nor.tear(torn, kind, place, data, quarters, scrambled)
            cut_us = began_us + cost_us * quarters // 4
            cut_at(torn, backups, truth, cut_us, where + [(at, tear)], depth, wanted[1:])
            if len(where) == 1:
                search.tell(at, len(operations))
        if kind == nor.PROGRAM:
            nor.program(image, place, data)
        elif kind == nor.ERASE:
            nor.erase(image, place)
        else:
            backups[place] = data


def cut_at(torn, backups, truth, cut_us, where, depth, wanted):
    search.cuts += 1
    deeper = depth > 1
    start = bytearray(torn) if deeper else None
    unit = units.Unit(torn, dict(backups), truth.at(cut_us), cut_us + OFF_US)
    if plan.get("verbose") and not wanted:
        unit.console = print
    operations = []
    if deeper:
        unit.operations = operations
    try:
        recover(unit, where[-1][0] + where[-1][1])
    except Exception as error:
        search.fail("/".join([where[0]] + ["%d.%d" % step for step in where[1:]]), error)
        return
    unit.operations = None
    if deeper:
        explore(start, backups, operations, unit.truth, where, depth - 1, wanted)


def main():
    names = plan["histories"]
    wanted = []
    if plan.get("replay"):
        name, *steps = plan["replay"].split("/")
        names = [name]
        wanted = [tuple([int(number) for number in step.split(".")]) for step in steps]
    nor.erase_us = plan["erase_ms"] * 1000
    files = {path: bytes.fromhex(content) for path, content in plan["files"].items()}
    products = [bytes.fromhex(content) for content in plan["products"]]
    for name in names:
        if search.out_of_time():
            break
        search.name = name
        unit = units.new_unit(files)
        unit.products = products
        if plan.get("verbose") and not wanted:
            unit.console = print
        try:
            image, backups, operations = live(unit, histories.find(name))
        except Exception as error:
            search.fail(name, error)
            continue
        search.tell(0, len(operations), True)
        explore(image, backups, operations, unit.truth, [name], len(wanted) or plan.get("depth", 1), wanted)
        search.tell(len(operations), len(operations), True)
        gc.collect()
    losses = search.loss_us
    print(
        json.dumps(
            {
                "done": True,
                "cuts": search.cuts,
                "failed": search.failed,
                "loss_max_ms": max(losses or [0]) // 1000,
                "loss_sum_ms": sum(losses) // 1000,
                "losses": len(losses),
            }
        )
    )


main()
