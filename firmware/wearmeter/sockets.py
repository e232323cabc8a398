"""Stands in for the module `socket` inside umqtt.simple, so that no wait of its is without a deadline.

    sockets = Sockets(socket, select.poll, time.ticks_ms, time.ticks_diff, name_server)
    umqtt.simple.socket = sockets
    sockets.begin(10000)        # everything until the next `begin` must be done in 10 s
    client.connect()

umqtt.simple looks `socket` up in its globals at each call, in all versions from 1.3.4 to 1.8.0. Its `setblocking(True)`
wipes a timeout on the ESP32, so the real socket underneath is always non-blocking and every wait is a poll against the
deadline of the whole operation: neither a silent peer nor one that trickles a byte a second can hold it up.
A wait that is over raises OSError(ETIMEDOUT).

The ESP32's own getaddrinfo takes no timeout and stops the tick for up to 14 s. So names are looked up here, by a DNS
query of our own to the server that DHCP named; the last good answer is used again where a look-up fails.
"""

import errno
import os
import select

from micropython import const

# umqtt.simple reads a message whole, whatever length the peer claims. Nothing that concerns us is longer than this: of
# a longer one the beginning is handed on and the rest thrown away, up to a bound where the link is given up.
_MAX_READ = const(256)
_MAX_SKIP = const(16384)
# umqtt.simple reads a length byte by byte for as long as the peer says that there is more: four is what MQTT allows,
# and no dialogue of ours has more single bytes in a row.
_MAX_SINGLES = const(12)
_SLICE_MS = const(1000)
_NAME_TRIES = const(3)
_NO_NAME = const(-2)  # as getaddrinfo on the ESP32


def _nothing(how):
    pass


class BoundedSocket:
    """One socket under the deadline of its `Sockets`."""

    def __init__(self, sockets, raw):
        self._sockets = sockets
        self._raw = self._stream = raw
        self._poller = sockets.poll()
        self._wait = True

    def settimeout(self, seconds):
        """Ignored: the deadline of the operation rules."""

    def setblocking(self, flag):
        """Whether the next read may wait for its first byte, within the deadline."""
        self._wait = flag

    def connect(self, address):
        """Connect within the deadline. With TLS, its handshake is done by the first write, under the same deadline."""
        sockets = self._sockets
        raw = self._raw
        raw.settimeout(sockets.left_ms() / 1000)
        sockets.hold(2)
        try:
            raw.connect(address)
        finally:
            sockets.hold(1)
        raw.setblocking(False)
        if sockets.secure:
            self._stream = sockets.secure(raw)
        self._poller.register(self._stream, select.POLLIN)

    def _await(self, flags):
        self._poller.modify(self._stream, flags)
        self._poller.poll(min(self._sockets.left_ms(), _SLICE_MS))

    def readable(self):
        """Whether a read would find something now, if only the end of the connection."""
        self._poller.modify(self._stream, select.POLLIN)
        try:
            return bool(self._poller.poll(0))
        except OSError:
            return True  # the read will say what is wrong

    def read(self, count):
        """Return `count` bytes, fewer only at the end of the connection and of an overlong read, or None where
        `setblocking(False)` forbids to wait and there is nothing."""
        sockets = self._sockets
        sockets.singles = sockets.singles + 1 if count == 1 else 0
        if not 0 <= count <= _MAX_SKIP or sockets.singles > _MAX_SINGLES:
            raise OSError(errno.EINVAL)
        data = b""
        while count:
            piece = self._stream.read(min(count, _MAX_READ))
            if piece is None:
                if not self._wait and not data:
                    return None
                self._await(select.POLLIN)
            elif piece:
                sockets.left_ms()  # A peer that always has more does not get past the deadline either.
                count -= len(piece)
                if len(data) < _MAX_READ:
                    data += piece
            else:
                break
        return data

    def write(self, data, count=None):
        """Write all of `data` (its first `count` bytes) and return the number of bytes."""
        view = memoryview(data)
        if count is not None:
            view = view[:count]
        total = len(view)
        while view:
            done = self._stream.write(view)
            if done:
                view = view[done:]
            else:
                self._await(select.POLLOUT)
        return total

    def close(self):
        """Close without waiting."""
        self._stream.close()
        if self._stream is not self._raw:
            self._raw.close()


