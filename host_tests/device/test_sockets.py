"""No wait on a socket is without a deadline, whatever the peer does, and names are looked up under it, too."""

import os

from fakes import raises
from scripted import Net, Poll

ANSWER = b"\x81\x80\0\1\0\1\0\0\0\0"
RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc6\x33\x64\x07"  # 198.51.100.7


def opened(net, allowed_ms=8000):
    sockets = net.sockets()
    sockets.begin(allowed_ms)
    socket = sockets.socket()
    socket.connect(("192.0.2.7", 1883))
    return sockets, socket, net.made[-1]


def waited_ms(net, action, *arguments):
    before_ms = net.ticks.now_ms
    raises(OSError, action, *arguments)
    return net.ticks.now_ms - before_ms


def test_a_silent_peer_holds_up_a_read_no_longer_than_the_operation_has():
    net = Net()
    _, socket, _ = opened(net)
    assert 7900 <= waited_ms(net, socket.read, 1) <= 8000


def test_a_peer_that_trickles_a_byte_a_second_does_not_stretch_the_deadline():
    net = Net()
    _, socket, raw = opened(net)
    for second in range(100):
        raw.hear(b"x", 1000 * second)
    assert 7900 <= waited_ms(net, socket.read, 100) <= 8100


def test_a_peer_that_takes_nothing_does_not_hold_up_a_write():
    net = Net()
    _, socket, raw = opened(net)
    raw.room = 3
    assert 7900 <= waited_ms(net, socket.write, b"more than three") <= 8000
    assert raw.sent == b"mor"


def test_a_connect_gets_the_rest_of_the_operations_time():
    net = Net()
    net.connect_error = "silent"
    sockets = net.sockets()
    sockets.begin(8000)
    net.ticks.go(5000)
    assert waited_ms(net, sockets.socket().connect, ("192.0.2.7", 1883)) == 3000


def test_a_deadline_spans_the_wrap_of_ticks():
    net = Net(now_ms=(1 << 30) - 3000)
    _, socket, _ = opened(net)
    assert 7900 <= waited_ms(net, socket.read, 1) <= 8000


def test_short_reads_are_joined_and_the_end_is_what_came_before_it():
    net = Net()
    _, socket, raw = opened(net)
    for piece in (b"a", b"bc", b"d", b""):
        raw.hear(piece, 30)
    assert socket.read(3) == b"abc"
    assert socket.read(9) == b"d"
    assert socket.read(1) == b""


def test_short_writes_are_gone_on_with():
    net = Net()
    _, socket, raw = opened(net)
    raw.room = 2
    poll = Poll.poll

    def make_room(self, timeout_ms):
        raw.room += 2
        return poll(self, timeout_ms)

    Poll.poll = make_room
    try:
        assert socket.write(b"abcdefg", 5) == 5
    finally:
        Poll.poll = poll
    assert raw.sent == b"abcde"


def test_a_read_that_may_not_wait_returns_none_and_waits_again_once_allowed():
    net = Net()
    _, socket, raw = opened(net)
    socket.setblocking(False)
    assert socket.read(1) is None
    raw.hear(b"ab", 500)
    socket.setblocking(True)
    assert socket.read(2) == b"ab"


def test_of_an_overlong_message_only_the_beginning_is_kept_and_its_rest_is_thrown_away():
    net = Net()
    _, socket, raw = opened(net)
    raw.hear(bytes(5000) + b"next")
    assert len(socket.read(5000)) <= 512
    assert socket.read(4) == b"next"


def test_a_claimed_length_beyond_all_bounds_or_below_zero_gives_the_link_up_at_once():
    net = Net()
    _, socket, raw = opened(net)
    raw.hear(bytes(100))
    assert waited_ms(net, socket.read, 1 << 20) == 0
    assert waited_ms(net, socket.read, -3) == 0


def test_a_length_that_never_ends_is_given_up_after_a_dozen_bytes():
    net = Net()
    sockets, socket, raw = opened(net)
    raw.hear(b"\xff" * 100)
    raises(OSError, lambda: [socket.read(1) for _ in range(100)])
    assert 80 < len(raw.incoming[0][1]) < 100
    sockets.begin(8000)
    assert socket.read(1) == b"\xff"


def test_tls_wraps_every_connection_and_its_handshake_is_under_the_same_deadline():
    class Secure:
        """A stream whose handshake wants to read before it writes."""

        def __init__(self, raw):
            self.raw = raw
            self.done = False

        def write(self, data):
            if not self.done:
                if not self.raw.ready():
                    return None
                self.raw.read(5)
                self.done = True
            return self.raw.write(bytes(byte ^ 1 for byte in data))

        def read(self, count):
            return self.raw.read(count)

        def close(self):
            self.closed = True

    net = Net()
    sockets = net.sockets()
    sockets.secure = Secure
    sockets.begin(8000)
    socket = sockets.socket()
    socket.connect(("192.0.2.7", 8883))
    raw = net.made[-1]
    raw.room = 0
    assert 7900 <= waited_ms(net, socket.write, b"a") <= 8000
    raw.room = 10
    raw.hear(b"hello")
    sockets.begin(8000)
    assert socket.write(b"a") == 1 and raw.sent == b"`"
    socket.close()
    assert raw.closed and socket._stream.closed


