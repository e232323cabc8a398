"""Runs the device that start.py has made, and says what follows when it ends.

    run()                               # from main.py; returns only to leave the prompt to a maker

A crash starts the chip anew; crashing again and again switches to the other slot, or enters safe mode: see start.py.
After a Ctrl-C the tick goes on at the prompt, so that a unit that noise on its console has stopped goes on counting;
it comes back by itself when nobody has typed for ten minutes. A sealed unit has no Ctrl-C, and answers what is typed
with a line that says so.
"""

import gc
import sys
import time

import vfs
from micropython import const

from wearmeter import VERSION
from wearmeter.device.device import WATCHDOG_MS

# The longest a unit stays at the prompt with nobody there, and the longest that one command of a maker's takes.
PROMPT_MS = const(600000)
# A crash in safe mode that comes at once leaves the maker this time for a Ctrl-C.
_GRACE_MS = const(2000)

device = None  # for `make status`, which asks at the prompt
sealed_console = None  # a poller of standard input, where a line is all that answers there


def adopt(made, console=None):
    """Run `made` from now on. `console`: a poller of standard input where it is sealed."""
    global device, sealed_console
    device = made
    sealed_console = console


def run():
    """Turn by turn, until an error that nobody else deals with, or a Ctrl-C."""
    sys.modules.pop("wm_start", None)  # What only the start needs is let go after it: 4 KB of heap.
    guard = device.guard
    room = "loop"
    try:
        if device.config and device.link is None:  # After a Ctrl-C the link goes on.
            guard.run("network", _go_online, device)
        if "/fw" in sys.path:  # All is imported: main.py's slot and its sums are another 1.3 KB.
            sys.path.remove("/fw")
            vfs.umount("/fw")
        while guard.error is None:
            if sealed_console:
                guard.run("console", _answer, sealed_console)
            device.attention.rest(device.step())
        room, error = guard.room, guard.error
    except KeyboardInterrupt:
        return to_the_prompt(device.board)
    except Exception as caught:
        error = caught
    crashed(device.board, guard, room, error)


def resume():
    """Go on after a Ctrl-C: `make status` calls this at the prompt, so that asking costs no restart."""
    device.board.watchdog(WATCHDOG_MS)
    run()


def _answer(console):
    """`make deploy` types something to learn why there is no prompt. One byte a turn; none at the input's end."""
    if console.poll(0) and sys.stdin.buffer.read(1):
        print("wm sealed=1 version=%s" % VERSION)


def _go_online(device):
    from wearmeter.network.online import go_online

    go_online(device)


def crashed(board, guard, room, error):
    """Keep the error of a room, and start the chip anew."""
    if device:
        device.stop()
    gc.collect()
    guard.note(room, error, device.state.clock.uptime_s if device else 0)
    try:
        time.sleep_ms(_GRACE_MS if guard.safe or not device else 0)
    except KeyboardInterrupt:
        return to_the_prompt(board)
    board.reset()


def to_the_prompt(board):
    """Leave the prompt to a maker: the tick goes on."""
    board.watchdog(PROMPT_MS)
    print("wm stopped by=keyboard, the tick goes on")
