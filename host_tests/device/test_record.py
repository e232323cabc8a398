"""A record survives damage and a full flash: two copies in two folders, and a backup copy."""

import os
import struct
from binascii import crc32

from helpers import raises

from wearmeter.flash.record import FORMAT, FRAME_BYTES, Record, Refused, unframe
from wearmeter.flash.testing import Backup


class Store:
    """A Record of up to 64 bytes, by its payloads: `load` returns one or None, `save` whether it is kept."""

    def __init__(self, path, backup=None):
        folder, name = path.rsplit("/", 1)
        self.record = Record(bytearray(64 + FRAME_BYTES), name, backup, folder)

    def __getattr__(self, name):
        return getattr(self.record, name)

    def load(self, valid=None):
        size = self.record.load(valid)
        return bytes(self.record.payload[:size]) if size else None

    def save(self, payload, backup=False, again=False):
        self.record.payload[: len(payload)] = payload
        try:
            self.record.save(len(payload), backup, again)
        except Refused:
            return False
        return True


def fresh(name):
    for path in ("t", "t/a", "t/b"):
        try:
            os.mkdir(path)
        except OSError:
            pass
    for folder in ("t/a/", "t/b/"):
        for end in ("", ".bad"):
            try:
                os.remove(folder + name + end)
            except OSError:
                pass
    return "t/" + name


def first(path):
    return path.replace("t/", "t/a/")


def second(path):
    return path.replace("t/", "t/b/")


def spoil(path, change):
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(change(data))


def test_the_newest_of_two_good_copies_is_loaded():
    path = fresh("newest")
    store = Store(path)
    for payload in (b"one", b"two", b"three"):
        assert store.save(payload)
    assert Store(path).load() == b"three"


