"""Asks an NTP server for the time (SNTP, RFC 4330), without waiting in C: the second source beside the relay.

What it says is an event like any other; see state/clock.py for what is made of it.
"""

import select

from micropython import const

from wearmeter.state import clock, events

_ANSWER_MS = const(1000)
_UNKNOWN_PAUSE_MS = const(300000)
_KNOWN_PAUSE_MS = const(21600000)
_PACKET_BYTES = const(48)
_UTC_1900_S = 2208988800
_SERVER = const(4)


class Ntp:
    """`resolver` is a names.Resolver; `real`, `poll` and `make_deadline` as there; `has_wifi()` says whether to ask."""

    def __init__(self, host, resolver, real, poll, make_deadline, state, post, has_wifi, ticks_diff, log=print):
        self._host = host
        self._resolver = resolver
        self._real = real
        self._poll = poll
        self._make_deadline = make_deadline
        self._state = state
        self._post = post
        self._has_wifi = has_wifi
        self._ticks_diff = ticks_diff
        self._log = log
        self._asked_ms = None

    def step(self, now_ms):
        """Ask if the time is unknown, or told by the relay alone; in the loop."""
        now = self._state.clock
        if now.sure or not self._has_wifi():
            return
        pause_ms = _KNOWN_PAUSE_MS if now.known else _UNKNOWN_PAUSE_MS
        if self._asked_ms is not None and 0 <= self._ticks_diff(now_ms, self._asked_ms) < pause_ms:
            return
        self._asked_ms = now_ms
        try:
            self._post((events.TOLD_TIME, clock.NTP, self._ask()))
        except OSError as error:
            self._log("wm ntp error=%s" % repr(error).replace(" ", ""))

    def _ask(self):
        address = self._resolver.look_up(self._host)
        deadline = self._make_deadline()
        udp = self._real.socket(self._real.AF_INET, self._real.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            poller = self._poll()
            poller.register(udp, select.POLLIN)
            udp.sendto(b"\x1b" + bytes(_PACKET_BYTES - 1), (address, 123))
            deadline.begin(_ANSWER_MS)
            while True:
                deadline.wait_for(poller)
                data, sender = udp.recvfrom(_PACKET_BYTES)
                # From whom we asked, from a server, and not "do not believe me" (stratum 0 or unsynchronised).
                if sender[0] == address and len(data) == _PACKET_BYTES and data[0] & 7 == _SERVER:
                    if data[1] and data[0] >> 6 != 3:
                        return (int.from_bytes(data[40:44], "big") - _UTC_1900_S) & 0xFFFFFFFF
        finally:
            udp.close()
