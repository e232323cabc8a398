"""The queue keeps what the relay has not acknowledged, in place, in order, in bounds."""

from helpers import raises

from wearmeter.exchange import cbor, wire
from wearmeter.state.queue import LIMIT_BYTES, Full, Queue

E = 99
START, END = 10, 2100
DAY_S = 86400
UTC_S = 1782900000


def box():
    return Queue(memoryview(bytearray(END)), START, END)


def report(made, sequence, utc_s=UTC_S, epoch=E):
    made.add(wire.REPORT, epoch, sequence, (utc_s, utc_s, 5), 0, cbor.encode([1, 9, 1, 9, 2, 7, 1, 7]))


def replacement(made, sequence, part=1, uptime_s=5, generation=2):
    tail = b"".join([cbor.encode(field) for field in (part, generation, 5, 5, 0)])
    made.add(wire.REPLACEMENT, E, sequence, (UTC_S, UTC_S, uptime_s), 0, tail)


def fault(made, sequence, moment=(0, 0, 30)):
    made.add(wire.FAULT, E, sequence, moment, 8, cbor.encode("detail"))


def sequences(made):
    return [entry.sequence for entry in made.entries() if not entry.told]


def test_an_entry_stays_until_its_own_epoch_and_sequence_are_acknowledged():
    made = box()
    report(made, 1)
    report(made, 2)
    assert not made.acknowledge(E + 1, 1)
    assert not made.acknowledge(E, 3)
    assert made.acknowledge(E, 2) and sequences(made) == [1]
    assert not made.acknowledge(E, 2)
    assert made.acknowledge(E, 1) and made.first() is None and len(made) == 0


def test_what_is_read_back_is_what_was_added():
    made = box()
    made.add(wire.FAULT, E, 7, (1, 2, 3), 0x4321, b"\x63abc", 65535)
    entry = made.first()
    assert (entry.kind, entry.epoch, entry.sequence, entry.faults) == (wire.FAULT, E, 7, 0x4321)
    assert (entry.not_before, entry.not_after, entry.uptime_s, entry.merged, entry.tail) == (1, 2, 3, 65535, b"\x63abc")


def test_a_full_queue_coalesces_the_oldest_reports_and_never_a_replacement_or_a_fault():
    made = box()
    for day in range(10):
        report(made, day + 1, UTC_S + day * DAY_S)
    replacement(made, 11)
    fault(made, 12)
    for day in range(400):
        report(made, day + 13, UTC_S + (day + 10) * DAY_S)
    assert made.end - START <= LIMIT_BYTES
    kinds = [entry.kind for entry in made.entries()]
    assert kinds.count(wire.REPLACEMENT) == 1 and kinds.count(wire.FAULT) == 1
    # What is left stands for every sequence there ever was, in order.
    covered = []
    for entry in made.entries():
        covered += range(entry.sequence - entry.merged, entry.sequence + 1)
    assert covered == list(range(1, 413))
    assert made.lowest(E, 0xFFFFFFFF) == 1


def test_reports_of_two_epochs_or_with_a_gap_between_them_do_not_coalesce():
    for second, epoch in ((2, E + 1), (3, E)):
        made = box()
        report(made, 1)
        report(made, second, epoch=epoch)
        assert not made._coalesce()


def test_more_than_the_bound_is_full_and_changes_nothing():
    made = box()
    done = 0

    def fill():
        replacement(made, done + 1)

    while made.end + 40 <= END:
        fill()
        done += 1
    end = made.end
    raises(Full, fill)
    assert made.end == end and len(made) == done > 50
    raises(Full, made.add, wire.FAULT, E, 1, (0, 0, 0), 0, bytes(300))


def test_events_of_this_boot_get_their_moment_once_the_time_is_known():
    made = box()
    fault(made, 1, (UTC_S - 900, 0, 30))
    assert made.resolve(UTC_S)
    entry = made.first()
    assert entry.not_before == entry.not_after == UTC_S + 30
    assert not made.resolve(UTC_S), "nothing has changed"
    assert made.resolve(UTC_S + 100) and made.first().not_after == UTC_S + 130, "the time was wrong before"


