"""The way to the relay: Wi-Fi, then MQTT over umqtt.simple, as a state machine that never waits without a deadline.

    link = Link(config, device_id, station, sockets, make_client, ticks_ms, ticks_diff, random_u32)
    pause_ms = link.step(now_ms)      # again and again

It knows nothing of reports. What it is to say when a connection begins, and what to do with a message, are calls:
`on_online(link)` after the subscription, `on_message(fields)` for each valid down message with this connection's nonce.
Every error of umqtt.simple (OSError, IndexError, AssertionError, MQTTException) is treated alike: the link is lost, and
is tried again after a pause that doubles from 2 s up to 15 minutes, drawn at random between none and all of it (full
jitter) so that a fleet does not return at once. Sessions are clean: the outbox here and the relay's command queue there
are the queues, so a broker that forgets everything loses nothing.
"""

from micropython import const

from wearmeter import wire

OFF = const(0)
WIFI = const(1)
ONLINE = const(2)
PAUSE = const(3)

# Why the last connection ended or did not come about, in the status message.
NONE = const(0)
WIFI_TIMEOUT = const(1)
WRONG_PASSWORD = const(2)
NO_ACCESS_POINT = const(3)
WIFI_LOST = const(4)
NO_ADDRESS = const(5)  # associated, but DHCP gave none
NAME_LOOKUP = const(6)
CONNECT_FAILED = const(7)
TLS_FAILED = const(8)
REFUSED = const(9)  # the broker refused: identity or rights
PING_LOST = const(10)
CLOSED = const(11)
TIMEOUT = const(12)
PROTOCOL = const(13)

REASONS = (
    "none",
    "wifi_timeout",
    "wrong_password",
    "no_access_point",
    "wifi_lost",
    "no_address",
    "name_lookup",
    "connect_failed",
    "tls_failed",
    "refused",
    "ping_lost",
    "closed",
    "timeout",
    "protocol",
)

# WLAN.status() of the ESP32 port -> reason.
_STATION_REASONS = {
    201: NO_ACCESS_POINT,
    202: WRONG_PASSWORD,
    204: WRONG_PASSWORD,  # the four-way handshake failed
    210: NO_ACCESS_POINT,
    211: NO_ACCESS_POINT,
    212: NO_ACCESS_POINT,
}

WIFI_MS = const(20000)
CONNECT_MS = const(15000)
EXCHANGE_MS = const(8000)
KEEPALIVE_S = const(240)
PING_EVERY_MS = const(120000)
PING_WAIT_MS = const(15000)
PAUSE_FIRST_MS = const(2000)
PAUSE_MOST_MS = const(900000)
# Messages taken in one step: a flood must not keep the loop from the rest.
_MESSAGES_A_STEP = const(4)
_TALKING_MS = const(100)
_QUIET_MS = const(500)

_REFUSED_LINE = "wm refused topic=down why=%s"


