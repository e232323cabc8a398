"""What a power cut costs: loss.py PLAN.json

The plan: {"path", "files": as for tools/torture/on_device/cuts.py, "cuts": how many, "seed"}. The power is cut at
random moments of a clean that a report falls into, not only within flash operations; the flash is as that moment left
it. Prints three JSON objects: of the cuts, of cleans without one, and of the heap.
"""

import json
import sys

with open(sys.argv[1]) as _file:
    plan = json.load(_file)
sys.path[:0] = plan["path"]

import gc  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import time  # noqa: E402

for _name in os.listdir(plan["firmware"] + "/wearmeter/drivers"):
    if not _name.startswith("__"):
        __import__("wearmeter.drivers." + _name.split(".")[0])

import histories  # noqa: E402
import nor  # noqa: E402
import unit as units  # noqa: E402

CLEAN_MS = 120000


def cuts():
    unit = units.new_unit({path: text.encode() for path, text in plan["files"].items()})
    histories.session(unit, 4000, histories.motor("suction", 1600, 3000))
    unit.now_us += histories.DAY_US
    image, homes = bytearray(unit.image), dict(unit.homes)
    unit.operations = operations = []
    began_us = unit.now_us
    motors = histories.in_order(
        histories.motor("suction", 1700, CLEAN_MS + 9000), histories.motor("brush", 2111, CLEAN_MS + 9000)
    )
    unit.power_on(motors)
    unit.begin()
    unit.run(CLEAN_MS)
    unit.operations = None
    random.seed(plan["seed"])
    moments = sorted([began_us + 3000000 + random.randrange((CLEAN_MS - 3000) * 1000) for _ in range(plan["cuts"])])
    losses = []
    at = 0
    torn = bytearray(len(image))
    for moment_us in moments:
        while at < len(operations) and operations[at][3] + operations[at][4] <= moment_us:
            kind, place, data, _, _ = operations[at]
            if kind == nor.PROGRAM:
                nor.program(image, place, data)
            elif kind == nor.ERASE:
                nor.erase(image, place)
            else:
                homes[place] = data
            at += 1
        torn[:] = image
        if at < len(operations) and operations[at][3] < moment_us and operations[at][0] != nor.HOME:
            kind, place, data, start_us, cost_us = operations[at]
            nor.tear(torn, kind, place, data, 4 * (moment_us - start_us) // cost_us, False)
        before = unit.truth.at(moment_us)
        again = units.Unit(torn, dict(homes), before, moment_us + 2000000)
        again.power_on()
        for index, part in enumerate(again.app.ledger.consumables):
            losses.append(before.ran_us(index, again.now_us) // 1000 - part.lifetime_ms)
    print(json.dumps({"cuts": len(moments), "max_ms": max(losses), "mean_ms": sum(losses) / len(losses)}))


def without_cuts():
    """What edges that fall into a flash write cost: cleans of a minute, with a network and a report each day."""
    unit = units.new_unit({path: text.encode() for path, text in plan["files"].items()})
    random.seed(plan["seed"])
    unit.power_on()
    unit.begin()
    cleans = 200
    for _ in range(cleans):
        start_ms = random.randrange(1000, 3000)
        length_ms = random.randrange(5000, 15000)
        now_us = -(-unit.now_us // 1000) * 1000
        unit._events = [
            (now_us + start_ms * 1000, "pin", "suction_motor", 1),
            (now_us + (start_ms + length_ms) * 1000, "pin", "suction_motor", 0),
        ]
        unit.run(20000)
        unit.now_us += 43200 * 1000000
        unit.tick()
    ran_ms = unit.truth.ran_us(0, unit.now_us) // 1000
    counted_ms = unit.app.ledger.consumables[0].lifetime_ms
    print(json.dumps({"cleans": cleans, "ran_ms": ran_ms, "counted_ms": counted_ms}))


def heap():
    """What a tick takes from the heap, here with objects of 64 bits: twice the size of the ESP32's."""
    unit = units.new_unit({path: text.encode() for path, text in plan["files"].items()})
    unit.power_on()
    unit.begin()
    unit.run(2000)
    tick = unit.app.tick

    def cost(ticks):
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        for _ in range(ticks):
            time.now_us += 100000
            tick()
        taken = gc.mem_alloc() - before
        gc.enable()
        return taken

    rest = cost(100)
    unit.pins["suction_motor"].level = 1
    cost(1)
    while unit.app.ledger.unsaved_ms:
        cost(1)
    running = cost(6)
    print(json.dumps({"rest": rest / 100, "running": running / 6, "save": cost(1)}))


cuts()
without_cuts()
heap()
