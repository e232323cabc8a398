"""A Link over a network made of scripts, with the real umqtt.simple."""

import sys

from wearmeter.device.testing import Clockwork, ticks_diff
from wearmeter.network import link
from wearmeter.network.testing import Broker, Net, Station

try:
    import umqtt.simple as simple  # MicroPython: build/umqtt
except ImportError:  # CPython: the same, with the names that MicroPython's modules had
    import binascii
    import socket
    import struct

    sys.modules.update({"ustruct": struct, "ubinascii": binascii, "usocket": socket})
    sys.path.insert(0, __file__.rsplit("/", 3)[0] + "/build/umqtt")
    import umqtt.simple as simple

    link.gc = type("NoCollector", (), {"collect": staticmethod(lambda: None)})  # slow in a big process

# What link.py keeps to itself: its states, and the reasons as wire.cddl lists them.
OFF, WIFI, ONLINE, PAUSE, READY = range(5)
NONE, WIFI_TIMEOUT, WRONG_PASSWORD, NO_ACCESS_POINT, WIFI_LOST, NO_ADDRESS, NAME_LOOKUP = range(7)
CONNECT_FAILED, TLS_FAILED, REFUSED, PING_LOST, CLOSED, TIMEOUT, PROTOCOL = range(7, 14)
FULL_CREDIT_MS = 30 * 450000


class NewerClient(simple.MQTTClient):
    """What versions up to 1.8.0 do differently towards a socket: `connect(timeout=)`, which sets it on the socket and
    closes an old one first, and `wait_msg` returns the type of a message, too."""

    def connect(self, clean_session=True, timeout=None):
        if self.sock:
            self.sock.close()
        real = simple.socket
        made = real.socket()
        made.settimeout(timeout)
        simple.socket = Once(real, made)
        try:
            return super().connect(clean_session)
        finally:
            simple.socket = real

    def wait_msg(self):
        return super().wait_msg() or 0x30


class Once:
    def __init__(self, real, made):
        self.getaddrinfo = real.getaddrinfo
        self.socket = lambda: made


CLIENTS = (simple.MQTTClient, NewerClient)


class Config:
    ssid, wifi_password = "Home", "a password"
    host, port, transport = "192.0.2.7", 1883, "plain"
    user = password = None
    topic_root = "wearmeter"


class Device:
    """A Link over all this. `random` is what random_u32 returns; `go` runs its loop; `messages` and `refused` are the
    down messages that came."""

    def __init__(self, broker=None, client=simple.MQTTClient, station=None, secure=None, random=1234567):
        self.broker = broker or Broker()
        self.clockwork = Clockwork()
        self.net = Net(self.clockwork, self.broker)
        self.station = station or Station()
        self.sockets = self.net.sockets(secure=secure)
        simple.socket = self.sockets
        self.lines = []
        self.messages = []
        self.refused = 0
        self.random = random
        self.longest_step_ms = 0
        self.link = link.Link(
            Config,
            "unit1",
            self.station,
            self.sockets,
            client,
            self._random,
            self.clockwork,
            self.lines.append,
        )
        self.link.on_message = self.messages.append
        self.link.on_refused = self._refuse

    def _refuse(self):
        self.refused += 1

    def _random(self):
        return self.random() if callable(self.random) else self.random

    def step(self):
        clockwork = self.clockwork
        before_ms = clockwork.passed_ms
        pause_ms = self.link.step(clockwork.ticks_ms())
        self.longest_step_ms = max(self.longest_step_ms, clockwork.passed_ms - before_ms)
        clockwork.go(pause_ms)

    def go(self, ms):
        clockwork = self.clockwork
        end_ms = clockwork.passed_ms + ms
        while clockwork.passed_ms < end_ms:
            before_ms = clockwork.passed_ms
            if self.link.state == PAUSE:  # nothing happens until then
                rest_ms = self.link._pause_ms - ticks_diff(clockwork.ticks_ms(), self.link._since_ms)
                clockwork.go(max(0, min(rest_ms, end_ms - before_ms)))
            self.step()
            if clockwork.passed_ms == before_ms:
                clockwork.go(1)

    def until(self, state, most_ms=60000):
        end_ms = self.clockwork.passed_ms + most_ms
        while self.link.state != state:
            assert self.clockwork.passed_ms < end_ms, self.lines
            self.step()
        return self