def test_any_flipped_bit_falls_back_to_the_copy_before_and_says_so():
    path = fresh("flipped")
    for bit in range(8 * (FRAME_BYTES + 5)):
        fresh(path[2:])
        store = Store(path)
        store.save(b"older")
        store.save(b"newer")

        def flip(data):
            data = bytearray(data)
            data[bit // 8] ^= 1 << bit % 8
            return bytes(data)

        spoil(second(path), flip)
        again = Store(path)
        assert again.load() == b"older", bit
        assert again.damaged == 1


def test_a_truncated_an_empty_or_a_foreign_file_falls_back():
    path = fresh("short")
    for change in (lambda data: data[:-1], lambda data: b"", lambda data: b'{"json": true}'):
        fresh(path[2:])
        store = Store(path)
        for payload in (b"1", b"2", b"3", b"older", b"newer"):
            store.save(payload)
        spoil(first(path), change)
        again = Store(path)
        assert again.load() == b"older" and again.damaged == 1


def test_a_file_left_empty_by_a_cut_at_its_making_is_no_damage():
    path = fresh("made")
    with open(first(path), "wb"):
        pass
    again = Store(path)
    assert again.load() is None and again.damaged == 0
    again.save(b"one")
    with open(second(path), "wb"):
        pass
    again = Store(path)
    assert again.load() == b"one" and again.damaged == 0
    again.save(b"two")
    again.save(b"three")
    with open(second(path), "wb"):
        pass
    again = Store(path)
    assert again.load() == b"three" and again.damaged == 1


def test_two_empty_files_are_damage_not_a_new_unit():
    path = fresh("both")
    store = Store(path)
    store.save(b"one")
    store.save(b"two")
    for copy in (first(path), second(path)):
        with open(copy, "wb"):
            pass
    again = Store(path)
    assert again.load() is None and again.damaged == 2


def test_a_copy_that_went_back_in_time_is_damage():
    # As littlefs does to a whole folder when a bit in its block is flipped.
    path = fresh("back")
    store = Store(path)
    for payload in (b"1", b"2", b"3", b"4"):
        store.save(payload)
    with open(second(path), "rb") as file:
        old = file.read()
    for payload in (b"5", b"6", b"7"):
        store.save(payload)
    with open(second(path), "wb") as file:
        file.write(old)
    again = Store(path)
    assert again.load() == b"7" and again.damaged == 1


def test_where_a_file_refuses_the_backup_is_asked_before_the_good_copy_is_given_up():
    path = fresh("asked")
    home = Backup()
    store = Store(path, home)
    store.save(b"good")
    os.mkdir(second(path))
    assert store.save(b"next") and store.refused
    assert unframe(home.data) == (2, b"next")
    with open(first(path), "rb") as file:
        assert unframe(file.read()) == (1, b"good")
    os.rmdir(second(path))


def test_a_damaged_copy_is_quarantined_and_the_next_save_spares_the_good_one():
    path = fresh("aside")
    store = Store(path)
    store.save(b"older")
    store.save(b"newer")
    spoil(second(path), lambda data: data[:4])
    again = Store(path)
    again.load()
    os.stat(second(path) + ".bad")
    assert again.save(b"next")
    with open(first(path), "rb") as file:
        assert unframe(file.read())[1] == b"older"


def test_a_record_of_a_future_format_is_not_read_as_one_of_ours():
    def framed(number):
        data = struct.pack("<BBI", 0x57, number, 5) + b"payload"
        return data + struct.pack("<I", crc32(data) & 0xFFFFFFFF)

    assert unframe(framed(FORMAT)) == (5, b"payload")
    assert unframe(framed(FORMAT + 1)) is None


def test_a_payload_that_makes_no_sense_to_its_owner_counts_as_damaged():
    path = fresh("sense")
    store = Store(path)
    store.save(b"good")
    store.save(b"nonsense")
    again = Store(path)
    assert again.load(lambda payload: payload == b"good") == b"good"
    assert again.damaged == 1


def test_with_both_files_gone_the_backup_is_loaded():
    path = fresh("home")
    home = Backup()
    store = Store(path, home)
    store.save(b"daily", True)
    store.save(b"later")
    fresh(path[2:])
    again = Store(path, home)
    assert again.load() == b"daily" and again.from_backup
    again.save(b"next")
    assert Store(path, home).load() == b"next"


def test_an_older_backup_never_wins_over_a_newer_file():
    path = fresh("older")
    home = Backup()
    store = Store(path, home)
    store.save(b"daily", True)
    store.save(b"later")
    assert Store(path, home).load() == b"later"


def test_where_the_files_cannot_be_written_the_backup_takes_the_record():
    home = Backup()
    fresh("x")
    with open("t/in_the_way", "wb"):
        pass
    store = Store("t/in_the_way/x", home)
    assert store.save(b"payload")
    assert Store("t/in_the_way/x", home).load() == b"payload"


def test_a_save_that_reached_no_home_says_so():
    home = Backup()
    home.refuse = True
    fresh("x")
    with open("t/in_the_way", "wb"):
        pass
    assert not Store("t/in_the_way/x", home).save(b"payload")
    assert not Store("t/in_the_way/x").save(b"payload")


def test_nothing_anywhere_is_no_record_and_no_damage():
    store = Store(fresh("nothing"))
    assert store.load() is None and store.damaged == 0


def test_saves_go_to_the_two_folders_in_turn_and_again_to_the_one_of_the_last():
    path = fresh("turn")
    store = Store(path)
    contents = []
    for payload, again in ((b"1", False), (b"2", False), (b"3", True), (b"4", False)):
        store.save(payload, again=again)
        found = []
        for copy in (first(path), second(path)):
            try:
                with open(copy, "rb") as file:
                    found.append(unframe(file.read())[1])
            except OSError:
                found.append(None)
        contents.append(found)
    assert contents == [[b"1", None], [b"1", b"2"], [b"1", b"3"], [b"4", b"3"]]
    assert Store(path).load() == b"4" and not Store(path).damaged


def test_a_save_that_is_refused_everywhere_changes_nothing_and_uses_up_no_counter():
    """Row 11: refused saves advanced the counter, and a flash that was free again gave a false queue_lost."""
    path = fresh("full")
    home = Backup()
    store = Store(path, home)
    store.save(b"good")
    real = store.record._write
    store.record._write = lambda at, data: False
    home.refuse = True
    for _ in range(100):
        assert not store.save(b"next")
    assert store.counter == 1 and store.refused
    store.record._write = real
    assert store.save(b"then") and store.counter == 2
    again = Store(path, home)
    assert again.load() == b"then" and again.damaged == 0


def test_a_refused_copy_is_told_even_where_the_backup_took_it():
    path = fresh("told")
    home = Backup()
    store = Store(path, home)
    store.record._write = lambda at, data: False
    assert store.save(b"one") and store.refused and home.saves == 1
    del store.record._write
    assert store.save(b"two") and not store.refused


def test_a_backup_that_refuses_is_told_where_the_file_took_it():
    """Row 14: the refusal of the backup copy was not looked at."""
    path = fresh("told2")
    home = Backup()
    home.refuse = True
    store = Store(path, home)
    assert store.save(b"one") and not store.refused
    assert store.save(b"two", True) and store.refused


def test_the_backup_is_written_only_when_it_is_asked_for():
    """Row 14: the cadence of the backup was inverted."""
    home = Backup()
    store = Store(fresh("cadence"), home)
    for _ in range(5):
        store.save(b"often")
    assert home.saves == 0
    store.save(b"daily", True)
    assert home.saves == 1 and unframe(home.data)[1] == b"daily"


def test_a_damaged_or_nonsensical_backup_is_damage_and_is_not_believed():
    """Row 14: the validity and damage of the backup copy were not looked at."""
    path = fresh("badbackup")
    home = Backup()
    store = Store(path, home)
    store.save(b"good")
    store.save(b"nonsense", True)
    fresh("badbackup")
    again = Store(path, home)
    assert again.load(lambda payload: payload == b"good") is None and again.damaged == 1
    home.data = home.data[:-1]
    again = Store(path, home)
    assert again.load() is None and again.damaged == 1
    store = Store(path, home)
    store.save(b"file")
    assert Store(path, home).load() == b"file"


def test_back_up_brings_the_backup_to_what_the_files_hold():
    path = fresh("bring")
    home = Backup()
    store = Store(path, home)
    store.save(b"one")
    again = Store(path, home)
    again.load()
    again.record.back_up(3)
    assert unframe(home.data)[1] == b"one" and home.saves == 1
    third = Store(path, home)
    third.load()
    third.record.back_up(3)
    assert home.saves == 1


def test_a_file_larger_than_the_record_is_damage():
    path = fresh("large")
    store = Store(path)
    store.save(b"one")
    with open(second(path), "wb") as file:
        file.write(bytes(200))
    again = Store(path)
    assert again.load() == b"one" and again.damaged == 1


def test_a_flash_that_reads_differently_each_time_is_an_error_not_a_count():
    path = fresh("moody")
    store = Store(path)
    store.save(b"one")
    again = Store(path)
    real = again.record._read
    reads = []

    def moody(at):
        size = real(at)
        reads.append(at)
        if len(reads) > 2 and size > 0:
            again.record._buffer[3] ^= 1
        return size

    again.record._read = moody
    assert "differently" in raises(OSError, again.load)


def test_two_saves_to_one_copy_are_no_damage_to_the_other():
    store = Store(fresh("apart"))
    for number, again in ((1, False), (2, False), (3, True)):
        assert store.save(b"%d" % number, again=again)
    store = Store("t/apart")
    assert store.load() == b"3" and not store.damaged
    for number, again in ((4, False), (5, True), (6, True)):
        assert store.save(b"%d" % number, again=again)
    store = Store("t/apart")
    assert store.load() == b"6"


def test_a_backup_that_is_newer_than_the_files_is_the_one_that_counts():
    backup = Backup()
    store = Store(fresh("newer"), backup)
    assert store.save(b"old") and store.save(b"new", backup=True)
    os.remove("t/b/newer")
    store = Store("t/newer", backup)
    assert store.load() == b"new" and store.from_backup
    assert store.save(b"newest")
    store = Store("t/newer", backup)
    assert store.load() == b"newest" and not store.from_backup
