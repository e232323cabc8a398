"""A network made of scripts: sockets, pollers, a DNS server, a broker and a Wi-Fi station, in the time of a Clockwork.

    net = Net(clockwork, Broker())
    sockets = net.sockets()           # Sockets over it, as network/online.py makes them
    station = Station()

Nothing in it waits: who asks a socket to, fails. For host_tests/ and tools/torture. Not in any bundle.
"""

import errno
import select

from wearmeter.network.deadline import Deadline
from wearmeter.network.names import Resolver
from wearmeter.network.sockets import Sockets

CONNECT_MS = 20  # until a connection is made
ANSWER_MS = 10  # until a broker's answer is there
SILENT = -1  # of Net.connect_error: neither accepted nor refused
ETIMEDOUT = errno.ETIMEDOUT
NAME_SERVER = "192.168.4.1"


class Raw:
    """A scripted TCP or UDP socket. `incoming` holds (at_ms, bytes) that have been sent to it, b"" for the end, or an
    exception to raise; `room` is how many bytes it takes."""

    def __init__(self, net):
        self.net = net
        self.incoming = []
        self.sent = b""
        self.closed = False
        self.blocks = True
        self.room = 1000000
        self.address = None
        self.connected_ms = None

    def settimeout(self, seconds):
        """Whoever sets a timeout waits in C."""
        raise AssertionError("a wait in C")

    def setblocking(self, flag):
        """As socket.setblocking; only False."""
        assert not flag, "an unbounded wait"
        self.blocks = False

    def connect(self, address):
        """Begin to connect."""
        assert not self.blocks, "a wait in C"
        self.address = address
        net = self.net
        self.connected_ms = net.clockwork.passed_ms + CONNECT_MS
        if net.broker and not net.connect_error:
            net.broker.accepted(self)
        raise OSError(errno.EINPROGRESS)

    def flags(self):
        """What a poll finds now."""
        found = select.POLLIN if self.ready() else 0
        if self.connected_ms is None:
            return found | select.POLLOUT
        error = self.net.connect_error
        if error != SILENT and self.net.clockwork.passed_ms >= self.connected_ms:
            if error:
                return select.POLLIN | select.POLLOUT  # as lwIP: the first use tells
            found |= select.POLLOUT if self.room else 0
        return found

    def ready(self):
        """Whether there is something to read."""
        return bool(self.incoming) and self.incoming[0][0] <= self.net.clockwork.passed_ms

    def read(self, count):
        """As socket.read of a non-blocking socket, at most what has come in one piece."""
        assert count > 0 and not self.blocks
        self._refuse()
        if not self.ready():
            return None
        data = self.incoming[0][1]
        if isinstance(data, Exception):
            raise data
        if data == b"":
            return b""
        piece, rest = data[:count], data[count:]
        if rest:
            self.incoming[0] = self.incoming[0][0], rest
        else:
            self.incoming.pop(0)
        return piece

    def _refuse(self):
        if self.net.connect_error and self.net.connect_error != SILENT:
            raise OSError(self.net.connect_error)

    def write(self, data):
        """As socket.write of a non-blocking socket."""
        assert not self.blocks
        self._refuse()
        if self.closed:
            raise OSError(errno.EBADF)
        count = min(len(data), self.room)
        if not count:
            return None
        self.room -= count
        self.sent += bytes(data[:count])
        if self.net.broker:
            self.net.broker.heard(self)
        return count

    def sendto(self, data, address):
        """A datagram: the answers are those of `net.datagram`."""
        net = self.net
        net.queries.append((bytes(data), address))
        for delay_ms, answer, sender in net.datagram(bytes(data), address):
            self.incoming.append((net.clockwork.passed_ms + delay_ms, (answer, sender)))

    def recvfrom(self, size):
        """Return (bytes, sender) of a datagram."""
        if not self.ready():
            raise OSError(errno.EAGAIN)
        return self.incoming.pop(0)[1]

    def close(self):
        """As socket.close."""
        self.closed = True

    def hear(self, data, delay_ms=0):
        """The peer sends `data`, which arrives after everything before it."""
        at_ms = self.net.clockwork.passed_ms + delay_ms
        if self.incoming:
            at_ms = max(at_ms, self.incoming[-1][0])
        self.incoming.append((at_ms, data))


