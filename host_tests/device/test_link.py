"""The link, over the real umqtt.simple and a scripted broker: every fault is a lost link, and every wait is bounded."""

import errno
import gc

import rig
from helpers import ON_MICROPYTHON
from rig import CLIENTS, ONLINE, PAUSE, Device

from wearmeter.exchange import wire
from wearmeter.exchange.cbor import encode
from wearmeter.network.testing import Broker, Station, publish_packet

HOUR_MS = 3600000


def lost(device, most_ms=60000):
    """Run until the link is lost (again); returns why."""
    losses = device.link.losses
    end_ms = device.clockwork.passed_ms + most_ms
    while device.link.losses == losses:
        assert device.clockwork.passed_ms < end_ms, device.lines
        device.step()
    assert device.net.made[-1].closed, "the socket is left open"
    return device.link.reason


def each_client(test):
    for client in CLIENTS:
        test(client)


def test_it_connects_subscribes_and_publishes_with_every_umqtt():
    def test(client):
        broker = Broker()
        device = Device(broker, client).until(ONLINE)
        (_, connect), (_, subscribe) = broker.of(0x10)[0], broker.of(0x80)[0]
        assert connect[:8] == b"\0\4MQTT\4\x2e"  # clean session, will of QoS 1, retained
        assert connect[8:10] == b"\0\xf0"
        assert connect.endswith(b"wearmeter/unit1/status\0" + bytes([len(will(device))]) + will(device))
        assert subscribe[2:] == b"\0\x14wearmeter/unit1/down\1"
        assert device.link.publish(b"up", b"payload")
        assert broker.of(0x30)[0][1].endswith(b"payload")

    each_client(test)


def will(device):
    return wire.last_will(device.link.nonce)


def command(device, number=1, nonce=None):
    return encode([wire.VERSION, 3, nonce or device.link.nonce, 1782900000, number, 3])


def deliver(device, payload, topic="wearmeter/unit1/down", retain=0):
    device.broker.raw.hear(publish_packet(topic, payload, retain=retain))
    device.go(1000)


def test_a_message_of_this_connection_is_handed_on_and_no_other():
    def test(client):
        device = Device(client=client).until(ONLINE)
        deliver(device, command(device))
        deliver(device, command(device, nonce=77))
        deliver(device, b"\xff")
        deliver(device, command(device), topic="wearmeter/other/down")
        deliver(device, bytes(1000))
        deliver(device, command(device) + bytes(9000))
        assert [fields[4] for fields in device.messages] == [1]
        assert device.refused == 4 and device.link.state == ONLINE
        assert len(device.broker.of(0x40)) == 6

    each_client(test)


def test_a_message_recorded_on_an_earlier_connection_is_refused():
    device = Device(random=iter(range(5, 99)).__next__).until(ONLINE)
    old = command(device)
    device.broker.raw.hear(b"")
    lost(device)
    device.until(ONLINE)
    deliver(device, old)
    assert not device.messages and device.refused == 1


def test_a_broker_that_closes_instead_of_answering_connect_is_a_lost_link():
    each_client(lambda client: check(client, rig.CLOSED, connect=lambda raw, *_: raw.hear(b"", 20)))


GARBLED = rig.PROTOCOL, rig.REFUSED, rig.CLOSED


def check(client, reason, most_ms=15010, **answers):
    device = Device(Broker(**answers), client)
    assert lost(device) in (reason if isinstance(reason, tuple) else (reason,)), device.lines
    assert device.longest_step_ms <= most_ms
    assert device.link.losses == 1


def test_a_broker_that_refuses_is_a_lost_link_with_its_own_reason():
    each_client(lambda client: check(client, rig.REFUSED, connect=b"\x20\x02\0\5"))
    each_client(lambda client: check(client, rig.REFUSED, subscribe=b"\x90\x03\0\x01\x80"))


def test_a_broker_that_never_answers_is_given_up_after_fifteen_seconds():
    each_client(lambda client: check(client, rig.TIMEOUT, connect=None))
    each_client(lambda client: check(client, rig.TIMEOUT, subscribe=None))


