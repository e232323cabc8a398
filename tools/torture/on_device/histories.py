"""Lives of a unit, each a function of the unit. Their names are the first part of a replay id."""

import random

from wearmeter.exchange import wire
from wearmeter.state import ledger
from wearmeter.state.queue import LIMIT_BYTES

DAY_US = 86400 * 1000000


def motor(name, from_ms, to_ms):
    return [(from_ms, "pin", name + "_motor", 1), (to_ms, "pin", name + "_motor", 0)]


def press(name, at_ms, hold_ms=3400, bounces=3):
    """A button, active low, with bounces of 7 ms at both ends."""
    events = []
    for start, level in ((at_ms, 0), (at_ms + hold_ms, 1)):
        for bounce in range(bounces):
            events.append((start + 14 * bounce, "pin", name + "_button", level))
            events.append((start + 14 * bounce + 7, "pin", name + "_button", 1 - level))
        events.append((start + 14 * bounces, "pin", name + "_button", level))
    return events


def in_order(*groups):
    return sorted([event for group in groups for event in group], key=lambda event: event[0])


def session(unit, duration_ms, *groups, settle_s=0, off_ms=3000):
    """Power on, live, and the plug is pulled."""
    unit.power_on(in_order(*groups))
    unit.truth.check_start(unit.state, unit.now_us)
    unit.begin()
    unit.run(duration_ms)
    if settle_s:
        unit.settle(settle_s)
    unit.truth.check_totals(unit.state, unit.now_us)
    unit.power_off()
    unit.now_us += off_ms * 1000


def first_boot(unit):
    session(unit, 3000, motor("suction", 1700, 2600))


def count(unit):
    unit.net = False
    session(unit, 6500, motor("suction", 1600, 5937), motor("brush", 3003, 4501))
    session(unit, 5000, motor("suction", 10, 9000), motor("brush", 1800, 2000), motor("brush", 2050, 9000))


def report(unit):
    session(unit, 4000, motor("suction", 1600, 3500))
    unit.now_us += DAY_US
    session(unit, 5000, motor("suction", 1600, 4700), motor("brush", 1900, 4000))


def replacement(unit):
    session(unit, 9000, motor("suction", 1600, 3000), press("filter", 3200), motor("suction", 7300, 8200), settle_s=620)


def undo(unit):
    report_now = [(6100, "command", 1, wire.REPORT_NOW, 0, 0)]
    session(unit, 7000, motor("suction", 1600, 3000), press("filter", 2500), report_now)
    session(unit, 7000, motor("suction", 1600, 2600), press("filter", 2200))
    session(unit, 12000, press("brush", 2200), press("filter", 6000), settle_s=620)


def both_buttons(unit):
    presses = press("filter", 2000), press("brush", 2000), press("brush", 7000)
    session(unit, 12000, motor("suction", 1600, 2300), *presses)
    session(unit, 2000, settle_s=620)


def commands(unit):
    session(
        unit,
        9000,
        motor("suction", 1600, 7000),
        [(2500, "command", 1, wire.REPLACED, 0, 1)],
        [(4000, "command", 2, wire.UNDO, 0, 2)],
        [(5000, "command", 3, wire.REPLACED, 1, 1)],
        [(6000, "command", 4, wire.REPORT_NOW, 0, 0)],
        settle_s=620,
    )


def full_queue(unit):
    unit.net = False
    session(unit, 4000, motor("suction", 1600, 3000))
    operations, unit.operations = unit.operations, None
    unit.power_on([])
    unit.begin()
    unit.run(1000)
    state, queue = unit.state, unit.state.queue
    while queue.end < ledger.QUEUE_AT + LIMIT_BYTES - 60 or not queue.first().merged:
        state._do(state._report, (state.numbers.last_period,))
    unit.run(1000)
    unit.power_off()
    unit.mark(operations)
    unit.now_us += 2 * DAY_US
    session(unit, 8500, motor("suction", 1600, 2300), press("filter", 2000), settle_s=620)
    unit.net = True
    session(unit, 4000, motor("suction", 1600, 3300))


