"""No wait on a socket is without a deadline or in C, whatever the peer does."""

import errno

from helpers import raises

from wearmeter.device.testing import MASK, Clockwork
from wearmeter.network.testing import SILENT, Net, Poll


def network(zero_ms=0):
    return Net(Clockwork(zero_ms))


def opened(net, allowed_ms=8000):
    sockets = net.sockets()
    sockets.begin(allowed_ms)
    socket = sockets.socket()
    socket.connect(("192.0.2.7", 1883))
    return sockets, socket, net.made[-1]


def waited_ms(net, action, *arguments):
    before_ms = net.clockwork.passed_ms
    raises(OSError, action, *arguments)
    return net.clockwork.passed_ms - before_ms


def test_a_silent_peer_holds_up_a_read_no_longer_than_the_operation_has():
    net = network()
    _, socket, _ = opened(net)
    assert 7970 <= waited_ms(net, socket.read, 1) <= 8010


def test_a_peer_that_trickles_a_byte_a_second_does_not_stretch_the_deadline():
    net = network()
    _, socket, raw = opened(net)
    for second in range(100):
        raw.hear(b"x", 1000 * second)
    assert 7970 <= waited_ms(net, socket.read, 100) <= 8110


def test_a_peer_that_takes_nothing_does_not_hold_up_a_write():
    net = network()
    _, socket, raw = opened(net)
    raw.room = 3
    socket.write(b"more than three")
    assert 7970 <= waited_ms(net, socket.flush) <= 8010
    assert raw.sent == b"mor"


def test_a_connect_gets_the_rest_of_the_operations_time():
    net = network()
    net.connect_error = SILENT
    sockets = net.sockets()
    sockets.begin(8000)
    net.clockwork.go(5000)
    assert waited_ms(net, sockets.socket().connect, ("192.0.2.7", 1883)) in range(2990, 3011)


def test_a_deadline_spans_the_wrap_of_ticks():
    net = network(MASK - 2999)
    _, socket, _ = opened(net)
    assert 7970 <= waited_ms(net, socket.read, 1) <= 8010


def test_short_reads_are_joined_and_the_end_is_what_came_before_it():
    net = network()
    _, socket, raw = opened(net)
    for piece in (b"a", b"bc", b"d", b""):
        raw.hear(piece, 30)
    assert socket.read(3) == b"abc"
    assert socket.read(9) == b"d"
    assert socket.read(1) == b""


def test_short_writes_are_gone_on_with():
    net = network()
    _, socket, raw = opened(net)
    raw.room = 2
    poll = Poll.poll

    def make_room(self, timeout_ms):
        raw.room += 2
        return poll(self, timeout_ms)

    Poll.poll = make_room
    try:
        socket.write(b"abcdefg", 5)
        socket.flush()
    finally:
        Poll.poll = poll
    assert raw.sent == b"abcde"


def test_the_pieces_of_a_message_go_out_as_one_before_the_next_read_or_where_they_are_too_many():
    net = network()
    _, socket, raw = opened(net)
    pieces = []
    write = raw.write
    raw.write = lambda data: pieces.append(bytes(data)) or write(data)
    for piece in (b"0\x06", b"\0\x01", b"t", b"msg"):
        socket.write(piece)
    assert pieces == []
    raw.hear(b"x")
    assert socket.read(1) == b"x" and pieces == [b"0\x06\0\x01tmsg"]
    socket.write(b"head")
    socket.write(bytes(700))
    assert pieces[1:] == [b"head" + bytes(700)]


def test_a_read_that_may_not_wait_returns_none_and_waits_again_once_allowed():
    net = network()
    _, socket, raw = opened(net)
    socket.setblocking(False)
    assert socket.read(1) is None
    raw.hear(b"ab", 500)
    socket.setblocking(True)
    assert socket.read(2) == b"ab"


def test_of_an_overlong_message_only_the_beginning_is_kept_and_its_rest_is_thrown_away():
    net = network()
    _, socket, raw = opened(net)
    raw.hear(bytes(5000) + b"next")
    assert len(socket.read(5000)) <= 512
    assert socket.read(4) == b"next"


def test_a_claimed_length_beyond_all_bounds_or_below_zero_gives_the_link_up_at_once():
    net = network()
    _, socket, raw = opened(net)
    raw.hear(bytes(100))
    assert waited_ms(net, socket.read, 1 << 20) == 0
    assert waited_ms(net, socket.read, -3) == 0


def test_a_length_that_never_ends_is_given_up_after_a_dozen_bytes():
    net = network()
    sockets, socket, raw = opened(net)
    raw.hear(b"\xff" * 100)
    raises(OSError, lambda: [socket.read(1) for _ in range(100)])
    assert 80 < len(raw.incoming[0][1]) < 100
    sockets.begin(8000)
    assert socket.read(1) == b"\xff"


class Secure:
    """TLS whose handshake wants to read before it writes; `wrap` makes the stream, which says `raw`."""

    def __init__(self, error=None):
        self.error = error
        self.records = 0

    def wrap(self, raw):
        if self.error:
            raise self.error
        return Stream(raw)

    def between_records(self):
        self.records += 1


class Stream:
    def __init__(self, raw):
        self.raw = raw
        self.done = self.closed = False

    def write(self, data):
        if not self.done:
            if not self.raw.ready():
                return None
            self.raw.read(5)
            self.done = True
        return self.raw.write(bytes([byte ^ 1 for byte in data]))

    def read(self, count):
        return self.raw.read(count)

    def close(self):
        self.closed = True


def test_tls_wraps_every_connection_and_its_handshake_is_under_the_same_deadline():
    net = network()
    secure = Secure()
    sockets = net.sockets(secure=secure)
    sockets.begin(8000)
    socket = sockets.socket()
    socket.connect(("192.0.2.7", 8883))
    raw = net.made[-1]
    raw.room = 0
    socket.write(b"b")
    assert 7970 <= waited_ms(net, socket.flush) <= 8010
    assert secure.records, "it is told before each wait"
    raw.room = 10
    raw.hear(b"hello")
    sockets.begin(8000)
    socket.write(b"a")
    socket.flush()
    assert raw.sent == b"`"
    socket.close()
    assert raw.closed and socket._stream.closed


def test_where_tls_fails_nothing_goes_out_in_plain():
    net = network()
    sockets = net.sockets(secure=Secure(ValueError("the config has no CA")))
    sockets.begin(8000)
    socket = sockets.socket()
    raises(ValueError, socket.connect, ("192.0.2.7", 8883))
    assert net.made[-1].sent == b""


def test_a_connection_that_is_refused_is_an_error_at_its_first_use():
    net = network()
    net.connect_error = errno.ECONNRESET
    _, socket, _ = opened(net)
    socket.write(b"x")
    assert str(errno.ECONNREFUSED) in raises(OSError, socket.flush)
    assert net.clockwork.passed_ms < 100


def test_callbacks_run_while_it_waits():
    net = network()
    seen = []
    net.clockwork.start_timer(100, lambda timer: seen.append(net.clockwork.passed_ms))
    _, socket, _ = opened(net)
    raises(OSError, socket.read, 1)
    assert seen == list(range(100, 8001, 100))


def test_a_socket_whose_poll_fails_is_readable_so_that_the_read_tells_why():
    def fails(self, timeout_ms):
        raise OSError(5)

    net = network()
    _, socket, _ = opened(net)
    poll, Poll.poll = Poll.poll, fails
    try:
        assert socket.readable()
    finally:
        Poll.poll = poll
