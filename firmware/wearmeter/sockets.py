"""Stands in for the module `socket` inside umqtt.simple, so that no wait of its is without a deadline.

    sockets = Sockets(socket, select.poll, time.ticks_ms, time.ticks_diff)
    umqtt.simple.socket = sockets
    sockets.begin(10000)        # everything until the next `begin` must be done in 10 s
    client.connect()

umqtt.simple looks `socket` up in its globals at each call, in all versions from 1.3.4 to 1.8.0. Its `setblocking(True)`
wipes a timeout on the ESP32, so the real socket underneath is always non-blocking and every wait is a poll against the
deadline of the whole operation: neither a silent peer nor one that trickles a byte a second can hold it up.
A wait that is over raises OSError(ETIMEDOUT). Name look-ups cannot be bounded: their last good answer is kept, and used
again where a look-up fails.
"""

import errno
import select

from micropython import const

# umqtt.simple reads a message whole, whatever length the peer claims. Nothing that concerns us is longer than this: of
# a longer one the beginning is handed on and the rest thrown away, up to a bound where the link is given up.
_MAX_READ = const(256)
_MAX_SKIP = const(16384)
_SLICE_MS = const(1000)


class BoundedSocket:
    """One socket under the deadline of its `Sockets`."""

    def __init__(self, sockets, raw):
        self._sockets = sockets
        self._raw = raw
        self._stream = raw
        self._poller = None
        self._wait = True

    def settimeout(self, seconds):
        """Ignored: the deadline of the operation rules."""

    def setblocking(self, flag):
        """Whether the next read may wait for its first byte, within the deadline."""
        self._wait = flag

    def connect(self, address):
        """Connect, with TLS where the Sockets have it, within the deadline."""
        sockets = self._sockets
        self._raw.settimeout(sockets.left_ms() / 1000)
        self._raw.connect(address)
        self._raw.setblocking(False)
        if sockets.secure:
            self._stream = sockets.secure(self._raw)
        self._poller = sockets.poll()
        self._poller.register(self._stream, select.POLLIN)

    def _await(self, flags):
        self._poller.modify(self._stream, flags)
        self._poller.poll(min(self._sockets.left_ms(), _SLICE_MS))

    def readable(self):
        """Whether a read would find something now, if only the end of the connection."""
        self._poller.modify(self._stream, select.POLLIN)
        return bool(self._poller.poll(0))

    def read(self, count):
        """Return `count` bytes, fewer only at the end of the connection and of an overlong read, or None where
        `setblocking(False)` forbids to wait and there is nothing."""
        if count > _MAX_SKIP:
            raise OSError(errno.ENOMEM)
        data = b""
        while count:
            piece = self._stream.read(min(count, _MAX_READ))
            if piece is None:
                if not self._wait and not data:
                    return None
                self._await(select.POLLIN)
            elif piece:
                count -= len(piece)
                if len(data) < _MAX_READ:
                    data += piece
            else:
                break
        return data

    def write(self, data, count=None):
        """Write all of `data` (its first `count` bytes) and return the number of bytes."""
        view = memoryview(data)[:count] if count is not None else memoryview(data)
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
    """Makes bounded sockets of the module `real`; `poll` makes a poller, as select.poll.

    `secure(raw) -> stream`, if set, wraps each new connection in TLS.
    """

    def __init__(self, real, poll, ticks_ms, ticks_diff):
        self._real = real
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._begun_ms = 0
        self._allowed_ms = 0
        self._addresses = {}
        self.poll = poll
        self.secure = None
        self.last = None  # the newest socket, for those who ask whether it is readable

    def begin(self, allowed_ms):
        """Begin an operation that must be done in `allowed_ms` milliseconds."""
        self._begun_ms = self._ticks_ms()
        self._allowed_ms = allowed_ms

    def left_ms(self):
        """Milliseconds, at least 1, that the operation has left. Raises OSError(ETIMEDOUT) when there are none."""
        left_ms = self._allowed_ms - self._ticks_diff(self._ticks_ms(), self._begun_ms)
        if left_ms <= 0:
            raise OSError(errno.ETIMEDOUT)
        return left_ms

    def getaddrinfo(self, host, port):
        """As socket.getaddrinfo, with the last good answer where the look-up fails."""
        key = (host, port)
        try:
            found = self._real.getaddrinfo(host, port, 0, self._real.SOCK_STREAM)
            self._addresses[key] = found
        except OSError:
            found = self._addresses.get(key)
            if not found:
                raise
        return found

    def socket(self, *arguments):
        """Return a new bounded socket."""
        self.last = BoundedSocket(self, self._real.socket(*arguments))
        return self.last
