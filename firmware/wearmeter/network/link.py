"""The way to the relay: Wi-Fi, then MQTT over umqtt.simple, as a state machine that never waits without a deadline.

    link = Link(config, device_id, station, sockets, umqtt.simple.MQTTClient, random_u32)
    pause_ms = link.step(now_ms)      # again and again

It knows nothing of reports. `nonce` is another for each connection: who has something to say when one begins looks at
that. `on_message(fields)` gets each valid down message with this connection's nonce; `on_refused()` is told of others.

Every error of umqtt.simple (OSError, IndexError, AssertionError, MQTTException, and TLS's ValueError) is treated alike:
the link is lost, and is tried again after a pause drawn at random between none and all of a span (full jitter, so that
a fleet does not return at once) that doubles from 2 s to 15 min; to 1 min where the house's own Wi-Fi is the cause. The
span is short again after a connection in which the relay has spoken and that lasted a minute: a broker that accepts and
drops is not hammered. Beside that, connects have a budget: 30 at once, and one more each 7.5 min, 222 in a day.

Sessions are clean: the outbox here and the relay's command queue there are the queues, so a broker that forgets
everything loses nothing, and none keeps a queue for a vacuum that is unplugged.
"""

import gc
import time

from micropython import const

from wearmeter.exchange import wire
from wearmeter.network.deadline import NO_NAME

_OFF = const(0)
_WIFI = const(1)
_ONLINE = const(2)
_PAUSE = const(3)
_READY = const(4)  # the Wi-Fi is up; the next step connects

# Why the last connection ended or did not come about, as wire.cddl lists it. The first six are the Wi-Fi's.
_NONE = const(0)
_WIFI_TIMEOUT = const(1)
_WRONG_PASSWORD = const(2)
_NO_ACCESS_POINT = const(3)
_WIFI_LOST = const(4)
_NO_ADDRESS = const(5)  # associated, but DHCP gives none
_NAME_LOOKUP = const(6)
_CONNECT_FAILED = const(7)
_TLS_FAILED = const(8)  # certificate, name, date, or our own certificate's file
_REFUSED = const(9)  # the broker refused: identity or rights
_PING_LOST = const(10)
_CLOSED = const(11)
_TIMEOUT = const(12)
_PROTOCOL = const(13)

# What the station's status says (wifi_err_reason_t of the ESP-IDF): a four-way handshake that times out, and a failed
# authentication, are what a wrong password mostly looks like; no access point found, for four reasons.
_PASSWORD_CODES = (15, 202, 204)
_ABSENT_CODES = (201, 210, 211, 212)
# Errors that say how a connection ended, on the PC and on the chip.
_TIMED_OUT = (110, 116)
_CLOSED_CODES = (-1, 103, 104, -0x7280)  # umqtt's end, ECONNABORTED, ECONNRESET, TLS's end
_FIRST_TLS_CODE = const(-255)  # mbedTLS's own are below
_LAST_PID = const(65535)
_RADIO_EVERY = const(4)  # failures after which the radio begins anew
_JOIN_MS = const(8000)  # not even associated after this: failed
_WIFI_MS = const(20000)
_CONNECT_MS = const(15000)
_EXCHANGE_MS = const(8000)
_KEEPALIVE_S = const(240)
_PING_EVERY_MS = const(120000)
_PING_WAIT_MS = const(15000)
_PAUSE_FIRST_MS = const(2000)
_PAUSE_MOST_MS = const(900000)
_WIFI_PAUSE_MOST_MS = const(60000)
_PROVEN_MS = const(60000)
_BUDGET = const(30)
_BUDGET_MS = const(450000)
# Messages taken in one step: a flood must not keep the loop from the rest.
_MESSAGES_A_STEP = const(4)
_TALKING_MS = const(100)
_QUIET_MS = const(500)


