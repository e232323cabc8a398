"""Stops a running motor for some milliseconds at every phase of its saves: micropython blinks.py PLAN.json

The plan: that of cuts.py, and "off_ms": for how long the motor stops, "step_ms": between two moments tried. What comes
and goes while the flash is written must not count. Prints one JSON object {"done", "tried", "over_ms", "short_ms"}: the
most that was counted beyond the truth, and short of it.
"""

import json
import sys

with open(sys.argv[1]) as _file:
    plan = json.load(_file)
sys.path[:0] = [__file__.rsplit("/", 1)[0]] + plan["path"]

import nor  # noqa: E402
import unit as units  # noqa: E402
from histories import in_order, motor, session  # noqa: E402

ON_MS, FROM_MS, TO_MS, END_MS = 2500, 3100, 4200, 5500


def main():
    nor.erase_us = plan["erase_ms"] * 1000
    before = units.new_unit({path: bytes.fromhex(content) for path, content in plan["files"].items()})
    before.net = False
    session(before, 9000, motor("suction", 1600, 8000))
    over_ms = short_ms = tried = 0
    for off_ms in range(FROM_MS, TO_MS, plan["step_ms"]):
        unit = units.Unit(bytearray(before.image), dict(before.backups), before.truth.at(before.now_us), before.now_us)
        on_ms = off_ms + plan["off_ms"]
        unit.power_on(in_order(motor("suction", ON_MS, off_ms), motor("suction", on_ms, END_MS)))
        held_ms = unit.state.parts[0].lifetime_ms
        ran_us = unit.truth.ran_us(0, unit.now_us)
        unit.begin()
        unit.run(END_MS)
        ran_ms = (unit.truth.ran_us(0, unit.now_us) - ran_us) // 1000
        counted_ms = unit.state.parts[0].lifetime_ms - held_ms
        over_ms = max(over_ms, counted_ms - ran_ms)
        short_ms = max(short_ms, ran_ms - counted_ms)
        tried += 1
    print(json.dumps({"done": True, "tried": tried, "over_ms": over_ms, "short_ms": short_ms}))


main()
