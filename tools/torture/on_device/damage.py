"""Damages the flash of a unit in every way, starts it again, and sees what it makes of it: damage.py PLAN.json

The plan: that of cuts.py, and {"stride": each which bit of the used flash is flipped, "offset"}.
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
from binascii import crc32  # noqa: E402

import histories  # noqa: E402
import nor  # noqa: E402
import unit as units  # noqa: E402
from truth import Broken  # noqa: E402
from wearmeter.exchange import wire  # noqa: E402
from wearmeter.flash.record import FORMAT  # noqa: E402
from wearmeter.state import faults  # noqa: E402

PATHS = {"counts": "/state/%s/counts/now", "ledger": "/state/%s/ledger"}
FOLDERS = ("a", "b")
RECORDS = (("counts",), ("ledger",), ("counts", "ledger"))
LOSS_TOLD = faults.COPY_DAMAGED | faults.COUNTS_LOST | faults.QUEUE_LOST
# What went since the backup copy was last written may be lost untold where littlefs goes back by a few commits of one
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
    unit = units.new_unit({path: bytes.fromhex(content) for path, content in plan["files"].items()})
    session, motor, press = histories.session, histories.motor, histories.press
    session(unit, 9000, motor("suction", 1600, 5600), motor("brush", 1700, 3000), press("filter", 3200), settle_s=660)
    unit.net = False
    unit.now_us += histories.DAY_US
    session(unit, 9000, motor("suction", 1600, 5600), motor("brush", 1700, 3000), press("brush", 3200))
    return unit


def started(unit, image, backups):
    """Start the firmware on this flash, after some seconds off. A file system that does not mount is made anew."""
    again = units.Unit(image, backups, unit.truth.at(unit.now_us), unit.now_us + 3000000)
    again.net = False
    try:
        units.mount(image)
    except OSError:
        tally.reformatted += 1
        vfs.VfsLfs2.mkfs(nor.Nor(image))
    again.power_on()
    tally.starts += 1
    return again


def told_bits(state):
    """All faults that are there, or wait for the relay."""
    bits = state.faults.bits
    for entry in state.queue.entries():
        if not entry.told:
            bits |= entry.faults
    return bits


def check(unit, again, epoch, silent_ms=SILENT_MS, refused=False):
    """Nothing invented, nothing lost untold; then it counts on, and tells."""
    state, truth = again.state, again.truth
    bits = state.faults.bits
    tally.told += 1 if bits & LOSS_TOLD else 0
    lost_ms = 0
    for index, part in enumerate(state.parts):
        ran_ms = truth.ran_us(index, again.now_us) // 1000
        if part.lifetime_ms > ran_ms or part.used_ms < 0 or part.used_ms > part.lifetime_ms:
            raise Broken("counted %d ms (used %d), ran %d ms" % (part.lifetime_ms, part.used_ms, ran_ms))
        lost_ms = max(lost_ms, ran_ms - part.lifetime_ms)
    tally.loss_ms = max(tally.loss_ms, lost_ms)
    if state.numbers.epoch != epoch:
        if not bits & (faults.COUNTS_LOST | faults.QUEUE_LOST):
            raise Broken("a new epoch, untold")
    elif lost_ms > silent_ms + 1000 * truth.cuts + truth.unseen_us // 1000 and not bits & LOSS_TOLD:
        raise Broken("%d ms lost, untold" % lost_ms)
    elif not bits & LOSS_TOLD:
        stacks = truth.fitted(truth.acts)
        found = [part.generation for part in state.parts]
        if found != [1 + len(stack) for stack in stacks]:
            raise Broken("generations %s of %s, untold" % (found, stacks))
    before = [part.lifetime_ms for part in state.parts]
    again.begin()
    again._events = [
        (again.now_us + 100000, "pin", "suction_motor", 1),
        (again.now_us + 1100000, "pin", "suction_motor", 0),
    ]
    again.run(1600)
    counted_ms = state.parts[0].lifetime_ms - before[0]
    if not 600 <= counted_ms <= 1000:
        raise Broken("counted on by %d ms of 1000" % counted_ms)
    told = state.queue.waits(wire.FAULT)
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
                check(unit, started(unit, work, dict(unit.backups)), epoch)
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
        with units.real_open(path, "rb") as file:
            data = file.read()
        with units.real_open(path, "wb") as file:
            file.write(change(data))
    return work


def future(data):
    """A good record of a format that this firmware doesn't know."""
    body = data[:1] + bytes([FORMAT + 1]) + data[2:-4]
    return body + (crc32(body) & 0xFFFFFFFF).to_bytes(4, "little")


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
    """Each kind of damage, to each copy and to both, of each record and of both, with and without the backup copies."""
    for name, change in KINDS:
        for records in RECORDS:
            for copies in (FOLDERS[:1], FOLDERS[1:], FOLDERS):
                for backup in (True, False):
                    where = "%s: %s in %s, backup %s" % (name, records, copies, backup)
                    if change is None and records == RECORDS[-1] and ledger_lost(records, copies, backup):
                        continue  # That is a new unit.
                    try:
                        damage_file(unit, epoch, records, copies, backup, change)
                    except Exception as error:
                        fail(where, error)


