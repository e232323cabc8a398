"""The dialogue with the relay: says hello, sends the queue in order, and passes on what the relay says as events.

    exchange = Exchange(state, post, link, make_about, ticks_diff)
    exchange.step(now_ms)       # in each turn of the loop, before the link's step

After connecting it publishes the status, whose answer is the relay's welcome: the relay's time, and what it has. Then
it sends the queue in order, one message at a time, each kept until the relay's own acknowledgment. Without a welcome in
10 s it goes on all the same. It reads the state and writes nothing: `post(event)` gives the tick what has come.
"""

from binascii import crc32

from micropython import const

from wearmeter import VERSION
from wearmeter.exchange import schedule, wire
from wearmeter.state import clock, events

_WELCOME_MS = const(10000)
_ACK_MS = const(15000)
# After three sends without an answer the relay is not there: a PUBACK does not show that the relay has the message.
_TRIES = const(3)
_RELAY_PAUSE_MS = const(300000)
_WELCOME_PAUSE_S = const(60)


class Exchange:
    """Everything between the state and the link; runs in the loop only. `make_about()` returns the description: it is
    sent once in the life of a firmware, and half a kilobyte long."""

    def __init__(self, state, post, link, make_about, ticks_diff, log=print):
        self._state = state
        self._post = post
        self._link = link
        self._make_about = make_about
        self._about_crc = crc32(make_about()) & 0xFFFFFFFF
        self._ticks_diff = ticks_diff
        self._log = log
        self._about_due = True
        self._welcomed = False
        self._welcome_s = 0
        self._nonce = 0
        self._asked_ms = 0
        self._sent = None
        self._sent_ms = 0
        self._tries = 0

    def step(self, now_ms):
        """Do what is due: at most one message, which the link may take 8 s for."""
        link = self._link
        since_ms = self._ticks_diff(now_ms, self._asked_ms)
        if self._nonce != link.nonce or since_ms > schedule.DAY_S * 1000:
            return self._hello(now_ms)
        if not self._welcomed and since_ms < _WELCOME_MS:
            return
        if self._about_due:
            self._about_due = not link.publish(b"about", self._make_about(), True)
            return
        entry = self._first()
        if entry is None:
            link.talking = False
            return
        key = entry.epoch, entry.sequence
        if self._sent == key:
            wait_ms = _ACK_MS if self._tries < _TRIES else _RELAY_PAUSE_MS
            link.talking = self._tries < _TRIES
            if self._ticks_diff(now_ms, self._sent_ms) < wait_ms:
                return
            if self._tries >= _TRIES:
                return self._hello(now_ms)
        else:
            self._tries = 0
        link.talking = True
        self._sent = key
        self._sent_ms = now_ms
        self._tries += 1
        link.publish(b"up", wire.up(entry, self._state.clock.now()))

    def receive(self, fields):
        """A valid down message of this connection has come."""
        kind = fields[1]
        # Asked for, or at most once a minute: nobody can make us set the clock or send all again in a flood.
        uptime_s = self._state.clock.uptime_s
        welcome = kind == wire.WELCOME and (not self._welcomed or uptime_s >= self._welcome_s)
        if welcome or not self._state.clock.known:
            self._post((events.TOLD_TIME, clock.RELAY, fields[wire.UTC_S]))
        if kind == wire.ACK:
            self._post((events.ACKNOWLEDGED, fields[wire.EPOCH], fields[wire.SEQUENCE]))
        elif welcome:
            self._welcomed = True
            self._welcome_s = uptime_s + _WELCOME_PAUSE_S
            self._about_due = fields[wire.ABOUT_CRC] != self._about_crc
            self._log("wm welcome epoch=%d have=%d" % (fields[wire.EPOCH], fields[wire.SEQUENCE]))
            self._post((events.WELCOMED, fields[wire.EPOCH], fields[wire.SEQUENCE]))
        elif kind == wire.COMMAND:
            operation = fields[wire.OPERATION]
            part, generation = (0, 0) if operation == wire.REPORT_NOW else (fields[wire.PART], fields[wire.GENERATION])
            self._post((events.COMMANDED, fields[wire.NUMBER], operation, part, generation))

    def _first(self):
        """Return the oldest message that waits. The tick may change the queue while it is read."""
        state = self._state
        while True:
            version = state.version
            entry = state.queue.first()
            if version == state.version:
                return entry

    def _hello(self, now_ms):
        link, state = self._link, self._state
        self._nonce = link.nonce
        self._welcomed = False
        self._sent = None
        self._tries = 0
        self._asked_ms = now_ms
        link.talking = True
        link.publish(
            b"status",
            wire.status(
                link.nonce,
                state.numbers.epoch,
                state.faults.bits,
                link.reason,
                state.clock.uptime_s,
                state.clock.known,
                VERSION,
                state.numbers.next_sequence,
                link.losses,
            ),
            True,
        )