def test_garbage_instead_of_an_answer_is_a_lost_link():
    # Which reason depends on whether umqtt.simple was compiled with its asserts.
    each_client(lambda client: check(client, GARBLED, connect=b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    each_client(lambda client: check(client, GARBLED, connect=b"\x30\x02\0\x05"))
    each_client(lambda client: check(client, GARBLED, connect=lambda raw, *_: raw.hear(b"\x20\2") or raw.hear(b"")))
    # A topic longer than its message, a length without end.
    for bad in (b"\x32\x04\0\x09ab", b"\x32" + b"\xff" * 30):
        each_client(lambda client: in_session(client, bad))


def in_session(client, bad):
    device = Device(client=client).until(ONLINE)
    device.broker.raw.hear(bad)
    assert lost(device) in (rig.PROTOCOL, rig.CONNECT_FAILED, rig.TIMEOUT)
    assert device.longest_step_ms <= 15010


def test_a_lost_puback_costs_eight_seconds_and_the_link():
    def test(client):
        device = Device(Broker(publish=None), client).until(ONLINE)
        before_ms = device.clockwork.passed_ms
        assert not device.link.publish(b"up", b"x")
        assert 7970 <= device.clockwork.passed_ms - before_ms <= 8010
        assert device.link.reason == rig.TIMEOUT and device.net.made[-1].closed

    each_client(test)


def test_a_puback_of_another_message_is_not_taken_for_ours():
    device = Device(Broker(publish=b"\x40\x02\x12\x34")).until(ONLINE)
    assert not device.link.publish(b"up", b"x") and device.link.reason == rig.TIMEOUT


def test_packet_ids_go_on_after_65535():
    def test(client):
        device = Device(client=client).until(ONLINE)
        device.link._client.pid = 65533
        assert all([device.link.publish(b"up", b"x") for _ in range(5)])
        ids = [body[20] << 8 | body[21] for _, body in device.broker.of(0x30)]
        assert [body[22:] for _, body in device.broker.of(0x30)] == [b"x"] * 5
        assert ids == [65534, 65535, 1, 2, 3]

    each_client(test)


def test_pings_keep_a_quiet_connection_and_a_lost_ping_ends_it():
    def test(client):
        device = Device(client=client).until(ONLINE)
        device.go(HOUR_MS)
        assert device.link.online and 25 <= len(device.broker.of(0xC0)) <= 31
        device.broker.answers["ping"] = None
        began_ms = device.clockwork.passed_ms
        assert lost(device, 300000) == rig.PING_LOST
        assert device.clockwork.passed_ms - began_ms <= 136000

    each_client(test)


def test_the_end_of_a_connection_and_a_reset_are_seen_at_once():
    late = OSError(errno.ETIMEDOUT)
    for end, reason in ((b"", rig.CLOSED), (OSError(errno.ECONNRESET), rig.CLOSED), (late, rig.TIMEOUT)):
        device = Device().until(ONLINE)
        device.broker.raw.hear(end)
        assert lost(device, 2000) == reason


def test_a_flood_of_messages_leaves_the_loop_its_turns():
    device = Device().until(ONLINE)
    for _ in range(100):
        device.broker.raw.hear(publish_packet("wearmeter/unit1/down", command(device)))
    device.step()
    assert len(device.messages) == 4
    assert device.longest_step_ms <= 1000


def test_a_failing_handler_of_messages_is_a_lost_link_and_no_more():
    device = Device().until(ONLINE)
    device.link.on_message = lambda fields: {}["no"]
    device.broker.raw.hear(publish_packet("wearmeter/unit1/down", command(device)))
    assert lost(device) == rig.PROTOCOL


def test_tls_that_fails_is_a_reason_of_its_own_and_nothing_is_said_in_plain():
    for error in (ValueError("not correctly signed"), OSError(-0x7780, "alert"), ValueError("no CA")):
        device = Device(secure=Secure(error))
        assert lost(device) == rig.TLS_FAILED
        assert not [raw for raw in device.net.made if raw.sent]


class Secure:
    def __init__(self, error):
        self.error = error

    def wrap(self, raw):
        raise self.error


# ---- Wi-Fi


def wifi(code, associated=False):
    station = Station(up=False)
    station.code, station.associated = code, associated
    device = Device(station=station)
    device.until(PAUSE)
    return device


def test_each_way_to_miss_the_wifi_has_its_reason():
    for code, reason in (
        (15, rig.WRONG_PASSWORD),
        (202, rig.WRONG_PASSWORD),
        (204, rig.WRONG_PASSWORD),
        (201, rig.NO_ACCESS_POINT),
        (211, rig.NO_ACCESS_POINT),
        (1001, rig.WIFI_TIMEOUT),
        (205, rig.WIFI_TIMEOUT),
    ):
        device = wifi(code)
        assert device.link.reason == reason, code
        assert device.clockwork.passed_ms <= 9000
        assert device.station.calls == ["connect", "disconnect"], "the radio must be idle for the next attempt"


def test_a_house_whose_dhcp_gives_no_address_is_told_from_one_without_wifi():
    device = wifi(1001, associated=True)
    assert device.link.reason == rig.NO_ADDRESS and 20000 <= device.clockwork.passed_ms <= 21000


def test_a_lease_that_is_lost_ends_the_connection_though_the_radio_still_says_connected():
    device = Device().until(ONLINE)
    device.station.ip = "0.0.0.0"
    assert lost(device) == rig.WIFI_LOST
    device.station.up = False
    device.until(rig.WIFI)
    device.station.up, device.station.ip = True, "192.168.4.3"
    device.until(ONLINE)


def test_an_access_point_that_goes_and_comes_back():
    device = Device().until(ONLINE)
    device.station.up, device.station.code = False, 201
    assert lost(device) == rig.WIFI_LOST
    device.go(10000)
    assert lost(device) == rig.NO_ACCESS_POINT
    device.go(600000)
    attempts = device.station.calls.count("connect")
    assert 8 <= attempts <= 20, "about one each minute"
    device.station.up = True
    device.until(ONLINE, 61000)
    assert device.link.losses == attempts


def test_a_radio_that_refuses_to_connect_is_tried_again():
    device = Device(station=Station(up=False))
    device.station.error = "Wifi Internal State Error"
    assert device.until(PAUSE).link.reason == rig.WIFI_TIMEOUT
    device.station.error = None
    device.until(rig.WIFI)


# ---- pauses and the budget


def test_pauses_are_drawn_from_a_span_that_doubles_to_a_quarter_of_an_hour():
    device = Device(Broker(connect=b"\x20\x02\0\3"), random=(1 << 31) - 1)
    spans = []
    for _ in range(14):
        most_ms = device.link._most_ms
        spans.append(most_ms)
        lost(device, 1000000)
        assert device.link._pause_ms == ((1 << 31) - 1) % most_ms
    assert spans == [2000, 4000, 8000, 16000, 32000, 64000, 128000, 256000, 512000] + [900000] * 5


def test_two_devices_do_not_return_at_the_same_moment():
    pauses = []
    for random in (123456789, 987654321):
        device = Device(Broker(connect=None), random=random)
        lost(device)
        pauses.append(device.link._pause_ms)
    assert pauses[0] != pauses[1]


def test_the_span_is_short_again_only_after_a_minute_in_which_the_relay_has_spoken():
    for speaks, lasts_ms, short in ((True, 61000, True), (True, 5000, False), (False, 61000, False)):
        device = Device()
        device.link._most_ms = 64000
        device.until(ONLINE)
        if speaks:
            deliver(device, command(device))
        device.go(lasts_ms)
        device.broker.raw.hear(b"")
        lost(device)
        assert (device.link._most_ms == 4000) == short, (speaks, lasts_ms)


def test_a_broker_that_accepts_and_drops_is_not_hammered():
    broker = Broker(subscribe=lambda raw, first, body: raw.hear(b"\x90\x03" + body[:2] + b"\1") or raw.hear(b"", 500))
    seed = [1]

    def random():
        seed[0] = (seed[0] * 1103515245 + 12345) & 0x7FFFFFFF
        return seed[0] >> 4

    device = Device(broker, random=random)
    device.go(24 * HOUR_MS)
    assert 100 < len(broker.connects) <= 30 + 24 * 8 + 1, len(broker.connects)


def test_connects_have_a_budget_even_where_chance_draws_no_pause_at_all():
    device = Device(Broker(connect=b"\x20\x02\0\3"), random=0)
    device.go(24 * HOUR_MS)
    assert len(device.broker.connects) <= 30 + 24 * 8 + 1
    first_hour = len(device.broker.connects)
    device.go(24 * HOUR_MS)
    assert len(device.broker.connects) - first_hour <= 24 * 8 + 1


def test_the_radio_begins_anew_after_several_failures_in_a_row():
    device = Device(Broker(connect=None), random=0)
    for _ in range(4):
        lost(device)
    assert device.station.calls == ["disconnect"]


def test_the_relay_is_subscribed_to_anew_at_each_connection_so_a_broker_may_forget_everything():
    device = Device(random=3).until(ONLINE)
    device.broker.raw.hear(b"")
    lost(device)
    device.until(ONLINE)
    assert len(device.broker.of(0x80)) == 2
    assert all([body[7] & 2 for _, body in device.broker.of(0x10)])


def test_a_name_that_cannot_be_found_is_a_reason_of_its_own():
    device = Device()
    device.link._config = NamedBroker
    assert lost(device) == rig.NAME_LOOKUP
    assert device.longest_step_ms <= 5500


class NamedBroker:
    ssid, wifi_password = "Home", None
    host, port, transport = "broker.example", 1883, "plain"
    user = password = None
    topic_root = "wearmeter"


def test_a_hundred_reconnects_leave_no_memory_behind():
    device = Device(random=1)
    used = []
    for number in range(120):
        device.link._credit_ms = rig.FULL_CREDIT_MS
        device.until(ONLINE)
        assert device.link.publish(b"up", b"x" * 40)
        device.broker.raw.hear(b"")
        lost(device)
        device.link._most_ms = 2000
        for script in (
            device.net.made,
            device.lines,
            device.station.calls,
            device.broker.connects,
            device.broker.packets,
        ):
            del script[:]
        if ON_MICROPYTHON and number in (19, 119):
            gc.collect()
            used.append(gc.mem_alloc())
    assert not used or used[1] <= used[0] + 256, used
