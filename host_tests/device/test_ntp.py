"""NTP is asked where the time is unknown or told by the relay alone, and believed only if the answer is one."""

from wearmeter.device.testing import Clockwork, ticks_diff
from wearmeter.network.ntp import Ntp
from wearmeter.network.testing import Net, Poll
from wearmeter.state import clock, events

UTC_S = 1782900000


def answer(utc_s=UTC_S, head=0x24, stratum=2):
    packet = bytearray(48)
    packet[0], packet[1] = head, stratum
    packet[40:44] = ((utc_s + 2208988800) & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(packet)


class Unit:
    def __init__(self, *answers):
        self.clockwork = Clockwork()
        self.net = Net(self.clockwork)
        self.net.datagram = lambda query, address: [(30, data, sender or address) for data, sender in answers]
        self.clock = clock.Clock(self.clockwork.ticks_ms, ticks_diff)
        self.wifi = True
        self.posted = []
        self.lines = []
        self.ntp = Ntp(
            "192.0.2.123",
            self.net.resolver(),
            self.net,
            Poll,
            self.net.deadline,
            self,
            self.posted.append,
            lambda: self.wifi,
            ticks_diff,
            self.lines.append,
        )

    def step(self, ms=0):
        self.clockwork.go(ms)
        self.ntp.step(self.clockwork.ticks_ms())


def test_a_good_answer_is_an_event_like_any_other():
    unit = Unit((answer(), None))
    unit.step()
    assert unit.posted == [(events.TOLD_TIME, clock.NTP, UTC_S)]
    query, address = unit.net.queries[0]
    assert len(query) == 48 and query[0] == 0x1B and address == ("192.0.2.123", 123)
    assert unit.net.made[-1].closed


def test_what_is_no_answer_of_a_server_that_knows_is_not_believed():
    for data, sender in (
        (answer(head=0x23), None),  # a client's packet
        (answer(stratum=0), None),  # a kiss of death
        (answer(head=0xE4), None),  # not synchronised
        (answer()[:47], None),
        (answer(), ("192.0.2.66", 123)),
    ):
        unit = Unit((data, sender))
        unit.step()
        assert unit.posted == [] and len(unit.lines) == 1
        assert unit.clockwork.passed_ms <= 1010, "a second, and no more"
        assert unit.net.made[-1].closed


def test_a_good_answer_after_a_bad_one_counts():
    unit = Unit((answer(stratum=0), None), (answer(), None))
    unit.step()
    assert len(unit.posted) == 1


def test_it_is_asked_each_five_minutes_until_the_time_is_known_then_each_six_hours_until_two_agree():
    unit = Unit()
    for _ in range(3):
        unit.step(1)
    assert len(unit.net.queries) == 1
    unit.step(300000)
    assert len(unit.net.queries) == 2
    unit.clock.learn(clock.RELAY, UTC_S)
    unit.step(300000)
    assert len(unit.net.queries) == 2
    unit.step(21600000)
    assert len(unit.net.queries) == 3
    unit.clock.learn(clock.NTP, UTC_S)
    unit.step(30000000)
    assert len(unit.net.queries) == 3


def test_without_wifi_nobody_is_asked():
    unit = Unit((answer(), None))
    unit.wifi = False
    unit.step()
    assert not unit.net.queries
    unit.wifi = True
    unit.step(1)
    assert unit.posted