class Link:
    """`station` is a network.WLAN that is active; `make_client(...)` makes an umqtt.simple.MQTTClient; `random_u32()`
    returns 32 random bits; `clockwork` is the module time, or a stand-in. `reason` and `losses` are for the status
    message."""

    def __init__(
        self,
        config,
        device_id,
        station,
        sockets,
        make_client,
        random_u32,
        clockwork=time,
        log=print,
    ):
        self._config = config
        self._station = station
        self._sockets = sockets
        self._make_client = make_client
        self._ticks_ms = clockwork.ticks_ms
        self._ticks_diff = clockwork.ticks_diff
        self._random_u32 = random_u32
        self._log = log
        self._client = None
        # Bytes: umqtt.simple counts a text's characters where MQTT counts bytes.
        self._topic = (config.topic_root + "/" + device_id + "/").encode()
        self._client_id = b"wearmeter-" + device_id.encode()
        self._user = config.user and config.user.encode()
        self._password = config.password and config.password.encode()
        self._since_ms = 0
        self._pause_ms = 0
        self._most_ms = _PAUSE_FIRST_MS
        self._credit_ms = _BUDGET * _BUDGET_MS
        self._spent_ms = clockwork.ticks_ms()
        self._failures = 0
        self._proven = False
        self._pinged = False
        self._heard_ms = 0
        self.state = _OFF
        self.reason = _NONE
        self.losses = 0
        self.nonce = 0
        self.talking = False  # the caller awaits an answer: look more often
        self.on_message = None
        self.on_refused = None

    @property
    def online(self):
        """Whether messages can be sent."""
        return self.state == _ONLINE

    @property
    def has_wifi(self):
        """Whether the Wi-Fi is up, with an address: the ESP32 still says `connected` when DHCP has taken it back."""
        return self._station.isconnected() and self._station.ifconfig()[0] != "0.0.0.0"

    def step(self, now_ms):
        """Do what is due and return how many milliseconds to pause until the next step."""
        state = self.state
        if state == _ONLINE:
            return self._serve(now_ms)
        if state == _READY:
            return self._connect(now_ms)
        passed_ms = self._ticks_diff(now_ms, self._since_ms)
        if state == _WIFI:
            return self._await_wifi(passed_ms)
        if state == _PAUSE and passed_ms < self._pause_ms:
            return min(self._pause_ms - passed_ms, 1000)
        return self._start(now_ms)

    def publish(self, branch, payload, retain=False):
        """Publish on this device's topic `branch` (bytes) with QoS 1 and wait for the broker's PUBACK, at most 8 s.

        Returns False, with the link lost, if it did not come. That the broker has it says nothing about the relay.
        """
        client = self._client
        if client is None:
            return False
        if client.pid >= _LAST_PID:
            client.pid = 0  # umqtt.simple would send the next as 0 and never know its PUBACK
        return self._try(client.publish, self._topic + branch, payload, retain, 1)

    def _try(self, action, *arguments):
        """Do something of umqtt's within 8 s. Returns whether it went well; if not, the link is lost."""
        sockets = self._sockets
        sockets.begin(_EXCHANGE_MS)
        try:
            action(*arguments)
            sockets.last.flush()
        except Exception as error:
            self._lost(_reason_of(error), error)
            return False
        return True

    def _start(self, now_ms):
        self._since_ms = now_ms
        self.state = _READY
        if self.has_wifi:
            return 0
        self.state = _WIFI
        try:
            self._station.connect(self._config.ssid, self._config.wifi_password or "")
        except OSError as error:
            return self._lost(_WIFI_TIMEOUT, error)
        return _TALKING_MS

    def _await_wifi(self, passed_ms):
        if self.has_wifi:
            # Whoever wants the time from the network before we connect has its turn now.
            self.state = _READY
            return 0
        if passed_ms < _JOIN_MS:
            return _QUIET_MS
        try:
            self._station.status("rssi")
        except OSError:
            code = self._station.status()
            if code in _PASSWORD_CODES:
                return self._lost(_WRONG_PASSWORD)
            return self._lost(_NO_ACCESS_POINT if code in _ABSENT_CODES else _WIFI_TIMEOUT)
        return _QUIET_MS if passed_ms < _WIFI_MS else self._lost(_NO_ADDRESS)

    def _connect(self, now_ms):
        if not self.has_wifi:
            return self._lost(_WIFI_LOST)
        passed_ms = self._ticks_diff(now_ms, self._spent_ms)
        if not 0 <= passed_ms < _BUDGET * _BUDGET_MS:
            passed_ms = _BUDGET * _BUDGET_MS
        self._credit_ms = min(self._credit_ms + passed_ms, _BUDGET * _BUDGET_MS) - _BUDGET_MS
        self._spent_ms = now_ms
        self.nonce = self._random_u32() % wire.MAX_ID + 1
        config = self._config
        client = self._make_client(self._client_id, config.host, config.port, self._user, self._password, _KEEPALIVE_S)
        client.set_callback(self._receive)
        client.set_last_will(self._topic + b"status", wire.last_will(self.nonce), True, 1)
        self._client = client
        gc.collect()  # TLS wants 20 KiB in one piece
        self._sockets.begin(_CONNECT_MS)
        try:
            client.connect()
            client.subscribe(self._topic + b"down", 1)
        except Exception as error:
            return self._lost(_reason_of(error), error)
        self.state = _ONLINE
        self._proven = self._pinged = False
        self._since_ms = self._heard_ms = self._ticks_ms()
        self._log("wm link state=online nonce=%d reason=%d" % (self.nonce, self.reason))
        return 0

    def _serve(self, now_ms):
        if not self.has_wifi:
            return self._lost(_WIFI_LOST)
        for _ in range(_MESSAGES_A_STEP):
            if not self._sockets.last.readable():
                break
            if not self._try(self._client.wait_msg):
                return 0
            self._heard_ms = now_ms
            self._pinged = False
        silent_ms = self._ticks_diff(now_ms, self._heard_ms)
        if silent_ms > _PING_EVERY_MS and not self._pinged:
            if not self._try(self._client.ping):
                return 0
            self._pinged = True
        if silent_ms > _PING_EVERY_MS + _PING_WAIT_MS:
            return self._lost(_PING_LOST)
        return _TALKING_MS if self.talking or self._pinged else _QUIET_MS

    def _receive(self, topic, payload):
        if topic != self._topic + b"down":
            return  # Not asked for: some brokers send retained messages of neighbouring topics.
        try:
            fields = wire.parse_down(payload)
            if fields[wire.NONCE] != self.nonce:
                raise wire.WireError("another connection's nonce")
        except wire.WireError as error:
            self._log("wm refused why=%s" % error)
            return self.on_refused()
        self._proven = True
        self.on_message(fields)

    def _lost(self, reason, error=None):
        if self._client is not None and self._sockets.last is not None:
            try:
                self._sockets.last.close()
            except OSError:
                pass  # It is gone either way.
            self._client = None
        now_ms = self._ticks_ms()
        if self._proven and self._ticks_diff(now_ms, self._since_ms) >= _PROVEN_MS:
            self._most_ms = _PAUSE_FIRST_MS
            self._failures = 0
        self._proven = False
        self._failures += 1
        if reason <= _NO_ADDRESS or self._failures % _RADIO_EVERY == 0:
            # The radio begins anew with the next attempt: what looks like a dead broker can be a dead association.
            try:
                self._station.disconnect()
            except OSError:
                pass  # It was not connected: that is the aim.
        self.state = _PAUSE
        self.reason = reason
        self.losses += 1
        self._since_ms = now_ms
        self._pause_ms = self._random_u32() % self._most_ms
        if self._credit_ms < _BUDGET_MS:
            self._pause_ms += _BUDGET_MS
        self._most_ms = min(2 * self._most_ms, _PAUSE_MOST_MS if reason > _NO_ADDRESS else _WIFI_PAUSE_MOST_MS)
        self._log("wm link state=lost reason=%d pause_ms=%d error=%r" % (reason, self._pause_ms, error))
        return 0


def _reason_of(error):
    if isinstance(error, ValueError):
        return _TLS_FAILED
    if isinstance(error, IndexError):
        return _CLOSED  # umqtt.simple's way to say that the connection ended in the middle of something
    if not isinstance(error, OSError):
        return _REFUSED if type(error).__name__ == "MQTTException" else _PROTOCOL
    code = (error.args or (0,))[0]
    if code in _TIMED_OUT:
        return _TIMEOUT
    if code in _CLOSED_CODES:
        return _CLOSED
    if code == NO_NAME:
        return _NAME_LOOKUP
    return _TLS_FAILED if not isinstance(code, str) and code < _FIRST_TLS_CODE else _CONNECT_FAILED