def test_where_tls_fails_nothing_goes_out_in_plain():
    def fails(raw):
        raise ValueError("/ca.pem")

    net = Net()
    sockets = net.sockets()
    sockets.secure = fails
    sockets.begin(8000)
    socket = sockets.socket()
    raises(ValueError, socket.connect, ("192.0.2.7", 8883))
    assert net.made[-1].sent == b""


def test_a_socket_whose_poll_fails_is_readable_so_that_the_read_tells_why():
    def fails(self, timeout_ms):
        raise OSError(5)

    net = Net()
    _, socket, _ = opened(net)
    poll, Poll.poll = Poll.poll, fails
    try:
        assert socket.readable()
    finally:
        Poll.poll = poll


# ---- names


def dns(*script):
    """Answers each query by the next of `script`: None, or a function (id and question) -> bytes."""
    script = list(script)

    def answer(query, address):
        made = script.pop(0) if script else None
        return [(30, made(query), address)] if made else []

    return answer


def good(query):
    return query[:2] + ANSWER + query[12:] + RECORD


def looked_up(net, sockets, host="broker.example"):
    sockets.begin(15000)
    return sockets.look_up(host)


def test_a_name_is_asked_of_the_server_that_dhcp_named():
    net = Net()
    net.dns = dns(good)
    sockets = net.sockets("192.168.4.1")
    assert sockets.getaddrinfo("192.0.2.9", 1883)[0][-1] == ("192.0.2.9", 1883)
    assert not net.queries
    assert looked_up(net, sockets) == "198.51.100.7"
    query, address = net.queries[0]
    assert address == ("192.168.4.1", 53)
    assert query[2:] == b"\1\0\0\1\0\0\0\0\0\0\6broker\7example\0\0\1\0\1"
    assert net.made[-1].closed


def test_an_answer_through_aliases_is_followed_to_its_address():
    def aliased(query):
        alias = b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\6\3two\xc0\x13"
        return query[:2] + b"\x81\x80\0\1\0\2\0\0\0\0" + query[12:] + alias + b"\3two\xc0\x13" + RECORD[2:]

    net = Net()
    net.dns = dns(aliased)
    assert looked_up(net, net.sockets()) == "198.51.100.7"


def test_a_lost_answer_is_asked_for_again_and_a_silent_server_costs_a_third_of_the_time():
    net = Net()
    net.dns = dns(None, good)
    sockets = net.sockets()
    assert looked_up(net, sockets) == "198.51.100.7"
    net = Net()
    sockets = net.sockets()
    sockets.begin(15000)
    assert 4900 <= waited_ms(net, sockets.look_up, "broker.example") <= 5100
    assert len(net.queries) == 3


def test_an_answer_from_elsewhere_or_to_another_question_is_not_believed():
    def from_elsewhere(query, address):
        return [(10, good(query), ("192.168.4.66", 53)), (20, good(b"xx" + query[2:]), address)]

    net = Net()
    net.dns = from_elsewhere
    assert "-2" in raises(OSError, looked_up, net, net.sockets())
    net.dns = dns(lambda query: good(query).replace(b"broker", b"banker"))
    assert "-2" in raises(OSError, looked_up, net, net.sockets())


def test_the_last_good_answer_is_used_where_a_look_up_fails():
    net = Net()
    net.dns = dns(good)
    sockets = net.sockets()
    looked_up(net, sockets)
    assert looked_up(net, sockets) == "198.51.100.7"
    assert "-2" in raises(OSError, looked_up, net, sockets, "another.example")


def test_a_name_that_is_not_there_or_a_network_without_a_server_is_an_error_at_once():
    net = Net()
    net.dns = dns(lambda query: query[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + query[12:])
    before_ms = net.ticks.now_ms
    assert "-2" in raises(OSError, looked_up, net, net.sockets())
    assert "-2" in raises(OSError, looked_up, net, net.sockets("0.0.0.0"))
    assert net.ticks.now_ms - before_ms < 100


def test_no_answer_however_malformed_does_more_than_fail():
    for size in range(90):
        for _ in range(8):
            net = Net()
            net.dns = dns(lambda query: good(query)[: size // 2] if size % 2 else query + os.urandom(size))
            try:
                looked_up(net, net.sockets())
            except OSError as error:
                assert error.args[0] == -2
