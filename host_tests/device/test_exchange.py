"""The exchange with the relay: nothing leaves the queue but by the relay's own word, and nobody can fill it."""

from house import DAY_S, START_S, House

from wearmeter.exchange import wire
from wearmeter.state import faults


class Unit(House):
    """A house that is online, whose relay a test plays; with a report to tell."""

    def __init__(self, name, welcome=True):
        super().__init__(name)
        self.link.online = True
        if welcome:
            self.go(200)
            self.welcome()
            self.go(1500)
            assert self.sequences() == [1], "the report of the day"

    def settle(self):
        self.acknowledge_all()
        self.link.take()

    def reconnect(self):
        self.link.nonce += 1
        self.go(200)


def test_a_connection_begins_with_the_status_then_what_the_relay_lacks_one_by_one():
    unit = Unit("begin", welcome=False)
    unit.go(200)
    (status,) = unit.link.take(b"status")
    assert status[:4] == [2, 1, 5, unit.state.numbers.epoch]
    unit.go(3000)
    assert not unit.link.sent, "it waits for the welcome"
    unit.welcome()
    unit.go(1500)
    unit.report()
    unit.go(200)
    assert unit.link.take(b"about")
    unit.go(5000)
    assert [message[3] for message in unit.link.take()] == [1], "one at a time"
    unit.ack(1)
    unit.go(200)
    assert [message[3] for message in unit.link.take()] == [2]
    unit.ack(2)
    unit.go(200)
    assert not unit.link.take() and not unit.sequences() and not unit.link.talking


def test_the_description_is_sent_only_to_a_relay_that_has_another():
    from binascii import crc32

    unit = Unit("about")
    (about,) = unit.link.take(b"about")
    for crc, sent in ((crc32(about) & 0xFFFFFFFF, 0), (5, 1), (None, 1)):
        unit.reconnect()
        unit.welcome(crc=crc)
        unit.go(300)
        assert len(unit.link.take(b"about")) == sent, crc


def test_a_broker_that_has_a_message_is_not_a_relay_that_has_it():
    unit = Unit("broker")
    unit.go(2 * 3600 * 1000, 1000)
    assert unit.sequences()[0] == 1
    assert len(unit.link.take()) >= 4


def test_lost_doubled_forged_and_impossible_acknowledgments():
    unit = Unit("acks")
    unit.report()
    assert unit.sequences() == [1, 2]
    unit.ack(1, epoch=unit.state.numbers.epoch + 1)
    unit.ack(99)
    unit.ack(0)
    unit.ack(0xFFFFFFFF)
    assert unit.sequences() == [1, 2]
    unit.link.take()
    unit.go(16000)
    assert [message[3] for message in unit.link.take()] == [1], "the acknowledgment was lost: sent again"
    unit.ack(1)
    unit.ack(1)
    assert unit.sequences() == [2]


def test_without_a_welcome_it_goes_on_after_ten_seconds():
    unit = Unit("unwelcome", welcome=False)
    unit.learn_time()
    unit.go(11500)
    assert unit.link.take(b"about")
    assert [message[3] for message in unit.link.take()] == [1]


def test_a_relay_that_is_down_is_asked_at_most_a_few_times_in_five_minutes():
    unit = Unit("down")
    unit.link.take()
    unit.go(3600000, 500)
    assert 12 <= len(unit.link.take()) <= 60
    assert len(unit.link.take(b"status")) <= 13
    assert unit.sequences()


def test_a_new_connection_says_the_status_again_and_sends_what_was_under_way_again():
    unit = Unit("again")
    unit.link.take(b"status")
    unit.link.take()
    unit.reconnect()
    assert unit.link.take(b"status")[0][2] == 6
    unit.welcome()
    unit.go(300)
    assert [message[3] for message in unit.link.take()] == [1]


