"""The outbox keeps what the relay has not acknowledged."""

from fakes import Shelf

from wearmeter import cbor, outbox, wire

E = 99


def box(shelf=None):
    made = outbox.Outbox(shelf or Shelf(), 2)
    assert made.load(E, 1, [1, 1])
    return made


def report(made, utc_s=1782900000):
    return made.add_report([[1, 1, 1, 2, 1, 2]], utc_s, utc_s, 0, None, utc_s // 86400)


def sequences(made):
    return [entry[outbox.SEQUENCE] for entry in made.entries]


def test_an_entry_stays_until_its_own_epoch_and_sequence_are_acknowledged():
    made = box()
    report(made)
    report(made)
    assert not made.acknowledge(E + 1, 1)
    assert not made.acknowledge(E, 3)
    assert made.acknowledge(E, 2) and sequences(made) == [1]
    assert not made.acknowledge(E, 2)
    assert made.acknowledge(E, 1) and made.first() is None


def test_the_queue_and_its_sequence_survive_a_restart():
    shelf = Shelf()
    made = box(shelf)
    report(made)
    report(made)
    made.acknowledge(E, 1)
    again = outbox.Outbox(shelf, 2)
    assert again.load(E, 1, [1, 1])
    assert sequences(again) == [2] and again.next_sequence == 3 and again.last_period == made.last_period


def test_a_full_flash_changes_nothing_and_says_so():
    shelf = Shelf()
    made = box(shelf)
    report(made)
    shelf.refuse = True
    assert report(made) is None
    assert made.add_replacement(0, 2, [0, 2, 1, 1, 0], 0, 0, 0, 5) is None
    assert not made.acknowledge(E, 1)
    assert sequences(made) == [1] and made.next_sequence == 2 and made.released == [1, 1]


def test_a_full_queue_merges_the_oldest_reports_and_never_a_replacement_or_a_fault():
    made = box()
    for day in range(10):
        report(made, 1782900000 + day * 86400)
    made.add_replacement(0, 2, [0, 2, 5, 5, 0], 1, 1, 0, None)
    made.add(wire.FAULT, ["detail"], 1, 1, 8, None)
    for day in range(400):
        assert report(made, 1783900000 + day * 86400) is not None
    assert made.size_bytes() <= outbox.LIMIT_BYTES
    kinds = [entry[outbox.KIND] for entry in made.entries]
    assert kinds.count(wire.REPLACEMENT) == 1 and kinds.count(wire.FAULT) == 1
    # What is left stands for every sequence there ever was, in order.
    covered = []
    for entry in made.entries:
        covered += range(entry[outbox.SEQUENCE] - entry[outbox.MERGED], entry[outbox.SEQUENCE] + 1)
    assert covered == list(range(1, 413))


def test_more_replacements_than_the_bound_are_refused_before_they_are_acknowledged_to_anyone():
    made = box()
    done = 0
    while made.add_replacement(0, done + 2, [0, done + 2, 5, 5, 0], 1, 1, 0, None) is not None:
        done += 1
    assert len(made.entries) == done > 50
    assert made.size_bytes() <= outbox.HARD_LIMIT_BYTES
    assert made.released[0] == done + 1


def test_events_of_this_boot_get_their_moment_once_the_time_is_known():
    made = box()
    made.add(wire.FAULT, [], 1782000000, 0, 8, 30)
    made.resolve(1782900000)
    entry = made.first()
    assert entry[outbox.NOT_BEFORE] == entry[outbox.NOT_AFTER] == 1782900030


def test_events_of_an_earlier_boot_get_this_boot_as_their_upper_bound():
    shelf = Shelf()
    made = box(shelf)
    made.add(wire.FAULT, [], 1782000000, 0, 8, 30)
    again = outbox.Outbox(shelf, 2)
    again.load(E, 1, [1, 1])
    again.resolve(1782900000)
    fields = cbor.decode(outbox.message(again.first()))
    assert fields[4] == [1782000000, 1782900000]


def test_a_lost_queue_never_uses_a_sequence_twice():
    made = outbox.Outbox(Shelf(b"damaged"), 2)
    assert not made.load(E, 40, [3, 1])
    assert made.next_sequence > 40 and made.released == [3, 1]


def test_entries_of_an_earlier_epoch_are_still_sent_under_it():
    shelf = Shelf()
    report(box(shelf))
    again = outbox.Outbox(shelf, 2)
    assert again.load(E + 1, 1, [1, 1])
    report(again)
    assert [(entry[outbox.EPOCH], entry[outbox.SEQUENCE]) for entry in again.entries] == [(E, 1), (E + 1, 1)]


def test_an_acknowledged_replacement_can_be_sent_again_under_its_own_sequence():
    made = box()
    made.add_replacement(0, 2, [0, 2, 5, 5, 0], 1, 1, 0, None)
    report(made)
    made.acknowledge_up_to(E, 2)
    assert made.first() is None
    assert not made.requeue_history(1)
    assert made.requeue_history(0)
    assert made.first()[outbox.SEQUENCE] == 1 and made.first()[outbox.KIND] == wire.REPLACEMENT
    assert not made.requeue_history(0)