class Poll:
    """A select.poll of one stream: a Raw, or something over one, its `raw`."""

    def __init__(self):
        self.stream = None
        self.wanted = 0

    def register(self, stream, flags):
        """As select.poll.register."""
        assert self.stream is None
        self.stream, self.wanted = stream, flags

    def unregister(self, stream):
        """As select.poll.unregister."""
        assert stream is self.stream
        self.stream = None

    def modify(self, stream, flags):
        """As select.poll.modify."""
        assert stream is self.stream
        self.wanted = flags

    def poll(self, timeout_ms):
        """As select.poll.poll, at once."""
        assert timeout_ms == 0, "a wait in C"
        raw = getattr(self.stream, "raw", self.stream)
        found = raw.flags() & (self.wanted | select.POLLERR | select.POLLHUP)
        return [(self.stream, found)] if found else []


class Net:
    """The module socket. `datagram(query, address)` returns [(delay_ms, answer, sender)] for what is sent by UDP;
    `connect_error` is 0, SILENT, or an error number."""

    AF_INET, SOCK_STREAM, SOCK_DGRAM = 2, 1, 2

    def __init__(self, clockwork, broker=None):
        self.clockwork = clockwork
        self.broker = broker
        if broker:
            broker.net = self
        self.connect_error = 0
        self.datagram: "object" = lambda query, address: []
        self.queries = []
        self.made = []

    def socket(self, family=2, kind=1):
        """As socket.socket."""
        self.made.append(Raw(self))
        return self.made[-1]

    def deadline(self):
        """Return a new Deadline."""
        return Deadline(self.clockwork.sleep_ms, self.clockwork.ticks_ms, self.clockwork.ticks_diff)

    def resolver(self, server=NAME_SERVER):
        """Return a new Resolver that asks `server`."""
        return Resolver(self, Poll, self.deadline, lambda: server)

    def sockets(self, server=NAME_SERVER, secure=None):
        """Return new Sockets over this network."""
        return Sockets(self, Poll, self.deadline(), self.resolver(server), secure)


def packets(data):
    """Cut bytes into whole MQTT packets: ([(first byte, body)], rest)."""
    found: "list" = []
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
    """Return an MQTT PUBLISH."""
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
        self.packets = []  # (first byte, body) of all it has heard
        self.raw = None
        self.connects = []
        self.net = None
        self._rest = b""
        self._seen = 0

    def accepted(self, raw):
        """A connection has been made."""
        self.raw = raw
        self._rest = b""
        self._seen = 0
        self.connects.append(self.net.clockwork.passed_ms)

    def heard(self, raw):
        """The device has sent something."""
        found, self._rest = packets(self._rest + raw.sent[self._seen :])
        self._seen = len(raw.sent)
        for first, body in found:
            self.packets.append((first, body))
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
                raw.hear(answer, ANSWER_MS)

    def of(self, kind):
        """Return the packets of a kind (its first byte without flags)."""
        return [(first, body) for first, body in self.packets if first & 0xF0 == kind]


class Station:
    """A WLAN of the ESP32 whose fate a test decides: `up`, `ip`, `associated`, `code` (of status()), `error`."""

    def __init__(self, up=True):
        self.up = up
        self.ip = "192.168.4.2"
        self.code = 1001
        self.associated = False
        self.calls = []
        self.error = None

    def isconnected(self):
        """As WLAN.isconnected."""
        return self.up

    def ifconfig(self):
        """As WLAN.ifconfig."""
        return (self.ip if self.up else "0.0.0.0", "", "", NAME_SERVER)

    def status(self, what=None):
        """As WLAN.status."""
        if what == "rssi":
            if not self.associated:
                raise OSError("Wifi Not Connected")
            return -60
        return self.code

    def connect(self, ssid, key):
        """As WLAN.connect."""
        self.calls.append("connect")
        if self.error:
            raise OSError(self.error)

    def disconnect(self):
        """As WLAN.disconnect."""
        self.calls.append("disconnect")
