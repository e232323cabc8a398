"""The ledger owns the counts, the generations and the ten minutes to undo."""

from wearmeter import ledger


def reread(book, count=None):
    record = book.encode()
    assert ledger.is_valid(record)
    again = ledger.Ledger(len(book.consumables) if count is None else count)
    again.restore(record)
    return again


def book(count=2):
    made = ledger.Ledger(count)
    made.epoch = 77
    return made


def test_used_time_is_the_lifetime_since_the_last_replacement():
    made = book()
    made.add(0, 5000)
    assert made.replace(0, 0, 1, 1, 0)
    made.add(0, 300)
    part = made.consumables[0]
    assert (part.lifetime_ms, part.used_ms, part.generation) == (5300, 300, 2)


def test_undo_gives_back_the_used_time_as_if_nothing_had_been_pressed():
    made = book()
    made.add(0, 5000)
    made.replace(0, 0, 0, 0, 0)
    made.add(0, 300)
    assert made.undo(0)
    part = made.consumables[0]
    assert (part.used_ms, part.generation, part.replacement) == (5300, 1, None)


def test_a_replacement_cannot_be_undone_after_ten_powered_minutes():
    made = book()
    made.replace(0, 0, 0, 0, 0)
    made.pass_seconds(599)
    assert made.consumables[0].replacement.left_s == 1
    made.pass_seconds(5)
    assert not made.undo(0)
    assert made.consumables[0].generation == 2


def test_what_is_left_of_the_ten_minutes_survives_a_power_cut():
    made = book()
    made.replace(1, 5, 100, 0, 3)
    made.pass_seconds(240)
    again = reread(made).consumables[1].replacement
    assert (again.left_s, again.not_before, again.not_after, again.source, again.uptime_s) == (360, 100, 0, 5, None)


def test_a_second_replacement_waits_until_the_first_has_left():
    made = book()
    assert made.replace(0, 0, 0, 0, 0)
    assert not made.replace(0, 0, 0, 0, 0)


def test_every_state_survives_the_record():
    made = book(8)
    made.next_sequence = 4000000000
    made.last_command = 4294967295
    made.utc_floor_s = 1782900000
    for index in range(8):
        made.add(index, 2000000000)
        made.saved()
        made.add(index, 2000000000 + index)
    made.replace(3, 0, 5, 5, 9)
    again = reread(made)
    for old, new in zip(made.consumables, again.consumables):
        assert (old.lifetime_ms, old.used_ms, old.generation) == (new.lifetime_ms, new.used_ms, new.generation)
    assert (again.epoch, again.next_sequence, again.last_command, again.utc_floor_s) == (
        77,
        4000000000,
        4294967295,
        1782900000,
    )


def test_the_record_of_eight_consumables_stays_inline_in_littlefs():
    # 128 bytes are kept inline, 132 are not; the store's frame takes ten.
    assert len(book(8).encode()) + 10 <= 128
    assert len(book(2).encode()) + 10 <= 64


def test_counts_go_on_where_they_were_after_saving():
    made = book()
    made.add(0, 700)
    assert made.unsaved_ms == 700
    made.saved()
    made.add(0, 5)
    assert made.unsaved_ms == 5 and made.consumables[0].lifetime_ms == 705


def test_a_product_that_gained_a_consumable_starts_it_at_zero():
    made = book(1)
    made.add(0, 700)
    again = reread(made, 2)
    assert [part.lifetime_ms for part in again.consumables] == [700, 0]


def test_a_product_that_lost_a_consumable_keeps_the_others():
    made = book(2)
    made.add(0, 700)
    made.add(1, 900)
    made.replace(1, 0, 0, 0, 0)
    assert [part.lifetime_ms for part in reread(made, 1).consumables] == [700]


def test_numbers_that_cannot_be_true_are_not_a_ledger():
    made = book()
    made.add(0, 10)
    made.replace(0, 0, 0, 0, 0)
    good = made.encode()
    assert ledger.is_valid(good)
    for spoil in (b"", good[:-1], good + b"\0", good[:16] + b"\x09" + good[17:], b"\0\0\0\0" + good[4:]):
        assert not ledger.is_valid(spoil)
    made.consumables[0].at_replacement_ms = 11
    assert not ledger.is_valid(made.encode())
    made.consumables[0].at_replacement_ms = 10
    made.consumables[0].generation = 0
    assert not ledger.is_valid(made.encode())
