"""The store keeps one record through damage and a full flash."""

import os

from wearmeter.store import Store, frame, unframe


class Home:
    def __init__(self):
        self.data = None
        self.refuse = False

    def load(self):
        return self.data

    def save(self, data):
        if self.refuse:
            return False
        self.data = bytes(data)
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
    for bit in range(8 * (10 + 5)):
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
        for payload in (b"first", b"older", b"newer"):
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


def test_where_a_file_refuses_the_second_home_is_asked_before_the_good_copy_is_given_up():
    path = fresh("asked")
    home = Home()
    store = Store(path, home)
    store.save(b"good")
    os.mkdir(second(path))
    assert store.save(b"next") and store.refused
    assert unframe(home.data) == (2, b"next")
    with open(first(path), "rb") as file:
        assert unframe(file.read()) == (1, b"good")
    os.rmdir(second(path))


def test_a_damaged_copy_is_kept_aside_and_the_next_save_spares_the_good_one():
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


def test_a_record_of_a_future_version_is_not_read_as_one_of_ours():
    data = bytearray(frame(5, b"payload"))
    assert unframe(bytes(data)) == (5, b"payload")
    data[1] = 2
    assert unframe(bytes(data)) is None


def test_a_payload_that_makes_no_sense_to_its_owner_counts_as_damaged():
    path = fresh("sense")
    store = Store(path)
    store.save(b"good")
    store.save(b"nonsense")
    again = Store(path)
    assert again.load(lambda payload: payload == b"good") == b"good"
    assert again.damaged == 1


def test_with_both_files_gone_the_second_home_is_loaded():
    path = fresh("home")
    home = Home()
    store = Store(path, home)
    store.save(b"daily", True)
    store.save(b"later")
    fresh(path[2:])
    again = Store(path, home)
    assert again.load() == b"daily" and again.from_second_home
    again.save(b"next")
    assert Store(path, home).load() == b"next"


def test_an_older_second_home_never_wins_over_a_newer_file():
    path = fresh("older")
    home = Home()
    store = Store(path, home)
    store.save(b"daily", True)
    store.save(b"later")
    assert Store(path, home).load() == b"later"


def test_where_the_files_cannot_be_written_the_second_home_takes_the_record():
    home = Home()
    store = Store("no_such_folder/x", home)
    assert store.save(b"payload")
    assert Store("no_such_folder/x", home).load() == b"payload"


def test_a_save_that_reached_no_home_says_so():
    home = Home()
    home.refuse = True
    assert not Store("no_such_folder/x", home).save(b"payload")
    assert not Store("no_such_folder/x").save(b"payload")


def test_nothing_anywhere_is_no_record_and_no_damage():
    store = Store(fresh("nothing"))
    assert store.load() is None and store.damaged == 0
