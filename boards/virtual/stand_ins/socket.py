"""`socket` as on the ESP32 (MicroPython's modsocket.c over lwIP), over real loopback sockets of the PC.

What differs from the PC: a timeout is a number of polls of 100 ms, after each of which one callback runs;
setblocking(True) wipes it; a name look-up blocks everything and has no timeout; the Wi-Fi and the broker may be gone.
A refusal is ECONNRESET, as lwIP has it, and a poll shows it as it shows a connection: by POLLOUT, and by POLLHUP only
where that was asked for.

Addresses are (ip, port) tuples. The PC's own socket object stays reachable as `.pc`.
"""

import errno
import io
import uselect as _pc_select
import usocket as _pc
import world as _world
from mqtt_answers import Answers as _Answers
from udp_answers import answer as _udp_answer

_the = _world.the

AF_INET, AF_INET6 = 2, 10
SOCK_STREAM, SOCK_DGRAM, SOCK_RAW = 1, 2, 3
IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP = 0, 6, 17
SOL_SOCKET, SO_REUSEADDR, SO_BROADCAST, TCP_NODELAY = 0xFFF, 4, 32, 1
IP_ADD_MEMBERSHIP = 1024

_INFINITE = -1
_POLL_US = _world.SOCKET_POLL_US
_ROUND_TRIP_US = 20_000
_REFUSED_US = 10_000
_DNS_US = 30_000
_UDP_US = 40_000
_DNS_TIMEOUT_US = 14_000_000
_SYN_GIVES_UP_US = 75_000_000
_POLL, _CLOSE = 3, 4
_POLLIN, _POLLOUT, _POLLHUP = 1, 4, 16
_SEND_BUFFER_BYTES = 5744  # TCP_SND_BUF: so much is taken while nobody acknowledges
_PATIENCE_MS = 2000  # real time that the host's processes have to answer
_TLS_PATIENCE_MS = 150  # the same after an answer, where nobody can tell whether another is due


def _station_up():
    radio = _the.radio
    return radio is not None and radio.got_ip


def _is_ip(host):
    parts = host.split(".")
    return len(parts) == 4 and all(part.isdigit() and int(part) < 256 for part in parts)


def _look_up(host):
    """The address of a name. Nothing else runs meanwhile: lwip_getaddrinfo cannot be interrupted."""
    if _is_ip(host):
        return host
    if host == "localhost":
        return "127.0.0.1"
    if not _station_up():
        raise OSError(-202)
    if _the.wifi == "no_internet":
        _the.block(_DNS_TIMEOUT_US)
        raise OSError(-202)
    _the.block(_DNS_US)
    if not _station_up():
        raise OSError(-202)
    address = _the.session.get("hosts", {}).get(host)
    if address is None:
        raise OSError(-202)
    return address


def getaddrinfo(host, port, af=0, type=0, proto=0, flags=0):
    _the.look()
    return [(AF_INET, SOCK_STREAM, 0, "", (_look_up(host), int(port)))]


def _pass(duration_us):
    """Time in a blocking call that nothing ends: C hands back after each 100 ms."""
    end_us = _the.now_us + duration_us
    while _the.now_us < end_us:
        _the.advance(min(_the.now_us + _POLL_US, end_us))
        _the.hand_back()