class Sockets:
    """Makes bounded sockets of the module `real`; `poll` makes a poller, as select.poll; `name_server()` returns the
    address of the DNS server, or "0.0.0.0".

    `secure(raw) -> stream`, if set, wraps each new connection in TLS.
    """

    def __init__(self, real, poll, ticks_ms, ticks_diff, name_server):
        self._real = real
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._name_server = name_server
        self._begun_ms = 0
        self._allowed_ms = 0
        self._addresses = {}
        self.singles = 0
        self.poll = poll
        self.secure = None
        self.hold = _nothing  # called with 2 before a wait in which callbacks run late, with 1 after it: see Tick
        self.last = None  # the newest socket, for those who ask whether it is readable

    def begin(self, allowed_ms):
        """Begin an operation that must be done in `allowed_ms` milliseconds."""
        self._begun_ms = self._ticks_ms()
        self._allowed_ms = allowed_ms
        self.singles = 0

    def left_ms(self):
        """Milliseconds, at least 1, that the operation has left. Raises OSError(ETIMEDOUT) when there are none."""
        left_ms = self._allowed_ms - self._ticks_diff(self._ticks_ms(), self._begun_ms)
        if left_ms <= 0:
            raise OSError(errno.ETIMEDOUT)
        return left_ms

    def getaddrinfo(self, host, port):
        """As socket.getaddrinfo, as far as umqtt.simple looks at it."""
        return [((self.look_up(host), port),)]

    def look_up(self, host):
        """Return the IPv4 address of `host` as text, within a third of the operation's time. Raises OSError(-2)."""
        if host.replace(".", "").isdigit():
            return host
        server = self._name_server()
        if server == "0.0.0.0":
            raise OSError(_NO_NAME)
        try:
            found = self._addresses[host] = self._ask(server, host)
        except (OSError, IndexError):
            found = self._addresses.get(host)
            if not found:
                raise OSError(_NO_NAME)
        return found

    def _ask(self, server, host):
        question = os.urandom(2) + b"\1\0\0\1\0\0\0\0\0\0"  # one question, recursion desired
        for label in host.encode().split(b"."):
            question += bytes([len(label)]) + label
        question += b"\0\0\1\0\1"  # A, IN
        udp = self._real.socket(self._real.AF_INET, self._real.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            poller = self.poll()
            poller.register(udp, select.POLLIN)
            slice_ms = self.left_ms() // (3 * _NAME_TRIES)
            for _ in range(_NAME_TRIES):
                udp.sendto(question, (server, 53))
                while poller.poll(slice_ms):
                    self.left_ms()
                    data, sender = udp.recvfrom(512)
                    if sender[0] == server and data[:2] == question[:2] and data[12 : len(question)] == question[12:]:
                        return _address(data, len(question))
        finally:
            udp.close()
        raise OSError(_NO_NAME)

    def socket(self, *arguments):
        """Return a new bounded socket."""
        self.last = BoundedSocket(self, self._real.socket(*arguments))
        return self.last


def _address(data, at):
    """The first IPv4 address in the records of a DNS answer from byte `at` on; IndexError if there is none."""
    while True:
        while 0 < data[at] < 192:
            at += data[at] + 1
        at += 2 if data[at] else 1
        size = data[at + 8] << 8 | data[at + 9]
        at += 10
        if data[at - 10 : at - 6] == b"\0\1\0\1" and size == 4:
            return "%d.%d.%d.%d" % (data[at], data[at + 1], data[at + 2], data[at + 3])
        at += size
