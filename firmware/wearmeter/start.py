"""Wires the device, runs it, and sees to it that nothing keeps it from counting for long.

An error of the firmware, or the watchdog, starts the chip anew. Each is kept in flash with the end of its traceback,
and told once to the relay. After three in ten minutes of power comes *safe mode*: it counts and it reports, and that
is all: no buttons, no light, no commands, no NTP. An error of the reporting is then sat out, not answered by another
start. Ten minutes without an error end it with the next start.
"""

import gc
import io
import json
import os
import select
import socket
import sys
import time

import umqtt.simple
from micropython import const

from wearmeter import app, checked, link, sockets

_PATH = "/state/crash"
_TEXT_BYTES = const(400)
_WINDOW_S = const(600)
_MANY = const(3)
# A maker at the prompt is left alone for so long; a unit that noise on its console has stopped comes back by itself.
_PROMPT_MS = const(3600000)
# Safe or not, an error that comes at once leaves the maker this time for a Ctrl-C.
_GRACE_MS = const(2000)

device = None  # for `make status`, which asks at the prompt


class Crashes:
    """The latest crashes, in flash as JSON: [seconds of power before each, told, text of the newest]."""

    def __init__(self):
        try:
            os.mkdir("/state")
        except OSError:
            pass  # It is there. If it cannot be made, each write says so.
        self._uptimes, self.told, self.text = [], True, ""
        try:
            with open(_PATH) as file:
                uptimes, told, text = json.load(file)
            if sum(uptimes) >= 0 <= len(text):
                self._uptimes, self.told, self.text = uptimes, told, str(text)
        except (OSError, ValueError, TypeError):
            pass  # There was none: the record of a crash is not worth another.

    def note(self, text, uptime_s):
        """Keep a crash that came `uptime_s` seconds after the start."""
        self._uptimes = self._uptimes[1 - _MANY :] + [uptime_s]
        self.told = False
        self.text = text[-_TEXT_BYTES:]
        self._save()

    def settle(self, told, uptime_s):
        """Whether the newest is told; ten minutes after the start the old ones are forgotten."""
        calm = uptime_s >= _WINDOW_S and self._uptimes
        if calm or told != self.told:
            if calm:
                self._uptimes = []
            self.told = told
            self._save()

    @property
    def many(self):
        """Whether there were three within ten minutes of power."""
        return len(self._uptimes) >= _MANY and sum(self._uptimes[1:]) <= _WINDOW_S

    def _save(self):
        try:
            with open(_PATH, "w") as file:
                json.dump([self._uptimes, self.told, self.text], file)
        except OSError as error:
            print("wm crash unsaved=%r" % error)


def make_link(device):
    """The link over umqtt.simple, each of its sockets under a deadline."""
    station = device.board.station()
    bounded = sockets.Sockets(socket, select.poll, time.ticks_ms, time.ticks_diff, lambda: station.ifconfig()[3])
    bounded.hold = device.tick.hold
    umqtt.simple.socket = bounded
    if device.config.transport == "tls":
        from wearmeter import trust

        held = device.tick.hold
        bounded.secure = trust.Trust(device.config, device.clock, device.ledger, device.board.set_rtc, held).wrap
    return link.Link(
        device.config,
        device.device_id,
        station,
        bounded,
        umqtt.simple.MQTTClient,
        time.ticks_ms,
        time.ticks_diff,
        lambda: int.from_bytes(os.urandom(4), "big"),
        app.log,
    )


def main(board, slot=""):
    """Run on `board`. Returns only to leave the prompt to a maker: after Ctrl-C, or where no product says what to
    count."""
    crashes = Crashes()
    if board.reset_cause() == "watchdog":
        crashes.note("watchdog", app.WATCHDOG_MS // 1000)
    global device
    try:
        device = app.App(board, crashes)
        print("wm slot=%s" % slot)
        device.start(make_link)
        error = device.run()
    except BaseException as caught:
        error = caught
    uptime_s = 0
    if device:
        device.stop()
        uptime_s = device.clock.uptime_s
    if isinstance(error, (KeyboardInterrupt, checked.FileError)):
        board.watchdog(_PROMPT_MS)
        print("wm stopped by=%s" % (error if isinstance(error, checked.FileError) else "keyboard"))
        return
    gc.collect()
    text = io.StringIO()
    sys.print_exception(error, text)
    text = text.getvalue()
    print(text)
    crashes.note(text, uptime_s)
    try:
        time.sleep_ms(_GRACE_MS if crashes.many or not device else 0)
    except KeyboardInterrupt:
        board.watchdog(_PROMPT_MS)
        return
    board.reset()
