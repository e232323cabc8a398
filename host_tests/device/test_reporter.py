"""The exchange with the relay: nothing leaves the outbox but by the relay's own word, and nobody can fill it."""

from fakes import Shelf, Ticks, ticks_diff

from wearmeter import clock, faults, ledger, outbox, reporter, schedule, tick, wire
from wearmeter.cbor import decode

NOW_S = 1782900000
EPOCH = 77
ABOUT = b"about"


class Link:
    """A link whose broker takes everything, and a relay that a test plays."""

    def __init__(self):
        self.online = True
        self.nonce = 5
        self.reason = self.losses = self.refused = 0
        self.talking = False
        self.sent = []
        self.on_message = None
        self.works = True

    def publish(self, branch, payload, retain=False):
        if self.works:
            self.sent.append((branch, payload))
        return self.works

    def take(self, branch=b"up"):
        found = [decode(payload) if branch != b"about" else payload for kind, payload in self.sent if kind == branch]
        self.sent = [message for message in self.sent if message[0] != branch]
        return found


class Unit:
    """A device's loop without board: `go` lets time pass, `say` plays the relay."""

    def __init__(self, welcome=True):
        self.ticks = Ticks()
        self.lines = []
        self.ledger = ledger.Ledger(2)
        self.ledger.epoch = EPOCH
        self.clock = clock.Clock(ticks_diff)
        self.faults = faults.Faults()
        self.shelf = Shelf()
        self.outbox = outbox.Outbox(self.shelf, 2)
        self.outbox.load(EPOCH, 1, [1, 1])
        self.link = Link()
        light = type("Light", (), {"tick": lambda self, held: None, "play": lambda self, pattern: None})()
        part = type("Part", (), {"instance": "Sensor.X", "rated_life_h": 100})()
        self.tick = tick.Tick(
            self.ledger,
            Shelf(),
            self.clock,
            self.faults,
            [],
            [],
            [],
            [part, part],
            light,
            self.ticks,
            self.lines.append,
        )
        self.tick.released = [1, 1]
        self.reporter = reporter.Reporter(
            self.ledger,
            self.outbox,
            self.clock,
            self.faults,
            self.tick,
            self.link,
            ABOUT,
            schedule.report_minute("unit1"),
            self.ticks,
            ticks_diff,
            self.lines.append,
        )
        self.clock.tick(0)
        if welcome:
            self.go(200)
            self.welcome()
            self.go(500)

    def go(self, ms):
        for _ in range(max(1, ms // 100)):
            self.ticks.go(100)
            self.tick()
            self.reporter.step(self.ticks())

    def say(self, kind, *fields, utc_s=None):
        now_s = utc_s or NOW_S + self.clock.uptime_s
        self.link.on_message([1, kind, self.link.nonce, now_s] + list(fields))

    def welcome(self, have=0, epoch=EPOCH, crc=None):
        self.say(wire.WELCOME, epoch, have, crc)

    def ack(self, sequence, epoch=EPOCH):
        self.say(wire.ACK, epoch, sequence)

    @property
    def queued(self):
        return [entry[outbox.SEQUENCE] for entry in self.outbox.entries]

    def report(self):
        self.reporter._report(self.outbox.last_period)
        return self.outbox.next_sequence - 1


def test_a_connection_begins_with_the_status_then_what_the_relay_lacks_one_by_one():
    unit = Unit(welcome=False)
    unit.go(200)
    (status,) = unit.link.take(b"status")
    assert status[:4] == [2, 1, 5, EPOCH]
    unit.go(3000)
    assert not unit.link.sent, "it waits for the welcome"
    unit.welcome()
    unit.report()
    unit.go(200)
    assert unit.link.take(b"about") == [ABOUT]
    unit.go(5000)
    assert [message[3] for message in unit.link.take()] == [1], "one at a time"
    unit.ack(1)
    unit.go(200)
    assert [message[3] for message in unit.link.take()] == [2]
    unit.ack(2)
    unit.go(200)
    assert not unit.link.take() and not unit.queued and not unit.link.talking


def test_a_broker_that_has_a_message_is_not_a_relay_that_has_it():
    unit = Unit()
    unit.go(10 * 86400 * 10)
    assert unit.queued[0] == 1
    assert len(unit.link.take()) >= 4


def test_lost_doubled_forged_and_impossible_acknowledgments():
    unit = Unit()
    unit.report()
    assert unit.queued == [1, 2]
    unit.ack(1, epoch=EPOCH + 1)
    unit.ack(99)
    unit.ack(0)
    unit.ack(0xFFFFFFFF)
    assert unit.queued == [1, 2]
    unit.link.take()
    unit.go(16000)
    assert [message[3] for message in unit.link.take()] == [1], "the acknowledgment was lost: sent again"
    unit.ack(1)
    unit.ack(1)
    assert unit.queued == [2]


def test_without_a_welcome_it_goes_on_after_ten_seconds():
    unit = Unit(welcome=False)
    unit.clock.set(NOW_S)
    unit.go(11000)
    assert unit.link.take(b"about") == [ABOUT]
    assert [message[3] for message in unit.link.take()] == [1]


def test_a_relay_that_is_down_is_asked_at_most_a_few_times_in_five_minutes():
    unit = Unit()
    unit.link.take()
    unit.go(3600000)
    assert 12 <= len(unit.link.take()) <= 60
    assert len(unit.link.take(b"status")) <= 13
    assert unit.queued


def test_a_new_connection_says_the_status_again_and_sends_what_was_under_way_again():
    unit = Unit()
    unit.link.take(b"status")
    unit.link.take()
    unit.link.nonce = 6
    unit.go(200)
    assert unit.link.take(b"status")[0][2] == 6
    unit.welcome()
    unit.go(200)
    assert [message[3] for message in unit.link.take()] == [1]


def settle(unit):
    while unit.queued:
        unit.ack(unit.queued[0])
        unit.go(200)
    unit.link.take()


def test_a_relay_restored_from_an_old_backup_gets_one_report_for_all_it_lacks():
    unit = Unit()
    for _ in range(5):
        unit.report()
    settle(unit)
    assert unit.outbox.next_sequence == 7
    unit.link.nonce = 6
    unit.go(200)
    unit.welcome(have=2)
    unit.go(300)
    (report,) = unit.link.take()
    assert report[1] == wire.REPORT and report[3] == 7 and report[7] == 4, "it stands for 3, 4, 5 and 6"
    unit.ack(7)
    assert not unit.queued


def test_a_replacement_the_restored_relay_lacks_is_sent_again_under_its_own_sequence():
    unit = Unit()
    unit.outbox.add_replacement(0, 2, [0, 2, 5, 5, 0], NOW_S, NOW_S, 0, None)
    settle(unit)
    unit.link.nonce = 6
    unit.go(200)
    unit.welcome(have=1)
    unit.go(300)
    (message,) = unit.link.take()
    assert message[1] == wire.REPLACEMENT and message[3] == 2
    unit.ack(2)
    unit.go(200)
    (message,) = unit.link.take()
    assert message[1] == wire.REPORT and message[3] == 3


def test_a_welcome_for_another_epoch_or_far_beyond_what_was_sent_acknowledges_nothing():
    unit = Unit()
    for epoch, have in ((EPOCH + 1, 1), (EPOCH, 0xFFFFFFFF)):
        unit.link.nonce += 1
        unit.go(200)
        unit.welcome(have=have, epoch=epoch)
        assert unit.queued == [1], (epoch, have)
    assert unit.outbox.next_sequence == 2


def test_a_unit_that_damage_took_back_in_time_uses_no_sequence_that_the_relay_already_holds():
    unit = Unit()
    unit.link.nonce += 1
    unit.go(200)
    unit.welcome(have=7)
    assert unit.queued == [8] and unit.outbox.next_sequence >= 9
    assert unit.faults.bits & faults.OUTBOX_LOST


def test_a_flood_of_welcomes_neither_fills_the_flash_nor_turns_the_clock():
    unit = Unit()
    for _ in range(10):
        unit.report()
    settle(unit)
    saves = unit.shelf.saves
    for number in range(100):
        unit.say(wire.WELCOME, EPOCH, 0, None, utc_s=NOW_S + number * 86400)
        unit.go(100)
    assert unit.shelf.saves <= saves + 4
    assert unit.clock.now() < NOW_S + 3600


def test_a_flood_of_commands_is_answered_one_by_one_and_cannot_fill_the_outbox():
    unit = Unit()
    settle(unit)
    for number in range(1, 300):
        unit.say(wire.COMMAND, number, wire.REPLACED, 0, unit.ledger.consumables[0].generation)
        unit.go(100)
    kinds = [entry[outbox.KIND] for entry in unit.outbox.entries]
    assert kinds.count(wire.ANSWER) == 1
    assert unit.outbox.size_bytes() < 200


def test_a_flood_of_report_now_makes_no_more_than_one_report_for_each_answer_that_arrives():
    unit = Unit()
    settle(unit)
    first = unit.outbox.next_sequence
    for number in range(1, 300):
        unit.say(wire.COMMAND, number, wire.REPORT_NOW)
        unit.go(100)
    assert unit.outbox.next_sequence - first == 2


def test_no_command_raises_or_lowers_a_count():
    unit = Unit()
    parts = unit.ledger.consumables
    unit.ledger.add(0, 5000)
    unit.ledger.add(1, 7000)
    number = 0
    for operation in (wire.REPLACED, wire.UNDO, wire.REPORT_NOW):
        for index in (0, 1, 2, 7, 0xFFFFFFFF):
            for generation in (0, 1, 2, 65535, 0xFFFFFFFF):
                number += 1
                unit.say(wire.COMMAND, number, operation, index, generation)
                unit.go(300)
                settle(unit)
    assert [part.lifetime_ms for part in parts] == [5000, 7000]


def test_an_impossible_time_from_the_relay_is_refused_and_told():
    unit = Unit(welcome=False)
    unit.go(200)
    unit.say(wire.WELCOME, EPOCH, 0, None, utc_s=5)
    assert unit.clock.now() is None and unit.faults.bits & faults.CLOCK_REFUSED
