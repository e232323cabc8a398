"""Stands in for the module `socket` inside umqtt.simple, so that no wait of its is without a deadline, or in C.

    sockets = Sockets(socket, select.poll, deadline, resolver)
    umqtt.simple.socket = sockets
    deadline.begin(10000)       # everything until the next `begin` must be done in 10 s
    client.connect()

umqtt.simple looks `socket` up in its globals at each call, in all versions from 1.3.4 to 1.8.0. The real socket
underneath is always non-blocking, from its connect on, and every wait is a rest under the deadline of the whole
operation: neither a silent peer nor one that trickles a byte a second can hold it up, and callbacks run meanwhile.

umqtt.simple writes a message in up to twelve pieces. Here they go out as one, before the next read or at `flush`: each
would be a TLS record of its own, 29 bytes more on the wire and half a millisecond in which no callback runs.
"""

import errno
import select

from micropython import const

# umqtt.simple reads a message whole, whatever length the peer claims. Nothing that concerns us is longer than this: of
# a longer one the beginning is handed on and the rest thrown away, up to a bound where the link is given up.
_MAX_READ = const(256)
_MAX_SKIP = const(16384)
# umqtt.simple reads a length byte by byte for as long as the peer says that there is more: four is what MQTT allows,
# and no dialogue of ours has more single bytes in a row.
_MAX_SINGLES = const(12)
# With an `about` there is more: it does not wait for the next read.
_MOST_HELD = const(256)
# What a non-blocking connect says: EINPROGRESS of the PC and of lwIP, and EALREADY.
_BUSY = (errno.EINPROGRESS, 115, 119, 118, 114)


class BoundedSocket:
    """One socket under the deadline of its `Sockets`."""

    def __init__(self, sockets, raw):
        self._sockets = sockets
        self._raw = self._stream = raw
        self._poller = sockets.poll()
        self._wait = True
        self._heard = False
        self._held = bytearray()

    def settimeout(self, seconds):
        """Ignored: the deadline of the operation rules."""

    def setblocking(self, flag):
        """Whether the next read may wait for its first byte, within the deadline."""
        self._wait = flag

    def connect(self, address):
        """Connect within the deadline. With TLS, its handshake is done by the first write, under the same deadline."""
        sockets = self._sockets
        raw = self._raw
        raw.setblocking(False)
        try:
            raw.connect(address)
        except OSError as error:
            if error.args[0] not in _BUSY:
                raise
            self._poller.register(raw, select.POLLOUT)
            sockets.deadline.wait_for(self._poller)
            self._poller.unregister(raw)
        if sockets.secure:
            self._stream = sockets.secure.wrap(raw)
        self._poller.register(self._stream, select.POLLIN)

    def _await(self, flags):
        if self._sockets.secure:
            self._sockets.secure.between_records()
        self._poller.modify(self._stream, flags)
        self._sockets.deadline.wait_for(self._poller)

    def _do(self, action, argument):
        try:
            return action(argument)
        except OSError as error:
            # lwIP shows a refused connection as writable; a reset at the first use is how the refusal is told.
            if error.args[0] == errno.ECONNRESET and not self._heard and not self._sockets.secure:
                raise OSError(errno.ECONNREFUSED)
            raise

    def readable(self):
        """Something true where a read would find something now, if only the end of the connection."""
        self._poller.modify(self._stream, select.POLLIN)
        try:
            return self._poller.poll(0)
        except OSError:
            return True  # the read will say what is wrong

    def read(self, count):
        """Return `count` bytes, fewer only at the end of the connection and of an overlong read, or None where
        `setblocking(False)` forbids to wait and there is nothing."""
        self.flush()
        sockets = self._sockets
        sockets.singles = sockets.singles + 1 if count == 1 else 0
        if not 0 <= count <= _MAX_SKIP or sockets.singles > _MAX_SINGLES:
            raise OSError(errno.EINVAL)
        data = b""
        while count:
            piece = self._do(self._stream.read, min(count, _MAX_READ))
            if piece is None:
                if not self._wait and not data:
                    return None
                self._await(select.POLLIN)
            elif piece:
                self._heard = True
                sockets.deadline.left_ms()  # A peer that always has more does not get past the deadline either.
                count -= len(piece)
                if len(data) < _MAX_READ:
                    data += piece
            else:
                break
        return data

    def write(self, data, count=None):
        """Take all of `data` (its first `count` bytes); see `flush`. umqtt.simple asks for no number of bytes."""
        self._held.extend(memoryview(data)[:count])
        if len(self._held) > _MOST_HELD:
            self.flush()

    def flush(self):
        """Write what `write` has taken."""
        view = memoryview(self._held)
        if view:
            self._held = bytearray()
        while view:
            done = self._do(self._stream.write, view)
            if done:
                view = view[done:]
            else:
                self._await(select.POLLOUT)

    def close(self):
        """Close without waiting; what is held is lost with the link."""
        self._stream.close()
        if self._stream is not self._raw:
            self._raw.close()


class Sockets:
    """Makes bounded sockets of the module `real`; `poll` makes a poller, as select.poll.

    `resolver` is a names.Resolver, or None where the host is an address. `secure`, if given, has `wrap(raw) -> stream`
    and `between_records()`: see tls.py.
    """

    def __init__(self, real, poll, deadline, resolver, secure=None):
        self._real = real
        self._resolver = resolver
        self.poll = poll
        self.deadline = deadline
        self.secure = secure
        self.singles = 0
        self.last = None  # the newest socket, for those who flush it and ask whether it is readable

    def begin(self, allowed_ms):
        """Begin an operation of umqtt's that must be done in `allowed_ms` milliseconds."""
        self.deadline.begin(allowed_ms)
        self.singles = 0

    def getaddrinfo(self, host, port, *more):
        """As socket.getaddrinfo, as far as umqtt.simple looks at it."""
        return [((self._resolver.look_up(host) if self._resolver else host, port),)]

    def socket(self, *arguments):
        """Return a new bounded socket."""
        self.last = BoundedSocket(self, self._real.socket(*arguments))
        return self.last
