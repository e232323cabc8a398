"""What a power cut costs at any moment, not only within a flash operation: loss.py PLAN.json

The plan is one of tools/torture/on_device/cuts.py, with "cuts": how many, and "seed". Two motors run for two minutes,
into which a report falls; the flash is as the moment of the cut left it. Prints {"cuts", "max_ms", "mean_ms"}.
"""

import json
import sys

with open(sys.argv[1]) as _file:
    plan = json.load(_file)
sys.path[:0] = plan["path"]

import random  # noqa: E402

import histories  # noqa: E402
import nor  # noqa: E402
import unit as units  # noqa: E402

CLEAN_MS = 120000
OFF_US = 2000000


def clean():
    """Return (flash, backup copies, operations since, truth, what each part lacked before, when it began) of a clean
    with a report."""
    unit = units.new_unit({path: bytes.fromhex(content) for path, content in plan["files"].items()})
    histories.session(unit, 4000, histories.motor("suction", 1600, 3000))
    unit.now_us += histories.DAY_US
    image, backups = bytearray(unit.image), dict(unit.backups)
    unit.operations = operations = []
    began_us = unit.now_us
    motors = [histories.motor(name, at_ms, CLEAN_MS + 9000) for name, at_ms in (("suction", 1700), ("brush", 2111))]
    unit.power_on(histories.in_order(*motors))
    lacked = [unit.truth.ran_us(at, began_us) // 1000 - part.lifetime_ms for at, part in enumerate(unit.state.parts)]
    unit.begin()
    unit.run(CLEAN_MS)
    unit.operations = None
    return image, backups, operations, unit.truth, lacked, began_us


def losses(moments, image, backups, operations, truth, lacked):
    """Yield what each part lacks after a start, for cuts at these moments, in order."""
    at = 0
    for moment_us in moments:
        while at < len(operations) and operations[at][3] + operations[at][4] <= moment_us:
            kind, place, data, _, _ = operations[at]
            if kind == nor.BACKUP:
                backups[place] = data
            else:
                nor.tear(image, kind, place, data, 4, False)
            at += 1
        torn = bytearray(image)
        if at < len(operations) and operations[at][3] < moment_us and operations[at][0] != nor.BACKUP:
            kind, place, data, start_us, cost_us = operations[at]
            nor.tear(torn, kind, place, data, 4 * (moment_us - start_us) // cost_us, False)
        before = truth.at(moment_us)
        again = units.Unit(torn, dict(backups), before, moment_us + OFF_US)
        again.power_on()
        for index, part in enumerate(again.state.parts):
            yield before.ran_us(index, moment_us) // 1000 - part.lifetime_ms - lacked[index]


def main():
    nor.erase_us = plan["erase_ms"] * 1000
    *lived, began_us = clean()
    random.seed(plan["seed"])
    first_us = began_us + 3000000
    moments = sorted([first_us + random.randrange(CLEAN_MS - 3000) * 1000 for _ in range(plan["cuts"])])
    found = list(losses(moments, *lived))
    print(json.dumps({"cuts": len(moments), "max_ms": max(found), "mean_ms": sum(found) / len(found)}))


main()
