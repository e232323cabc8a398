"""Damages the flash of a unit in every way, starts it again, and sees what it makes of it: damage.py PLAN.json

The plan: {"path", "files": as for cuts.py, "stride": each which bit of the used flash is flipped, "offset"}.
Prints a JSON object for each broken promise {"failed", "why"} and at the end {"done", "starts", ...}.

After any damage: no error stops the unit, nothing is counted that did not run, and what is missing beyond a second is
told by a fault. Without one copy left there is a new epoch.
"""

import json
import sys

with open(sys.argv[1]) as _file:
    plan = json.load(_file)
sys.path[:0] = [__file__.rsplit("/", 1)[0] if "/" in __file__ else "."] + plan["path"]

import os  # noqa: E402
import vfs  # noqa: E402

for _name in os.listdir(plan["path"][0] + "/wearmeter/drivers"):
    if not _name.startswith("__"):
        __import__("wearmeter.drivers." + _name.split(".")[0])

import histories  # noqa: E402
import nor  # noqa: E402
import unit as units  # noqa: E402
from truth import Broken  # noqa: E402
from wearmeter import faults, store  # noqa: E402

FOLDERS = ("/state/a/", "/state/b/")
LOSS_TOLD = faults.COPY_DAMAGED | faults.LEDGER_LOST | faults.OUTBOX_LOST
# What went since the second home was last written may be lost untold where littlefs goes back by a few commits of one
# folder only; both folders are never hit by one bit.
SILENT_MS = 1000


class Tally:
    def __init__(self):
        self.starts = 0
        self.failed = 0
        self.told = 0
        self.reformatted = 0
        self.loss_ms = 0


tally = Tally()


def fail(where, error):
    tally.failed += 1
    print(json.dumps({"failed": where, "why": "%s: %s" % (type(error).__name__, error)}))
    if not isinstance(error, Broken):
        sys.print_exception(error)


def lived():
    """A unit with something to lose: counts, a replacement that is told, and one that can still be undone."""
    unit = units.new_unit({path: text.encode() for path, text in plan["files"].items()})
    session, motor, press = histories.session, histories.motor, histories.press
    session(unit, 9000, motor("suction", 1600, 5600), motor("brush", 1700, 3000), press("filter", 3200), settle_s=660)
    unit.net = False
    unit.now_us += histories.DAY_US
    session(unit, 9000, motor("suction", 1600, 5600), motor("brush", 1700, 3000), press("brush", 3200))
    return unit


def started(unit, image, homes):
    """Start the firmware on this flash, after some seconds off. A file system that does not mount is made anew."""
    again = units.Unit(image, homes, unit.truth.at(unit.now_us), unit.now_us + 3000000)
    again.net = False
    try:
        again.power_on()
    except OSError as error:
        if again.app is not None or error.errno not in (5, 19, 22, 84):
            raise
        tally.reformatted += 1
        vfs.VfsLfs2.mkfs(nor.Nor(image, lambda kind, at, data, cost_us: None))
        again.power_on()
    tally.starts += 1
    return again


def check(unit, again, epoch, silent_ms=SILENT_MS, refused=False):
    """Nothing invented, nothing lost untold; then it counts on, and tells."""
    app, truth = again.app, again.truth
    bits = app.faults.bits
    tally.told += 1 if bits & LOSS_TOLD else 0
    lost_ms = 0
    for index, part in enumerate(app.ledger.consumables):
        ran_ms = truth.ran_us(index, again.now_us) // 1000
        if part.lifetime_ms > ran_ms or part.used_ms < 0 or part.used_ms > part.lifetime_ms:
            raise Broken("counted %d ms (used %d), ran %d ms" % (part.lifetime_ms, part.used_ms, ran_ms))
        lost_ms = max(lost_ms, ran_ms - part.lifetime_ms)
    tally.loss_ms = max(tally.loss_ms, lost_ms)
    if app.ledger.epoch != epoch:
        if not bits & faults.LEDGER_LOST:
            raise Broken("a new epoch, untold")
    elif lost_ms > silent_ms + 1000 * truth.cuts and not bits & LOSS_TOLD:
        raise Broken("%d ms lost, untold" % lost_ms)
    elif not bits & LOSS_TOLD:
        stacks = truth.fitted(truth.acts)
        found = [part.generation for part in app.ledger.consumables]
        if found != [1 + len(stack) for stack in stacks]:
            raise Broken("generations %s of %s, untold" % (found, stacks))
    before = [part.lifetime_ms for part in app.ledger.consumables]
    again.begin()
    again._events = [
        (again.now_us + 100000, "pin", "suction_motor", 1),
        (again.now_us + 1100000, "pin", "suction_motor", 0),
    ]
    again.run(1600)
    counted_ms = app.ledger.consumables[0].lifetime_ms - before[0]
    if not 600 <= counted_ms <= 1000:
        raise Broken("counted on by %d ms of 1000" % counted_ms)
    told = [entry for entry in app.outbox.entries if entry[0] == 3]
    if bits and not told and not refused:
        raise Broken("the fault %d does not wait for the relay" % bits)


