"""Runs the device, and says what follows when it ends.

    run(board, early, slot, check)      # from main.py; returns only to leave the prompt to a maker

A crash starts the chip anew; crashing again and again switches to the other slot, or enters safe mode: see guard.py.
After a Ctrl-C the tick goes on at the prompt, so that a unit that noise on its console has stopped goes on counting;
it comes back by itself when nobody has typed for ten minutes. A sealed unit has no Ctrl-C, and answers what is typed
with a line that says so; an engineer with the unit in hand gets it back by holding any of its buttons at power-on.
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
from wearmeter.device.slots import Slots
from wearmeter.device.unit_files import NoProduct
from wearmeter.flash.record import FRAME_BYTES, Record
from wearmeter.state import events, faults

# The longest a unit stays at the prompt with nobody there, and the longest that one command of a maker's takes.
_PROMPT_MS = const(600000)
# A crash in safe mode that comes at once leaves the maker this time for a Ctrl-C.
_GRACE_MS = const(2000)
_CTRL_C = const(3)

device = None  # for `make status`, which asks at the prompt


def run(board, early, slot="", check=None, complaint=""):
    """Run on `board` from `slot`, going on with what `early` has begun (None where there is no product).

    `check(slot)` returns what is wrong with a slot's files, "" for nothing; `complaint` says why main.py took another
    slot than the one chosen.
    """
    global device
    board.watchdog(WATCHDOG_MS)
    guard = Guard(Record(bytearray(RECORD_BYTES + FRAME_BYTES), "crash"), time.ticks_ms, time.ticks_diff)
    slots = Slots(slot, check)
    room = "start"
    error = console = None
    try:
        device = _wire_up(board, guard, early)
        device.begin()
        if board.sealed():
            micropython.kbd_intr(-1)
            if _held(device):
                micropython.kbd_intr(_CTRL_C)
            else:
                console = select.poll()
                console.register(sys.stdin, select.POLLIN)
        guard.run("config", _configure, device)
        guard.run("start", _after_start, (device, board, slots, complaint))
        error = _loop(device, guard, console)
        room = guard.room
    except NoProduct as missing:
        print("wm stopped by=%s" % missing)
        board.watchdog(_PROMPT_MS)
        return
    except KeyboardInterrupt:
        return _to_the_prompt(board)
    except Exception as caught:
        error = caught
    uptime_s = device.state.clock.uptime_s if device else 0
    if device:
        device.stop()
    gc.collect()
    guard.note(room, error, uptime_s)
    _give_up(guard, slots)
    try:
        time.sleep_ms(_GRACE_MS if guard.safe or not device else 0)
    except KeyboardInterrupt:
        return _to_the_prompt(board)
    board.reset()


def _wire_up(board, guard, early):
    from wearmeter.device.wire_up import wire_up

    return wire_up(board, guard, early=early)


def _configure(made):
    from wearmeter.device.wire_up import configure

    configure(made)
    sys.modules.pop("wm_start", None)  # What only the start needs is let go after it: 5 KB of heap.


def resume():
    """Go on after a Ctrl-C: `make status` calls this at the prompt, so that asking costs no restart."""
    device.board.watchdog(WATCHDOG_MS)
    try:
        _loop(device, device.guard)
    except KeyboardInterrupt:
        return _to_the_prompt(device.board)
    device.board.reset()


def _held(device):
    """Whether a button is held at power-on."""
    for _ in range(4):
        device.attention.rest(100)
    return bool(device.panel) and device.panel.pressed


def _after_start(arguments):
    device, board, slots, complaint = arguments
    guard, state = device.guard, device.state
    wrong = slots.complaint()
    if wrong and slots.switch():
        guard.note("start", "/%s: %s" % (slots.running, wrong), state.clock.uptime_s)
        board.reset()
    print("wm slot=%s free=%d version=%s" % (slots.running, gc.mem_free(), VERSION))
    if slots.given_up and not guard.told and not guard.crashes:
        # Given up for its crashes at the last start: the detail stays that of the crash, which is still to be told.
        device.tick.post((events.FAULT, faults.SLOT_BACK))
    elif slots.settle() or complaint:
        device.tick.post((events.FAULT, faults.SLOT_BACK, complaint or "firmware of /%s" % slots.given_up))
    if board.reset_cause() == "watchdog":
        guard.note("watchdog", "not fed in time", WATCHDOG_MS // 1000)
        state.faults.raise_(faults.CRASHED, guard.text)
        if _give_up(guard, slots):
            board.reset()


def _give_up(guard, slots):
    """Crashes again and again: the other firmware, or else safe mode. Returns whether another start is needed."""
    if not guard.many or guard.safe:
        return False
    if slots.switch():
        print("wm slot=%s given_up=%s" % (slots.chosen, slots.given_up))
        guard.begin_anew()
    else:
        guard.enter_safe_mode()
    return True


def _loop(device, guard, console=None):
    """Turn by turn, until an error that nobody else deals with; returns it. `console`: a sealed one, as a poller."""
    online = device.config is None or device.link is not None  # after a Ctrl-C the link goes on
    while guard.error is None:
        if not online:
            online = True
            guard.run("network", _go_online, device)
        if console:
            guard.run("console", _answer, console)
        device.attention.rest(device.step())
    return guard.error


def _answer(console):
    """`make deploy` types something to learn why there is no prompt. One byte a turn; none at the input's end."""
    if console.poll(0) and sys.stdin.buffer.read(1):
        print("wm sealed=1 version=%s" % VERSION)


def _go_online(device):
    from wearmeter.network.online import go_online

    go_online(device)


def _to_the_prompt(board):
    board.watchdog(_PROMPT_MS)
    print("wm stopped by=keyboard, the tick goes on")
