"""Remembers crashes, and decides what follows from them: another start, the firmware before, or safe mode.

    guard = Guard(record, board, slots)
    guard.note("panel", error, uptime_s)      # an error that nobody dealt with; the chip is to start anew
    guard.run("panel", action, argument)      # True: it went well

An error of the firmware, or the watchdog, starts the chip anew: that cures what a rare state has caused. After three in
ten minutes of power the firmware of the other slot is tried; where that is no better, or there is none, safe mode
begins: what crashes is left out for a minute at a time, everything else goes on. Safe mode ends after ten minutes of
power in sum without a crash, however short each power-on is, and with a deploy.
"""

import io
import struct
import sys

from micropython import const

from wearmeter.flash.record import Refused

_MANY = const(3)
_WINDOW_S = const(600)
_CALM_STEP_S = const(60)
_PAUSE_MS = const(60000)
TEXT_BYTES = const(200)
_HEAD = "<BBHB"  # told, safe, seconds of power since the newest crash, number of crashes
_HEAD_BYTES = const(5)
RECORD_BYTES = const(205)


class Guard:
    """`record` is a flash.record.Record of RECORD_BYTES. `safe` says that it is safe mode.

    Public for the device: `told` (whether the relay has been told of the newest crash), `text` (its room and the end of
    its traceback).
    """

    def __init__(self, record, ticks_ms, ticks_diff, log=print):
        self._record = record
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._log = log
        self._left_out = {}  # room -> when it was left out
        self._calm_s = 0  # seconds of power since the newest crash, as saved
        self._settled_s = 0
        self.crashes = 0
        self.safe = False
        self.told = True
        self.text = ""
        self.error = None  # what a room has raised outside safe mode: the loop ends with it
        self.room = "loop"  # and which
        size = record.load()
        if size >= _HEAD_BYTES:
            head = struct.unpack_from(_HEAD, record.payload)
            self.told, self.safe, self._calm_s, self.crashes = bool(head[0]), bool(head[1]), head[2], head[3]
            try:
                self.text = str(bytes(record.payload[_HEAD_BYTES:size]), "utf-8")
            except UnicodeError:
                pass  # The record of a crash is not worth another.

    def note(self, room, error, uptime_s):
        """Keep a crash of `room` that came `uptime_s` seconds after the start. Returns how many there were in ten
        minutes of power."""
        text = error
        if not isinstance(error, str):
            out = io.StringIO()
            sys.print_exception(error, out)
            text = out.getvalue()
        self.crashes = 1 if self._calm_s + uptime_s > _WINDOW_S else min(self.crashes + 1, 255)
        self._calm_s = 0
        self.told = False
        self.text = room + ": " + text[len(room) + 2 - TEXT_BYTES // 2 :]
        self._log("wm crash room=%s crashes=%d" % (room, self.crashes))
        self._log(text)
        self._save()
        return self.crashes

    @property
    def many(self):
        """Whether the firmware crashes again and again."""
        return self.crashes >= _MANY

    def begin_anew(self):
        """Another firmware runs from the next start on: its crashes are its own."""
        self.crashes = 0
        self._save()

    def enter_safe_mode(self):
        """From the next start on."""
        self.safe = True
        self._save()

    def settle(self, uptime_s):
        """From the loop: time has passed without a crash. Ten minutes of it, over however many starts, and the old
        crashes are forgotten. Returns whether safe mode ends with that."""
        passed_s = uptime_s - self._settled_s
        if not self.crashes or passed_s < _CALM_STEP_S:
            return False
        self._settled_s = uptime_s
        self._calm_s += passed_s
        ended = False
        if self._calm_s >= _WINDOW_S:
            ended = self.safe
            self.crashes = self._calm_s = 0
            self.safe = False
        self._save()
        return ended

    def tell(self):
        """The relay is told of the newest crash."""
        self.told = True
        self._save()

    def run(self, room, action, argument, leave_out=True):
        """Do `action(argument)` of a room. Where it fails the device starts anew, but in safe mode the room is left out
        for a minute, or with `leave_out` False tried again, and the rest goes on. Returns what the action does, None
        where it failed or was left out."""
        left_ms = self._left_out.get(room)
        if left_ms is not None:
            if 0 <= self._ticks_diff(self._ticks_ms(), left_ms) < _PAUSE_MS:
                return None
            del self._left_out[room]
        try:
            return action(argument)
        except Exception as error:
            if self.safe:
                if leave_out:
                    self._left_out[room] = self._ticks_ms()
                self._log("wm error room=%s error=%r" % (room, error))
            elif self.error is None:
                self.error = error
                self.room = room
        return None

    def _save(self):
        text = self.text.encode()[-TEXT_BYTES:]
        payload = self._record.payload
        struct.pack_into(_HEAD, payload, 0, self.told, self.safe, min(self._calm_s, 0xFFFF), min(self.crashes, 255))
        payload[_HEAD_BYTES : _HEAD_BYTES + len(text)] = text
        try:
            self._record.save(_HEAD_BYTES + len(text))
        except Refused:
            self._log("wm crash unsaved")
