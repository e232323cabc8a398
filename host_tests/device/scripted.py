"""A network made of scripts, in scripted time: sockets, DNS server, broker, Wi-Fi station, and the real umqtt.simple.

It waits only in `Poll.poll` and `Raw.connect`, as sockets.py does, and there its clock goes on.
"""

import sys

from fakes import Ticks, ticks_diff

from wearmeter import link, sockets

try:
    import lib.umqtt.simple as simple  # MicroPython: build/mpy
except ImportError:  # CPython: what set-up downloaded
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

POLLIN, POLLOUT = 1, 4
ETIMEDOUT = 110 if sys.implementation.name == "cpython" else __import__("errno").ETIMEDOUT


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


class Raw:
    """A scripted TCP or UDP socket. `incoming` holds (at_ms, bytes) that have been sent to it; b"" is the end."""

    def __init__(self, net, kind):
        self.net = net
        self.kind = kind
        self.incoming = []
        self.sent = b""
        self.closed = False
        self.timeout = None
        self.room = 1 << 30
        self.address = None

    def settimeout(self, seconds):
        self.timeout = seconds

    def setblocking(self, flag):
        assert not flag, "an unbounded wait"

    def connect(self, address):
        assert self.timeout is not None
        self.address = address
        net = self.net
        if net.connect_error == "silent":
            net.ticks.go(int(self.timeout * 1000))
            raise OSError(ETIMEDOUT)
        if net.connect_error:
            raise OSError(net.connect_error)
        net.ticks.go(20)
        if net.broker:
            net.broker.accepted(self)

    def ready(self):
        return bool(self.incoming) and self.incoming[0][0] <= self.net.ticks.now_ms

    def read(self, count):
        assert count > 0
        if not self.ready():
            return None
        at_ms, data = self.incoming[0]
        if isinstance(data, Exception):
            raise data
        if data == b"":
            return b""
        piece, rest = data[:count], data[count:]
        if rest:
            self.incoming[0] = at_ms, rest
        else:
            self.incoming.pop(0)
        return piece

    def write(self, data):
        if self.closed:
            raise OSError(9)
        count = min(len(data), self.room)
        if not count:
            return None
        self.room -= count
        self.sent += bytes(data[:count])
        if self.net.broker:
            self.net.broker.heard(self)
        return count

    def sendto(self, data, address):
        self.net.queries.append((bytes(data), address))
        for delay_ms, answer, sender in self.net.dns(bytes(data), address):
            self.incoming.append((self.net.ticks.now_ms + delay_ms, (answer, sender)))

    def recvfrom(self, size):
        if not self.ready():
            raise OSError(11)
        return self.incoming.pop(0)[1]

    def close(self):
        self.closed = True

    def hear(self, data, delay_ms=0):
        """The peer sends `data`, which arrives after everything before it."""
        at_ms = self.net.ticks.now_ms + delay_ms
        if self.incoming:
            at_ms = max(at_ms, self.incoming[-1][0])
        self.incoming.append((at_ms, data))


class Poll:
    def __init__(self, net):
        self.net = net
        self.flags = {}

    def register(self, stream, flags):
        self.stream, self.wanted = stream, flags

    def modify(self, stream, flags):
        assert stream is self.stream
        self.wanted = flags

    def poll(self, timeout_ms):
        assert timeout_ms >= 0, "an unbounded wait"
        raw = getattr(self.stream, "raw", self.stream)
        ticks = self.net.ticks
        end_ms = ticks.now_ms + timeout_ms
        while True:
            if self.wanted & POLLIN and raw.ready() or self.wanted & POLLOUT and raw.room:
                return [(self.stream, self.wanted)]
            if ticks.now_ms >= end_ms:
                return []
            due_ms = raw.incoming[0][0] if self.wanted & POLLIN and raw.incoming else end_ms
            ticks.now_ms = min(end_ms, max(due_ms, ticks.now_ms + 1))


class Net:
    """`socket` and `select.poll` in one; `dns(query, address)` returns [(delay_ms, answer, sender)]."""

    AF_INET, SOCK_STREAM, SOCK_DGRAM = 2, 1, 2

    def __init__(self, broker=None, now_ms=0):
        self.ticks = Ticks(now_ms)
        self.broker = broker
        if broker:
            broker.net = self
        self.connect_error = None
        self.dns = lambda query, address: []
        self.queries = []
        self.made = []

    def socket(self, family=2, kind=1):
        self.made.append(Raw(self, kind))
        return self.made[-1]

    def poll(self):
        return Poll(self)

    def sockets(self, server="192.168.4.1"):
        return sockets.Sockets(self, self.poll, self.ticks, ticks_diff, lambda: server)


def packets(data):
    """Cuts bytes into whole MQTT packets: ([(first byte, body)], rest)."""
    found = []
    while len(data) >= 2:
        length, at = 0, 1
        while True:
            if at >= len(data):
                return found, data
            length |= (data[at] & 127) << 7 * (at - 1)
            at += 1
            if data[at - 1] < 128:
                break
        if len(data) < at + length:
            break
        found.append((data[0], data[at : at + length]))
        data = data[at + length :]
    return found, data