def test_a_relay_restored_from_an_old_backup_gets_one_report_for_all_it_lacks():
    unit = Unit("restored")
    for _ in range(5):
        unit.report()
    unit.settle()
    assert unit.state.numbers.next_sequence == 7
    unit.reconnect()
    unit.welcome(have=2)
    unit.go(300)
    (report,) = unit.link.take()
    assert report[1] == wire.REPORT and report[3] == 7 and report[7] == 4, "it stands for 3, 4, 5 and 6"
    unit.ack(7)
    assert not unit.sequences()


def test_a_replacement_the_restored_relay_lacks_is_sent_again_under_its_own_sequence():
    unit = Unit("lacks")
    unit.press(1)
    unit.wait(640)
    unit.settle()
    unit.reconnect()
    unit.welcome(have=1)
    unit.go(300)
    (message,) = unit.link.take()
    assert message[1] == wire.REPLACEMENT and message[3] == 2
    unit.ack(2)
    unit.go(200)
    (message,) = unit.link.take()
    assert message[1] == wire.REPORT and message[3] == 3


def test_a_welcome_for_another_epoch_or_far_beyond_what_was_sent_acknowledges_nothing():
    unit = Unit("forged")
    epoch = unit.state.numbers.epoch
    for other, have in ((epoch + 1, 1), (epoch, 0xFFFFFFFF)):
        unit.reconnect()
        unit.welcome(have=have, epoch=other)
        assert unit.sequences() == [1], (other, have)
    assert unit.state.numbers.next_sequence == 2


def test_a_unit_that_damage_took_back_in_time_uses_no_sequence_that_the_relay_already_holds():
    unit = Unit("back")
    unit.reconnect()
    unit.welcome(have=7)
    assert unit.sequences()[0] == 8 and unit.state.numbers.next_sequence >= 9
    unit.go(2000)
    assert unit.queued(wire.FAULT)[-1][5] & faults.QUEUE_LOST


def test_a_flood_of_welcomes_neither_fills_the_flash_nor_turns_the_clock():
    unit = Unit("welcomes")
    for _ in range(10):
        unit.report()
    unit.settle()
    saves = unit.state._ledger.counter
    for number in range(100):
        unit.say(wire.WELCOME, unit.state.numbers.epoch, 0, None, utc_s=START_S + number * DAY_S)
    assert unit.state._ledger.counter <= saves + 4
    assert unit.state.clock.now() < START_S + 3600


def test_an_impossible_time_from_the_relay_is_refused_and_told():
    unit = Unit("impossible", welcome=False)
    unit.go(200)
    unit.say(wire.WELCOME, unit.state.numbers.epoch, 0, None, utc_s=5)
    assert unit.state.clock.now() is None
    unit.go(1500)
    assert unit.queued(wire.FAULT)[-1][5] & faults.CLOCK_REFUSED


def test_a_message_that_is_not_valid_is_a_fault_told_once():
    unit = Unit("garbage")
    for _ in range(5):
        unit.link.on_refused()
        unit.go(61000, 1000)
    told = [fields for fields in unit.queued(wire.FAULT) if fields[5] & faults.MESSAGE_REFUSED]
    assert len(told) == 1


def test_the_queue_may_change_under_the_loop_while_it_looks_for_the_oldest():
    unit = Unit("race")
    first = unit.state.queue.first
    struck = []

    def interrupted():
        entry = first()
        if not struck:
            struck.append(1)
            unit.state._do(unit.state._acknowledge, (unit.state.numbers.epoch, 1))
            unit.report()
        return entry

    unit.state.queue.first = interrupted
    assert unit.device.exchange._first().sequence == 2


def test_each_message_has_its_own_three_tries():
    unit = Unit("tries")
    unit.report()
    unit.go(32000)
    assert [message[3] for message in unit.link.take()] == [1, 1, 1]
    unit.ack(1)
    unit.go(16000)
    assert [message[3] for message in unit.link.take()] == [2, 2]