def ledger_lost(records, copies, backup):
    return "ledger" in records and copies == FOLDERS and not backup


def damage_file(unit, epoch, records, copies, backup, change):
    changes = {}
    for record in records:
        for folder in copies:
            changes[PATHS[record] % folder] = change
    image = rewrite(unit.image, changes)
    backups = dict(unit.backups)
    if not backup:
        for record in records:
            backups.pop(record)
    again = started(unit, image, backups)
    if not again.state.faults.bits & LOSS_TOLD:
        raise Broken("the damage is not told")
    numbers = again.state.numbers
    if (numbers.epoch != epoch) != ledger_lost(records, copies, backup):
        raise Broken("epoch %d, was %d" % (numbers.epoch, epoch))
    check_sequence(unit, numbers, epoch)
    check(unit, again, epoch)


def check_sequence(unit, numbers, epoch):
    """No sequence that has reached the relay is used again."""
    floor = max([fields[3] for fields in unit.truth.messages()])
    if numbers.epoch == epoch and numbers.next_sequence <= floor:
        raise Broken("sequence %d is used again" % numbers.next_sequence)


def reformat(unit, epoch):
    """The file system is made anew: the backup copies have it all, as they were last written."""
    image = nor.flash(len(unit.image) // nor.BLOCK_BYTES)
    try:
        again = started(unit, image, dict(unit.backups))
        state = again.state
        if state.numbers.epoch != epoch or not state.faults.bits & faults.COPY_DAMAGED:
            raise Broken("epoch %d, faults %d" % (state.numbers.epoch, state.faults.bits))
        check_sequence(unit, state.numbers, epoch)
        check(unit, again, epoch)
    except Exception as error:
        fail("reformat", error)


def full(unit, epoch):
    """A file system without a free block: counting goes on, and what cannot be kept is told."""
    image = bytearray(unit.image)
    units.mount(image)
    try:
        with units.real_open("/big", "wb") as file:
            while True:
                file.write(b"x" * 512)
                file.flush()
    except OSError:
        pass
    try:
        again = started(unit, image, dict(unit.backups))
        check(unit, again, epoch, refused=True)
        state = again.state
        if not told_bits(state) & faults.WRITE_FAILED:
            state._do(state._report, (state.numbers.last_period,))
        if not told_bits(state) & faults.WRITE_FAILED and not len(state.queue):
            raise Broken("a full flash is not told")
        later = started(again, image, dict(again.backups))
        check(again, later, epoch, refused=True)
    except Exception as error:
        fail("full file system", error)


def dead(unit, backup_refuses):
    """Every write fails from now on."""
    where = "flash refuses, backup %s" % ("too" if backup_refuses else "does not")
    try:
        image = bytearray(unit.image)
        again = started(unit, image, dict(unit.backups))
        again.begin()
        again.run(300)

        again.flash_refuses = True
        again.backup_refuses = backup_refuses
        again._events = [
            (again.now_us + 100000, "pin", "suction_motor", 1),
            (again.now_us + 2100000, "pin", "suction_motor", 0),
        ]
        again.run(3000)
        before = again.state.parts[0].generation
        again._events = [
            (again.now_us + 100000, "pin", "filter_button", 0),
            (again.now_us + 3500000, "pin", "filter_button", 1),
        ]
        again.run(4000)
        part = again.state.parts[0]
        if (part.generation != before) == backup_refuses:
            raise Broken("generation %d, was %d" % (part.generation, before))
        if not told_bits(again.state) & faults.WRITE_FAILED:
            raise Broken("it is not told")
        again.truth.check_totals(again.state, again.now_us)
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
        dead(unit, False)
        dead(unit, True)
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
