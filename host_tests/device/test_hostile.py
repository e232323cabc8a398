"""What comes from outside is bounded before it is parsed, never crashes the parser, and never piles up."""

import gc
import random
import sys

from test_wire import VECTORS, unhex

from wearmeter.exchange import cbor, wire

SEED = 20260301
ROUNDS = 12000
GOOD = [unhex(vector["hex"]) for vector in VECTORS["down"]]


def parsed(data):
    """The fields, or None where it was refused; anything but WireError is the test's failure."""
    try:
        fields = wire.parse_down(data)
    except wire.WireError:
        return None
    assert fields[0] == 2 and fields[1] in (1, 2, 3) and 0 <= fields[2] <= 0xFFFFFFFF
    return fields


def mutated(dice):
    data = bytearray(dice.choice(GOOD))
    for _ in range(dice.randint(1, 4)):
        way = dice.randint(0, 4)
        at = dice.randint(0, len(data) - 1) if data else 0
        if way == 0 and data:
            data[at] = dice.randint(0, 255)
        elif way == 1 and data:
            data[at] ^= 1 << dice.randint(0, 7)
        elif way == 2:
            data = data[:at]
        elif way == 3:
            data = data[:at] + bytes([dice.randint(0, 255) for _ in range(dice.randint(1, 9))]) + data[at:]
        else:
            data = data + data[:at]
    return bytes(data)


def test_mutated_and_random_messages_are_refused_or_understood_and_leave_no_memory_behind():
    dice = random
    dice.seed(SEED)
    accepted = 0
    before = None
    for round_ in range(ROUNDS):
        if round_ % 2:
            data = mutated(dice)
        else:
            data = bytes([dice.getrandbits(8) for _ in range(dice.randint(0, 100))])
        accepted += parsed(data) is not None
        if sys.implementation.name == "micropython" and round_ % 500 == 499:
            data = None
            gc.collect()
            used = gc.mem_alloc()
            if before is None:
                before = used
            assert used <= before + 2048, "grew from %d to %d bytes" % (before, used)
    assert 0 < accepted < ROUNDS // 2


def test_a_message_longer_than_any_valid_one_is_refused_unread():
    def read(data):
        raise AssertionError("it was read")

    real, cbor.decode = cbor.decode, read
    try:
        assert parsed(b"\x86\x02" + bytes(95)) is None
    finally:
        cbor.decode = real


def test_a_claimed_length_costs_no_memory():
    eight = b"\x7b\x7f" + b"\xff" * 7
    for head in (b"\x9a\xff\xff\xff\xff", b"\x5a\x7f\xff\xff\xff", eight, b"\x99\xff\xff"):
        assert parsed(head) is None
        assert parsed(b"\x86\x02\x01" + head) is None


def test_nesting_is_bounded():
    assert parsed(b"\x81" * 96) is None
    assert cbor.decode(b"\x81" * 5 + b"\x80") == [[[[[[]]]]]]


def test_numbers_beyond_32_bits_and_below_zero_are_refused():
    for number in (b"\x1b" + b"\xff" * 8, b"\x1b\0\0\0\1\0\0\0\0", b"\x20", b"\xf5", b"\xf6", b"\x61a", b"\x80"):
        for at in range(2, 6):
            fields = [b"\x02"] + [b"\x01"] * 5
            fields[at] = number
            assert parsed(b"\x86" + b"".join(fields)) is None, (at, number)