def lossy(unit):
    session(
        unit,
        12000,
        motor("suction", 1600, 3300),
        press("brush", 2000),
        [(0, "lose_up", 1), (0, "lose_ack", 2), (0, "twice", 1)],
        settle_s=700,
    )
    unit.now_us += DAY_US
    unit.lose_ack = 3
    session(unit, 9000, motor("suction", 1600, 3300), [(4000, "net", False), (6000, "net", True)])


def forgetful_relay(unit):
    session(unit, 8000, motor("suction", 1600, 3300), press("brush", 2000), settle_s=640)
    unit.now_us += DAY_US
    unit.have_nothing = True
    session(unit, 5000, motor("brush", 1600, 3300))


def wrong_clock(unit):
    unit.ntp_error_s = 400 * 86400
    session(unit, 4000, [(0, "net", False), (0, "net", True)], motor("suction", 1600, 3300))
    unit.net = False
    session(unit, 9000, press("filter", 2200), motor("suction", 1600, 3300))
    unit.net = True
    unit.ntp_error_s = 0
    session(unit, 4000, motor("suction", 1600, 3300), settle_s=640)


def no_clock(unit):
    unit.net = unit.ntp = False
    session(unit, 9000, press("filter", 2200), motor("suction", 1600, 3300))
    session(unit, 2000, settle_s=640)
    unit.net = True
    session(unit, 4000, motor("suction", 1600, 3300))


def grown_product(unit):
    """A product of one part that gains a second, and one that no longer names it: `unit.products` are both, packed."""
    operations, unit.operations = unit.operations, None
    both, one = unit.products
    deploy(unit, one)
    session(unit, 7000, motor("suction", 1600, 5000), press("filter", 2200))
    deploy(unit, both)
    unit.mark(operations)
    session(unit, 4000, motor("suction", 1600, 3300), motor("brush", 1600, 2300), settle_s=640)


def deploy(unit, packed):
    for path in ("/unit/a/product", "/unit/b/product"):
        unit.deploy(path, packed)


def toggling(unit):
    """Two motors that change every 20 to 600 ms, less than noise does, over saves, a report and a connection."""
    random.seed(4)
    groups = []
    for name in ("suction", "brush"):
        at = 1700
        while at < 30000:
            end = at + random.randint(20, 600)
            groups.append(motor(name, at, end))
            at = end + random.randint(20, 600)
    session(unit, 32000, *groups)


NAMED = (
    toggling,
    first_boot,
    count,
    report,
    replacement,
    undo,
    both_buttons,
    commands,
    full_queue,
    lossy,
    forgetful_relay,
    wrong_clock,
    no_clock,
    grown_product,
)


def drawn(seed):
    """A life drawn from a seed."""

    def life(unit):
        random.seed(seed)
        command = 0
        for _ in range(random.randint(2, 5)):
            groups = []
            length_ms = random.randint(2500, 14000)
            for name in ("suction", "brush"):
                at = 0
                while at < length_ms - 3500 and random.random() < 0.7:
                    start = at + random.randint(10, 3000)
                    at = min(start + random.randint(1, 4000), length_ms - 1)
                    groups.append(motor(name, start, at))
            at = 1700
            while random.random() < 0.5:
                groups.append(press(random.choice(("filter", "brush")), at, random.randint(100, 4500)))
                at += 5000
            while random.random() < 0.3:
                command += 1
                groups.append(
                    [
                        (
                            random.randint(0, length_ms),
                            "command",
                            command,
                            random.randint(1, 3),
                            random.randint(0, 1),
                            random.randint(1, 2),
                        )
                    ]
                )
            groups.append([(random.randint(0, length_ms), "net", random.random() < 0.7)])
            groups.append([(random.randint(0, length_ms), "ntp", random.random() < 0.7)])
            for kind in ("lose_up", "lose_ack", "twice"):
                if random.random() < 0.2:
                    groups.append([(random.randint(0, length_ms), kind, 1)])
            session(
                unit,
                length_ms + 200,
                *groups,
                settle_s=random.choice((0, 0, 300, 700)),
                off_ms=random.choice((500, 60000, 40000000, 90000000)),
            )

    return life


def find(name):
    """Return the history with that name. Raises KeyError."""
    if name.startswith("drawn-"):
        return drawn(int(name[6:]))
    for history in NAMED:
        if history.__name__ == name:
            return history
    raise KeyError(name)