class Link:
    """`station` is a network.WLAN; `make_client(...)` makes an umqtt.simple.MQTTClient; `random_u32()` returns 32
    random bits; `log(text)` prints a line. `state`, `reason` and `losses` are for the status message."""

    def __init__(self, config, device_id, station, sockets, make_client, ticks_ms, ticks_diff, random_u32, log):
        self._config = config
        self._station = station
        self._sockets = sockets
        self._make_client = make_client
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._random_u32 = random_u32
        self._log = log
        self._client = None
        self._client_id = "wearmeter-" + device_id
        self._topic = config.topic_root + "/" + device_id + "/"
        self._down = (self._topic + "down").encode()
        self._since_ms = 0
        self._pause_ms = 0
        self._most_ms = PAUSE_FIRST_MS
        self._pinged = False
        self._heard_ms = 0
        self._asked_ms = 0
        self.state = OFF
        self.reason = NONE
        self.losses = 0
        self.refused = 0
        self.nonce = 0
        self.talking = False  # the caller awaits an answer: look more often
        self.on_online = None
        self.on_message = None

    @property
    def online(self):
        """Whether messages can be sent."""
        return self.state == ONLINE

    @property
    def has_wifi(self):
        """Whether the Wi-Fi is up."""
        return self._station.isconnected()

    def step(self, now_ms):
        """Do what is due and return how many milliseconds to pause until the next step."""
        if self.state == OFF:
            return self._start(now_ms)
        if self.state == WIFI:
            return self._await_wifi(now_ms)
        if self.state == PAUSE:
            left_ms = self._pause_ms - self._ticks_diff(now_ms, self._since_ms)
            if left_ms <= 0:
                return self._start(now_ms)
            return min(left_ms, 1000)
        return self._serve(now_ms)

    def publish(self, branch, payload, retain=False):
        """Publish on this device's topic `branch` with QoS 1 and wait for the broker's PUBACK, at most 8 s.

        Returns False, with the link lost, if it did not come. That the broker has it says nothing about the relay.
        """
        if self.state != ONLINE:
            return False
        client = self._client
        if client.pid >= 65535:
            client.pid = 0  # umqtt.simple would send the next as 0 and never know its PUBACK
        self._sockets.begin(EXCHANGE_MS)
        try:
            client.publish(self._topic + branch, payload, retain, 1)
        except Exception as error:
            self._lost(_reason_of(error), error)
            return False
        return True

    def stop(self):
        """Disconnect cleanly, if connected."""
        if self.state == ONLINE:
            self._sockets.begin(1000)
            try:
                self._client.disconnect()
            except Exception as error:
                self._log("wm link error=%s" % _name(error))
        self.state = OFF

    def _start(self, now_ms):
        self._since_ms = now_ms
        station = self._station
        try:
            if not station.active():
                station.active(True)
            if not station.isconnected():
                self.state = WIFI
                station.connect(self._config.ssid, self._config.wifi_password or "")
                return _TALKING_MS
        except OSError as error:
            return self._lost(WIFI_TIMEOUT, error)
        return self._connect()

    def _await_wifi(self, now_ms):
        station = self._station
        if station.isconnected():
            return self._connect()
        if self._ticks_diff(now_ms, self._since_ms) < WIFI_MS:
            return _QUIET_MS
        reason = _STATION_REASONS.get(station.status(), WIFI_TIMEOUT)
        try:
            station.disconnect()
        except OSError:
            pass  # It was not connected: that is the aim.
        return self._lost(reason)

    def _connect(self):
        self.nonce = self._random_u32() % wire.MAX_ID + 1
        config = self._config
        client = self._make_client(self._client_id, config.host, config.port, config.user, config.password, KEEPALIVE_S)
        client.set_callback(self._receive)
        client.set_last_will(self._topic + "status", wire.last_will(self.nonce), True, 1)
        self._client = client
        self._sockets.begin(CONNECT_MS)
        try:
            client.connect()
            self._sockets.begin(EXCHANGE_MS)
            client.subscribe(self._topic + "down", 1)
        except Exception as error:
            return self._lost(_reason_of(error), error)
        self.state = ONLINE
        self._most_ms = PAUSE_FIRST_MS
        self._pinged = False
        self._heard_ms = self._ticks_ms()
        self._log("wm link state=online nonce=%d reason=%s" % (self.nonce, REASONS[self.reason]))
        self.on_online(self)
        return 0

    def _serve(self, now_ms):
        if not self._station.isconnected():
            return self._lost(WIFI_LOST)
        for _ in range(_MESSAGES_A_STEP):
            socket = self._sockets.last
            try:
                if not socket.readable():
                    break
                self._sockets.begin(EXCHANGE_MS)
                self._client.wait_msg()
            except Exception as error:
                return self._lost(_reason_of(error), error)
            if self.state != ONLINE:
                return 0
            self._heard_ms = now_ms
            self._pinged = False
        return self._keep_alive(now_ms)

    def _keep_alive(self, now_ms):
        if self._pinged:
            if self._ticks_diff(now_ms, self._asked_ms) > PING_WAIT_MS:
                return self._lost(PING_LOST)
        elif self._ticks_diff(now_ms, self._heard_ms) > PING_EVERY_MS:
            self._sockets.begin(EXCHANGE_MS)
            try:
                self._client.ping()
            except Exception as error:
                return self._lost(_reason_of(error), error)
            self._pinged = True
            self._asked_ms = now_ms
        return _TALKING_MS if self.talking or self._pinged else _QUIET_MS

    def _receive(self, topic, payload):
        if topic != self._down:
            return  # Not asked for: some brokers send retained messages of neighbouring topics.
        try:
            fields = wire.parse_down(payload)
        except wire.WireError as error:
            self.refused += 1
            self._log(_REFUSED_LINE % error)
            return
        if fields[2] != self.nonce:
            self.refused += 1
            self._log(_REFUSED_LINE % "nonce of another connection")
            return
        self.on_message(fields)

    def _lost(self, reason, error=None):
        if self._client is not None and self._sockets.last is not None:
            try:
                self._sockets.last.close()
            except OSError:
                pass  # It is gone either way.
        self._client = None
        self.state = PAUSE
        self.reason = reason
        self.losses += 1
        self._since_ms = self._ticks_ms()
        self._pause_ms = self._random_u32() % self._most_ms
        self._most_ms = min(2 * self._most_ms, PAUSE_MOST_MS)
        self._log("wm link state=lost reason=%s pause_ms=%d error=%s" % (REASONS[reason], self._pause_ms, _name(error)))
        return 0


def _name(error):
    return "none" if error is None else repr(error).replace(" ", "")


def _reason_of(error):
    name = type(error).__name__
    if name == "MQTTException":
        return REFUSED
    if isinstance(error, (IndexError, AssertionError)):
        return CLOSED if isinstance(error, IndexError) else PROTOCOL
    if isinstance(error, OSError):
        code = error.args[0] if error.args else 0
        if code in (110, 116):
            return TIMEOUT
        if code == -2 or code == -202:
            return NAME_LOOKUP
        if code == -1:
            return CLOSED
        return CONNECT_FAILED
    return PROTOCOL
