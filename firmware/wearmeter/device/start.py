"""Makes the device and begins to count; the firmware imports this once, and lets it go before the loop begins.

    if start(board, early, slot, check): run()      # from main.py

What follows from crashes is decided here, at the next start: after three of them the firmware of the other slot is
chosen, and where there is none, safe mode begins. A sealed unit has no Ctrl-C; an engineer with the unit in hand gets
it back by holding any of its buttons at power-on.
"""

import gc
import select
import sys
import time

import micropython
from micropython import const

from wearmeter import VERSION
from wearmeter.device.device import WATCHDOG_MS
from wearmeter.device.guard import RECORD_BYTES, Guard
from wearmeter.device.run import PROMPT_MS, adopt, crashed, to_the_prompt
from wearmeter.device.slots import Slots
from wearmeter.device.unit_files import NoProduct
from wearmeter.device.wire_up import configure, wire_up
from wearmeter.flash.record import FRAME_BYTES, Record
from wearmeter.state import events, faults

_CTRL_C = const(3)


def start(board, early, slot="", check=None, complaint=""):
    """Begin to count on `board` from `slot`, going on with what `early` has begun (None where there is no product).
    Returns whether run() is to go on; it is not where the prompt is left to a maker.

    `check(slot)` returns what is wrong with a slot's files, "" for nothing; `complaint` says why main.py took another
    slot than the one chosen.
    """
    board.watchdog(WATCHDOG_MS)
    guard = Guard(Record(bytearray(RECORD_BYTES + FRAME_BYTES), "crash"), time.ticks_ms, time.ticks_diff)
    slots = Slots(slot, check)
    if board.reset_cause() == "watchdog":
        guard.note("watchdog", "not fed in time", WATCHDOG_MS // 1000)
    try:
        _judge(board, guard, slots)
        device = wire_up(board, guard, early=early)
        adopt(device)
        device.begin()
        if board.sealed():
            micropython.kbd_intr(-1)
            if _held(device):
                micropython.kbd_intr(_CTRL_C)
            else:
                console = select.poll()
                console.register(sys.stdin, select.POLLIN)
                adopt(device, console)
        guard.run("config", configure, device)
        guard.run("start", _after_start, (device, board, slots, complaint))
        sys.modules["wm_first"].let_go()  # what has watched the inputs, and read the unit's files
    except NoProduct as missing:
        print("wm stopped by=%s" % missing)
        board.watchdog(PROMPT_MS)
        return False
    except KeyboardInterrupt:
        to_the_prompt(board)
        return False
    except Exception as error:
        crashed(board, guard, "start", error)
        return False
    return True


def _judge(board, guard, slots):
    """The firmware has crashed again and again: the other one, or else safe mode."""
    if guard.many and not guard.safe:
        if slots.switch():
            print("wm slot=%s given_up=%s" % (slots.chosen, slots.given_up))
            guard.begin_anew()
            board.reset()
        guard.enter_safe_mode()


def _held(device):
    """Whether a button is held at power-on."""
    for _ in range(4):
        device.attention.rest(100)
    return bool(device.panel) and device.panel.pressed


def _after_start(arguments):
    device, board, slots, complaint = arguments
    guard = device.guard
    wrong = slots.complaint()
    if wrong and slots.switch():
        guard.note("start", "/%s: %s" % (slots.running, wrong), device.state.clock.uptime_s)
        board.reset()
    print("wm slot=%s free=%d version=%s" % (slots.running, gc.mem_free(), VERSION))
    if slots.given_up and not guard.told and not guard.crashes:
        # Given up for its crashes at the last start: the detail stays that of the crash, which is still to be told.
        device.tick.post((events.FAULT, faults.SLOT_BACK))
    elif slots.settle() or complaint:
        device.tick.post((events.FAULT, faults.SLOT_BACK, complaint or "firmware of /%s" % slots.given_up))