def test_events_of_an_earlier_boot_get_this_boot_as_their_upper_bound():
    made = box()
    fault(made, 1, (UTC_S - 900, 0, 30))
    made.forget_uptimes()
    made.resolve(UTC_S)
    assert cbor.decode(wire.up(made.first()))[4] == [UTC_S - 900, UTC_S]
    made.resolve(UTC_S + 500)
    assert made.first().not_after == UTC_S, "a bound that holds is not loosened"


def test_the_queue_is_found_again_in_the_bytes_of_a_record_and_damage_is_seen():
    made = box()
    for sequence in (1, 2, 3):
        report(made, sequence)
    again = Queue(made._buffer, START, END)
    assert again.restore(made.end) and sequences(again) == [1, 2, 3]
    assert not again.restore(made.end - 1) and not again.restore(made.end + 5)


def test_acknowledging_up_to_a_sequence_leaves_the_later_and_other_epochs():
    made = box()
    report(made, 1, epoch=E - 1)
    for sequence in (1, 2, 3, 4):
        report(made, sequence)
    assert made.acknowledge_up_to(E, 3)
    assert [(entry.epoch, entry.sequence) for entry in made.entries()] == [(E - 1, 1), (E, 4)]
    assert not made.acknowledge_up_to(E, 3)


def test_an_acknowledged_replacement_can_be_told_again_under_its_own_sequence():
    made = box()
    replacement(made, 1)
    report(made, 2)
    made.acknowledge_up_to(E, 2)
    assert made.first() is None and len(made) == 0
    assert not made.tell_again(E, 1)
    assert made.tell_again(E, 0)
    assert (made.first().sequence, made.first().kind) == (1, wire.REPLACEMENT)
    assert not made.tell_again(E, 0)


def test_of_acknowledged_replacements_only_the_newest_of_each_part_is_kept():
    made = box()
    for sequence, part in ((1, 1), (2, 200), (3, 1), (4, 200)):
        replacement(made, sequence, part)
    made.acknowledge_up_to(E, 4)
    assert sorted([(entry.part, entry.sequence) for entry in made.entries()]) == [(1, 3), (200, 4)]


def test_renumbering_gives_new_sequences_to_what_waits_alone():
    made = box()
    replacement(made, 1)
    made.acknowledge(E, 1)
    report(made, 2)
    fault(made, 3)
    assert made.renumber(E, 50) == 52
    assert sequences(made) == [50, 51]
    assert [entry.sequence for entry in made.entries() if entry.told] == [1]


def test_which_kinds_wait_is_known():
    made = box()
    replacement(made, 1)
    assert made.waits(wire.REPLACEMENT) and not made.waits(wire.ANSWER)
    made.acknowledge(E, 1)
    assert not made.waits(wire.REPLACEMENT), "what is acknowledged does not wait"


def told(made):
    return [(entry.sequence, entry.part) for entry in made.entries() if entry.told]


def test_the_newest_told_replacement_of_each_part_stays_whatever_its_id():
    for one, other in ((1, 2), (23, 24), (200, 201)):
        made = box()
        for sequence, part in ((1, one), (2, other), (3, one)):
            replacement(made, sequence, part, generation=30)
            made.acknowledge(E, sequence)
        assert told(made) == [(2, other), (3, one)]


def test_a_report_that_stands_for_others_coalesces_with_the_one_before_them():
    made = box()
    report(made, 4)
    made.add(wire.REPORT, E, 9, (UTC_S, UTC_S, 5), 0, b"\x80", 4)  # it stands for 5 to 8
    for sequence in range(10, 500):
        report(made, sequence)
    first = made.first()
    assert first.sequence - first.merged == 4 and first.merged >= 5
    lowest = 4
    for entry in made.entries():
        assert entry.sequence - entry.merged == lowest
        lowest = entry.sequence + 1


def test_a_message_with_a_new_number_stands_for_itself_alone():
    made = box()
    made.add(wire.REPORT, E, 9, (UTC_S, UTC_S, 5), 0, b"\x80", 4)
    report(made, 3, epoch=E - 1)
    assert made.renumber(E, 70) == 71
    assert [(entry.sequence, entry.merged) for entry in made.entries()] == [(70, 0), (3, 0)]