def publish_packet(topic, payload, qos=1, pid=7, retain=0):
    body = bytes([len(topic) >> 8, len(topic) & 255]) + topic.encode()
    body += (bytes([pid >> 8, pid & 255]) if qos else b"") + payload
    size = len(body)
    length = b""
    while True:
        length += bytes([size & 127 | (128 if size > 127 else 0)])
        size >>= 7
        if not size:
            break
    return bytes([0x30 | qos << 1 | retain]) + length + body


class Broker:
    """Answers as a broker does; `answers` replaces what it says to a packet type: bytes, None for silence, or a
    function (raw, first, body)."""

    def __init__(self, **answers):
        self.answers = answers
        self.heard_packets = []
        self.raw = None
        self.connects = []
        self.rest = b""
        self.net = None

    def accepted(self, raw):
        self.raw = raw
        self.rest = b""
        self.seen = 0
        self.connects.append(self.net.ticks.now_ms)
        if "accept" in self.answers:
            self.answers["accept"](raw)

    def heard(self, raw):
        found, rest = packets(self.rest + raw.sent[self.seen :])
        self.seen = len(raw.sent)
        self.rest = rest
        for first, body in found:
            self.heard_packets.append((first, body))
            name, usual = {
                0x10: ("connect", b"\x20\x02\0\0"),
                0x80: ("subscribe", b"\x90\x03" + body[:2] + b"\x01"),
                0xC0: ("ping", b"\xd0\0"),
                0x30: ("publish", b""),
                0xE0: ("disconnect", b""),
                0x40: ("puback", b""),
            }[first & 0xF0]
            if name == "publish" and first & 6:
                size = body[0] << 8 | body[1]
                usual = b"\x40\x02" + body[2 + size : 4 + size]
            answer = self.answers.get(name, usual)
            if callable(answer):
                answer = answer(raw, first, body)
            if answer:
                raw.hear(answer, 10)

    def of(self, kind):
        return [(first, body) for first, body in self.heard_packets if first & 0xF0 == kind]


class Config:
    ssid, wifi_password = "Home", "a password"
    host, port, transport = "192.0.2.7", 1883, "plain"
    user = password = None
    topic_root = "wearmeter"


class Station:
    """A WLAN of the ESP32 whose fate a test decides."""

    def __init__(self, up=True):
        self.up = up
        self.ip = "192.168.4.2"
        self.code = 1001
        self.associated = False
        self.calls = []
        self.error = None

    def isconnected(self):
        return self.up

    def ifconfig(self):
        return (self.ip if self.up else "0.0.0.0", "", "", "192.168.4.1")

    def status(self, what=None):
        if what == "rssi":
            if not self.associated:
                raise OSError("Wifi Not Connected")
            return -60
        return self.code

    def connect(self, ssid, key):
        self.calls.append("connect")
        if self.error:
            raise OSError(self.error)

    def disconnect(self):
        self.calls.append("disconnect")


class Device:
    """A Link over all this. `random` is what random_u32 returns; `go` runs its loop."""

    def __init__(self, broker=None, client=simple.MQTTClient, station=None, secure=None, random=1234567, now_ms=0):
        self.broker = broker or Broker()
        self.net = Net(self.broker, now_ms)
        self.station = station or Station()
        self.sockets = self.net.sockets()
        self.sockets.secure = secure
        simple.socket = self.sockets
        self.lines = []
        self.messages = []
        self.random = random
        self.longest_step_ms = 0
        self.link = link.Link(
            Config,
            "unit1",
            self.station,
            self.sockets,
            client,
            self.net.ticks,
            ticks_diff,
            self._random,
            self.lines.append,
        )
        self.link.on_message = self.messages.append

    def _random(self):
        return self.random() if callable(self.random) else self.random

    def step(self):
        before_ms = self.net.ticks.now_ms
        pause_ms = self.link.step(self.net.ticks())
        self.longest_step_ms = max(self.longest_step_ms, self.net.ticks.now_ms - before_ms)
        self.net.ticks.go(pause_ms)

    def go(self, ms):
        end_ms = self.net.ticks.now_ms + ms
        while self.net.ticks.now_ms < end_ms:
            before_ms = self.net.ticks.now_ms
            if self.link.state == PAUSE:  # nothing happens until then
                rest_ms = self.link._pause_ms - ticks_diff(before_ms, self.link._since_ms)
                self.net.ticks.go(max(0, min(rest_ms, end_ms - before_ms)))
            self.step()
            if self.net.ticks.now_ms == before_ms:
                self.net.ticks.go(1)

    def until(self, state, most_ms=60000):
        end_ms = self.net.ticks.now_ms + most_ms
        while self.link.state != state:
            assert self.net.ticks.now_ms < end_ms, self.lines
            self.step()
        return self