def flip_bits(unit, epoch):
    """One bit at a time, all over the flash that is in use."""
    image, work = unit.image, bytearray(len(unit.image))
    number = 0
    for block in range(len(image) // nor.BLOCK_BYTES):
        start = block * nor.BLOCK_BYTES
        if unit.erases[block] == 0 and image[start : start + 32] == b"\xff" * 32:
            continue
        for bit in range(nor.BLOCK_BYTES * 8):
            number += 1
            at = start + bit // 8
            if number % plan["stride"] != plan["offset"]:
                continue
            work[:] = image
            work[at] ^= 1 << bit % 8
            try:
                check(unit, started(unit, work, dict(unit.homes)), epoch)
            except Exception as error:
                fail("bit %d of byte %d" % (bit % 8, at), error)


def rewrite(image, changes):
    """Return the flash with files changed: path -> function(content), None removes."""
    work = bytearray(image)
    units.mount(work)
    for path, change in changes.items():
        if change is None:
            os.remove(path)
            continue
        with units._real_open(path, "rb") as file:
            data = file.read()
        with units._real_open(path, "wb") as file:
            file.write(change(data))
    return work


def future(data):
    """A good record of a format that this firmware doesn't know."""
    payload = store.unframe(data)[1]
    data = bytearray(store.frame(99, payload))
    data[1] = store.FORMAT + 1
    return bytes(data[:-4]) + (store.crc32(bytes(data[:-4])) & 0xFFFFFFFF).to_bytes(4, "little")


KINDS = (
    ("one bit", lambda data: bytes([data[0] ^ 1]) + data[1:]),
    ("truncated", lambda data: data[:-3]),
    ("empty", lambda data: b""),
    ("foreign", lambda data: b'{"json": "of somebody else"}'),
    ("future version", future),
    ("zeros", lambda data: bytes(len(data))),
    ("removed", None),
)


def damage_files(unit, epoch):
    """Each kind of damage, to each copy and to both, with and without a second home."""
    for name, change in KINDS:
        for record in ("ledger", "outbox"):
            for copies in (FOLDERS[:1], FOLDERS[1:], FOLDERS):
                for home in (True, False):
                    where = "%s: %s in %s, %s second home" % (name, record, copies, "with" if home else "no")
                    try:
                        image = rewrite(unit.image, {folder + record: change for folder in copies})
                        homes = dict(unit.homes)
                        if not home:
                            homes.pop("ledger")
                        again = started(unit, image, homes)
                        both = len(copies) == 2
                        if not again.app.faults.bits & LOSS_TOLD:
                            raise Broken("the damage is not told")
                        if (again.app.ledger.epoch != epoch) != (record == "ledger" and both and not home):
                            raise Broken("epoch %d, was %d" % (again.app.ledger.epoch, epoch))
                        floor = max([fields[3] for fields in unit.truth.messages()])
                        if again.app.ledger.epoch == epoch and again.app.outbox.next_sequence <= floor:
                            raise Broken("sequence %d is used again" % again.app.outbox.next_sequence)
                        check(unit, again, epoch)
                    except Exception as error:
                        fail(where, error)


def reformat(unit, epoch):
    """The file system is made anew: the second home has it all, to its last visit."""
    image = nor.flash(len(unit.image) // nor.BLOCK_BYTES)
    try:
        again = started(unit, image, dict(unit.homes))
        if again.app.ledger.epoch != epoch or not again.app.faults.bits & faults.COPY_DAMAGED:
            raise Broken("epoch %d, faults %d" % (again.app.ledger.epoch, again.app.faults.bits))
        floor = max([fields[3] for fields in unit.truth.messages()])
        if again.app.outbox.next_sequence <= floor:
            raise Broken("sequence %d is used again" % again.app.outbox.next_sequence)
        check(unit, again, epoch)
    except Exception as error:
        fail("reformat", error)


def full(unit, epoch):
    """A file system without a free block: counting goes on, and what cannot be kept is told."""
    image = bytearray(unit.image)
    units.mount(image)
    try:
        with units._real_open("/big", "wb") as file:
            while True:
                file.write(b"x" * 512)
                file.flush()
    except OSError:
        pass
    try:
        again = started(unit, image, dict(unit.homes))
        check(unit, again, epoch, refused=True)
        if not again.app.faults.bits & faults.WRITE_FAILED:
            again.app.reporter._report(again.app.outbox.last_period)
        if not again.app.faults.bits & faults.WRITE_FAILED and not again.app.outbox.entries:
            raise Broken("a full flash is not told")
        later = started(again, image, dict(again.homes))
        check(again, later, epoch, refused=True)
    except Exception as error:
        fail("full file system", error)


def dead(unit, epoch, home_refuses):
    """Every write fails from now on."""
    where = "flash refuses, second home %s" % ("too" if home_refuses else "does not")
    try:
        image = bytearray(unit.image)
        again = started(unit, image, dict(unit.homes))
        again.begin()
        again.run(300)

        again.flash_refuses = True
        again.home_refuses = home_refuses
        again._events = [
            (again.now_us + 100000, "pin", "suction_motor", 1),
            (again.now_us + 2100000, "pin", "suction_motor", 0),
        ]
        again.run(3000)
        before = again.app.ledger.consumables[0].generation
        again._events = [
            (again.now_us + 100000, "pin", "filter_button", 0),
            (again.now_us + 3500000, "pin", "filter_button", 1),
        ]
        again.run(4000)
        part = again.app.ledger.consumables[0]
        if (part.generation != before) == home_refuses:
            raise Broken("generation %d, was %d" % (part.generation, before))
        if not again.app.faults.bits & faults.WRITE_FAILED:
            raise Broken("it is not told")
        again.truth.check_totals(again.app.ledger, again.now_us)
    except Exception as error:
        fail(where, error)


def main():
    unit = lived()
    nor.damaged = True
    epoch = unit.truth.epoch
    if plan["stride"]:
        flip_bits(unit, epoch)
    else:
        damage_files(unit, epoch)
        reformat(unit, epoch)
        full(unit, epoch)
        dead(unit, epoch, False)
        dead(unit, epoch, True)
    print(
        json.dumps(
            {
                "done": True,
                "starts": tally.starts,
                "failed": tally.failed,
                "told": tally.told,
                "reformatted": tally.reformatted,
                "loss_max_ms": tally.loss_ms,
            }
        )
    )


main()