class socket(io.IOBase):
    def __init__(self, af=AF_INET, type=SOCK_STREAM, proto=0):
        self.type = type
        self.pc = _pc.socket(_pc.AF_INET, _pc.SOCK_DGRAM if type == SOCK_DGRAM else _pc.SOCK_STREAM)
        self._set_up()

    def _set_up(self):
        self.pc.setblocking(False)
        self.poller = _pc_select.poll()
        self.poller.register(self.pc, _pc_select.POLLIN)
        self.timeout_ms = _INFINITE
        # new, connecting, failed, connected, peer_closed, lost (the path is gone, nobody knows), closed
        self.state = "new"
        self.settled_us = _world.NEVER  # when it is known what came of connecting ...
        self.error = 0  # ... and what
        self.unsent = 0
        self.patience_ms = 0
        self.full_patience_ms = _the.session.get("patience_ms", _PATIENCE_MS)
        self.answers = _Answers()
        self.letters = []  # datagrams on their way to us: (due, data, address)

    # --- for the world --------------------------------------------------------------------------------------------

    def answers_due(self):
        return self.state == "connected" and self.answers.due()

    def poll_real(self, real_ms):
        """Wait in real time until data is there. Once it is, there is no more to wait for until it has been read."""
        if self.poller.poll(real_ms):
            self.patience_ms = 0
            return True
        return False

    def _readable(self):
        if self.letters and self.letters[0][0] <= _the.now_us:
            return True
        return bool(self.poller.poll(0))

    def lose(self):
        """The path to the peer is gone. The host's side sees a closed connection; this side hears nothing more."""
        if self.state == "connected":
            self.state = "lost"
            self.pc.close()
            self.answers.forget()
        elif self.state == "connecting" and not self.error:
            self.pc.close()
            self._unanswered()

    def _unanswered(self):
        """Nobody answers a SYN: lwIP gives up after a while."""
        self.settled_us = _the.now_us + _SYN_GIVES_UP_US
        self.error = errno.ECONNABORTED

    def _settle(self):
        if self.state == "connecting" and _the.now_us >= self.settled_us:
            self.state = "failed" if self.error else "connected"

    def _check(self):
        """Raises what reading and writing raise while there is no connection."""
        self._settle()
        if self.state == "new":
            raise OSError(errno.ENOTCONN)
        if self.state == "closed":
            raise OSError(errno.EBADF)
        if self.state == "failed":
            raise OSError(self.error)

    def _drop(self):
        if self in _the.sockets:
            _the.sockets.remove(self)

    def _path_is_back(self):
        return _station_up() and _the.wifi == "up" and _the.broker == "up"

    # --- settings -------------------------------------------------------------------------------------------------

    def settimeout(self, seconds):
        self.timeout_ms = _INFINITE if seconds is None else int(seconds * 1000)

    def setblocking(self, blocking):
        self.timeout_ms = _INFINITE if blocking else 0

    def setsockopt(self, level, option, value):
        pass

    def fileno(self):
        return self.pc.fileno()

    def makefile(self, *args):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def __repr__(self):
        return "<socket>"

    # --- opening and closing --------------------------------------------------------------------------------------

    def _wait(self, ready):
        """Wait as modsocket.c does: in polls of 100 ms; after each that brought nothing, C hands back once. False when
        the timeout is over."""
        polls = self.timeout_ms // 100 + 1
        while not ready():
            if self.timeout_ms == 0 or polls == 0 and self.timeout_ms != _INFINITE:
                return False
            polls -= 1
            self._one_poll()
            if not ready():
                _the.hand_back()
        return True

    def _one_poll(self):
        if _the.real:
            end_us = _the.now_us + _POLL_US
            while not self._soon_ready() and _the.now_us < end_us:
                self.poller.poll(5)
                _the.advance(_the.now_us)
        elif self.patience_ms > 0 and self.answers_due() and _the.wait_for_answer(_world.PACE_REAL_MS):
            _the.advance(_the.now_us + _ROUND_TRIP_US)
        else:
            _the.advance(_the.now_us + _POLL_US)

    def _soon_ready(self):
        return self.state != "connected" or self._readable()

    def connect(self, address):
        _the.look()
        ip = _look_up(address[0])
        port = int(address[1])
        if self.state != "new":
            raise OSError(errno.EBADF if self.state == "closed" else errno.EALREADY)
        if not _station_up():
            raise OSError(errno.EHOSTUNREACH)
        self.state = "connecting"
        self._knock(ip, port)
        if self.timeout_ms == 0:
            raise OSError(errno.EINPROGRESS)
        timeout_us = _SYN_GIVES_UP_US if self.timeout_ms == _INFINITE else (self.timeout_ms // 100 + 1) * _POLL_US
        if self.settled_us - _the.now_us > timeout_us:
            _pass(timeout_us)
            raise OSError(errno.ETIMEDOUT)
        while self.settled_us - _the.now_us > _POLL_US:
            _pass(_POLL_US)
        _the.advance(self.settled_us)
        self._check()

    def _knock(self, ip, port):
        """The SYN goes out. What comes back, and when, is known here; the firmware hears of it at its time."""
        _the.sockets.append(self)
        if _the.broker == "silent" or _the.wifi != "up" or not ip.startswith("127."):  # nothing leaves the PC
            return self._unanswered()
        self.settled_us = _the.now_us + _REFUSED_US
        self.error = errno.ECONNRESET
        if _the.broker == "refused":
            return
        _the.tell_clock()
        self.pc.setblocking(True)
        try:
            self.pc.connect(_pc.getaddrinfo(ip, port)[0][-1])
        except OSError:
            return
        self.pc.setblocking(False)
        self.settled_us = _the.now_us + _ROUND_TRIP_US
        self.error = 0

    def bind(self, address):
        host = address[0] or "0.0.0.0"
        self.pc.bind(_pc.getaddrinfo(host, int(address[1]))[0][-1])
        self.state = "connected"

    def listen(self, backlog=2):
        self.pc.listen(backlog)

    def accept(self):
        _the.look()
        if not self._wait(self._readable):
            raise OSError(errno.EAGAIN if self.timeout_ms == 0 else errno.ETIMEDOUT)
        pc, address = self.pc.accept()
        accepted = socket.__new__(socket)
        accepted.type = self.type
        accepted.pc = pc
        accepted._set_up()
        accepted.state = "connected"
        return accepted, ("127.0.0.1", 0)

    def close(self):
        if self.state != "closed":
            if self.state != "lost":
                self.pc.close()  # once more does no harm
            self.state = "closed"
            self._drop()

    # --- receiving ------------------------------------------------------------------------------------------------

    def _ready_to_receive(self):
        self._settle()
        if self.state == "connecting":
            return False
        if self.state == "connected":
            return self._readable()
        if self.state == "lost":
            return self._path_is_back()
        return True

    def _receive(self, buffer):
        """Fill part of the buffer, at least a byte. 0: the peer closed. None: nothing within the timeout."""
        _the.look()
        self._check()
        if self.state == "peer_closed" or not len(buffer):
            return 0
        if not self._wait(self._ready_to_receive):
            return None
        self._check()
        if self.state == "lost":  # the peer has forgotten the connection: its answer is a reset
            raise OSError(errno.ECONNRESET)
        count = self.pc.readinto(buffer)
        if count is None:
            return None
        if count == 0:
            self.state = "peer_closed"
            self.answers.forget()
        else:
            self.answers.received(memoryview(buffer)[:count])
            if self.answers.is_tls:
                self.patience_ms = _TLS_PATIENCE_MS
            else:
                self.patience_ms = self.full_patience_ms if self.answers.due() else 0
        return count

    def _nothing(self):
        return OSError(errno.EAGAIN if self.timeout_ms == 0 else errno.ETIMEDOUT)

    def recv(self, size, flags=0):
        if self.type == SOCK_DGRAM:
            return self.recvfrom(size)[0]
        buffer = bytearray(size)
        count = self._receive(buffer)
        if count is None:
            raise self._nothing()
        return bytes(buffer[:count])

    def recv_into(self, buffer, size=0, flags=0):
        count = self._receive(memoryview(buffer)[:size] if size else buffer)
        if count is None:
            raise self._nothing()
        return count

    def recvfrom(self, size, flags=0):
        _the.look()
        if not self._wait(self._readable):
            raise self._nothing()
        if self.letters and self.letters[0][0] <= _the.now_us:
            _, data, address = self.letters.pop(0)
            return data[:size], address
        data, _ = self.pc.recvfrom(size)
        return data, ("127.0.0.1", 0)

    def readinto(self, buffer, size=-1):
        """Stream read, also called by the TLS layer. None when nothing is there and the socket does not block."""
        view = memoryview(buffer)
        if size >= 0:
            view = view[:size]
        count = self._receive(view)
        if count is None and self.timeout_ms != 0:
            raise OSError(errno.ETIMEDOUT)
        return count

    def read(self, size=-1):
        """As MicroPython's streams: until `size` bytes or the end. What came before a timeout is lost with it."""
        if size < 0:
            data = bytearray()
            piece = bytearray(256)
            while True:
                count = self._receive(piece)
                if count is None:
                    if self.timeout_ms:
                        raise OSError(errno.ETIMEDOUT)
                    return bytes(data) if data else None
                if count == 0:
                    return bytes(data)
                data.extend(memoryview(piece)[:count])
        buffer = bytearray(size)
        view = memoryview(buffer)
        at = 0
        while at < size:
            count = self._receive(view[at:])
            if count is None:
                if self.timeout_ms:
                    raise OSError(errno.ETIMEDOUT)
                if at == 0:
                    return None
                break
            if count == 0:
                break
            at += count
        return bytes(view[:at])

    def readline(self):
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = self.read(1)
            if not byte:
                break
            line.extend(byte)
        return bytes(line)

    # --- sending --------------------------------------------------------------------------------------------------

    def _room(self):
        self._settle()
        if self.state == "connecting":
            return False
        return self.state != "lost" or self.unsent < _SEND_BUFFER_BYTES or self._path_is_back()

    def send(self, data, flags=0):
        count = self._send(data)
        _the.hand_back()
        return count

    def _send(self, data):
        """Send part of the data. Raises OSError when nothing can be sent within the timeout."""
        _the.look()
        self._check()
        if not self._wait(self._room):
            raise self._nothing()
        self._check()
        if self.state == "lost":
            if self._path_is_back():
                raise OSError(errno.ECONNRESET)
            self.unsent += len(data)
            return len(data)
        _the.tell_clock()
        try:
            count = self.pc.write(data)
        except OSError as error:
            if error.errno == 32:  # EPIPE: lwIP calls it a reset connection
                raise OSError(errno.ECONNRESET)
            raise
        if not count:
            return 0
        self.answers.sent(memoryview(data)[:count])
        if self.answers.due():
            self.patience_ms = self.full_patience_ms
        return count

    def write(self, data, size=-1, offset=0):
        """Stream write: all of it, or an error."""
        view = memoryview(data)
        if size >= 0:
            view = view[:size]
        total = len(view)
        while len(view):
            count = self._send(view)
            if not count:
                _the.sleep(1000)
            view = view[count:]
        return total

    def sendall(self, data, flags=0):
        self.write(data)
        _the.hand_back()

    def sendto(self, data, address):
        _the.look()
        if not _station_up():
            raise OSError(errno.EHOSTUNREACH)
        if not address[0].startswith("127."):  # nothing leaves the PC: the world answers, or nobody
            answer = _udp_answer(_the, bytes(data), address[1])
            if answer is not None:
                self.letters.append((_the.now_us + _UDP_US, answer, tuple(address)))
            return len(data)
        self.pc.sendto(data, _pc.getaddrinfo(address[0], int(address[1]))[0][-1])
        return len(data)

    def ioctl(self, request, argument):
        if request == _POLL:
            self._settle()
            if self.state == "closed":
                return 0x20
            if self.type == SOCK_DGRAM:
                return argument & (_POLLIN | _POLLOUT if self._readable() else _POLLOUT)
            if self.state == "new":
                return argument & _POLLOUT | _POLLHUP
            if self.state == "failed" or self.state == "lost" and self._path_is_back():
                return argument & (_POLLIN | _POLLOUT | _POLLHUP)
            flags = 0
            if argument & _POLLIN and self._ready_to_receive():
                flags |= _POLLIN
            if argument & _POLLOUT and self.state == "connected":
                flags |= _POLLOUT
            return flags
        if request == _CLOSE:
            self.close()
            return 0
        return -1


def _changed(kind):
    """An outage begins: connections that pass through it are dead, though this side does not know yet."""
    for sock in list(_the.sockets):
        if _the.wifi != "up" or _the.broker == "silent":
            sock.lose()
        elif _the.broker == "refused" and sock.state == "connecting" and not sock.error:
            sock.pc.close()
            sock.error = errno.ECONNRESET
        elif _the.broker == "refused" and sock.state == "connected":
            sock.pc.close()
            sock.state = "peer_closed"


_the.on_network_change.append(_changed)
