"""Names are looked up under a deadline, of the server that DHCP named, and only what was asked for is believed."""

import os

from helpers import raises

from wearmeter.device.testing import Clockwork
from wearmeter.network.testing import Net

ANSWER = b"\x81\x80\0\1\0\1\0\0\0\0"
RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc6\x33\x64\x07"  # 198.51.100.7


def network():
    return Net(Clockwork())


def waited_ms(net, action, *arguments):
    before_ms = net.clockwork.passed_ms
    raises(OSError, action, *arguments)
    return net.clockwork.passed_ms - before_ms


def dns(*script):
    """Answers each query by the next of `script`: None, or a function (id and question) -> bytes."""
    script = list(script)

    def answer(query, address):
        made = script.pop(0) if script else None
        return [(30, made(query), address)] if made else []

    return answer


def good(query):
    return query[:2] + ANSWER + query[12:] + RECORD


def looked_up(resolver, host="broker.example"):
    return resolver.look_up(host)


def test_a_name_is_asked_of_the_server_that_dhcp_named():
    net = network()
    net.datagram = dns(good)
    resolver = net.resolver("192.168.4.1")
    assert resolver.look_up("192.0.2.9") == "192.0.2.9"
    assert not net.queries
    assert looked_up(resolver) == "198.51.100.7"
    query, address = net.queries[0]
    assert address == ("192.168.4.1", 53)
    assert query[2:] == b"\1\0\0\1\0\0\0\0\0\0\6broker\7example\0\0\1\0\1"
    assert net.made[-1].closed


def test_an_answer_through_aliases_is_followed_to_its_address():
    def aliased(query):
        alias = b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\6\3two\xc0\x13"
        return query[:2] + b"\x81\x80\0\1\0\2\0\0\0\0" + query[12:] + alias + b"\3two\xc0\x13" + RECORD[2:]

    net = network()
    net.datagram = dns(aliased)
    assert looked_up(net.resolver()) == "198.51.100.7"


def test_a_lost_answer_is_asked_for_again_and_a_silent_server_costs_three_seconds():
    net = network()
    net.datagram = dns(None, good)
    resolver = net.resolver()
    assert looked_up(resolver) == "198.51.100.7"
    net = network()
    resolver = net.resolver()
    assert 2950 <= waited_ms(net, resolver.look_up, "broker.example") <= 3050
    assert len(net.queries) == 3


def test_an_answer_from_elsewhere_or_to_another_question_is_not_believed():
    def from_elsewhere(query, address):
        return [(10, good(query), ("192.168.4.66", 53)), (20, good(b"xx" + query[2:]), address)]

    net = network()
    net.datagram = from_elsewhere
    assert "-2" in raises(OSError, looked_up, net.resolver())
    net.datagram = dns(lambda query: good(query).replace(b"broker", b"banker"))
    assert "-2" in raises(OSError, looked_up, net.resolver())


def test_the_last_good_answer_is_used_where_a_look_up_fails():
    net = network()
    net.datagram = dns(good)
    resolver = net.resolver()
    looked_up(resolver)
    assert looked_up(resolver) == "198.51.100.7"
    assert "-2" in raises(OSError, looked_up, resolver, "another.example")


def test_a_name_that_is_not_there_or_a_network_without_a_server_is_an_error_at_once():
    net = network()
    net.datagram = dns(lambda query: query[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + query[12:])
    before_ms = net.clockwork.passed_ms
    assert "-2" in raises(OSError, looked_up, net.resolver())
    assert "-2" in raises(OSError, looked_up, net.resolver("0.0.0.0"))
    assert net.clockwork.passed_ms - before_ms < 100


def test_no_answer_however_malformed_does_more_than_fail():
    for size in range(90):
        for _ in range(8):
            net = network()
            net.datagram = dns(lambda query: good(query)[: size // 2] if size % 2 else query + os.urandom(size))
            try:
                looked_up(net.resolver())
            except OSError as error:
                assert error.args[0] == -2
