"""The wire format, by the golden vectors that the relay's tests read too."""

import json

from helpers import raises

from wearmeter.exchange import cbor, wire

HERE = __file__.replace("\\", "/").rsplit("/", 1)[0] if "/" in __file__ else "."
with open(HERE + "/../vectors/wire.json") as file:
    VECTORS = json.load(file)


def unhex(text):
    return bytes([int(text[at : at + 2], 16) for at in range(0, len(text), 2)])


def test_every_vector_is_decoded_to_its_fields_and_encoded_to_its_bytes():
    for group in ("up", "down", "status", "about"):
        for vector in VECTORS[group]:
            assert cbor.decode(unhex(vector["hex"])) == vector["message"], vector["name"]
            assert cbor.encode(vector["message"]) == unhex(vector["hex"]), vector["name"]


class Entry:
    """What wire.up reads of a queue's entry."""

    def __init__(self, kind, epoch, sequence, moment, faults, tail, merged=0):
        not_before, not_after = (moment, moment) if isinstance(moment, int) else moment
        self.kind, self.epoch, self.sequence, self.faults = kind, epoch, sequence, faults
        self.not_before, self.not_after = not_before or 0, not_after or 0
        self.tail = b"".join([cbor.encode(field) for field in tail])
        self.merged = merged


def test_up_messages_are_built_as_the_vectors_say():
    for vector in VECTORS["up"]:
        _, kind, epoch, sequence, moment, faults = vector["message"][:6]
        tail, merged = vector["message"][6:], 0
        if kind == wire.REPORT and len(tail) > 1:
            tail, merged = tail[:1], tail[1]
        made = wire.up(Entry(kind, epoch, sequence, moment, faults, tail, merged))
        assert made == unhex(vector["hex"]), vector["name"]


def test_every_valid_down_message_is_accepted():
    for vector in VECTORS["down"]:
        assert wire.parse_down(unhex(vector["hex"])) == vector["message"], vector["name"]


def test_every_invalid_down_message_is_refused_with_a_reason():
    for vector in VECTORS["bad_down"]:
        assert raises(wire.WireError, wire.parse_down, unhex(vector["hex"])), vector["name"]


def test_a_days_report_of_two_consumables_fits_in_forty_bytes_and_the_longest_possible_in_forty_two():
    usual, longest = VECTORS["up"][:2]
    assert len(usual["hex"]) // 2 <= 40
    assert len(longest["hex"]) // 2 <= 42


def moment(not_before, not_after, now_s=None):
    return cbor.decode(wire.up(Entry(wire.REPORT, 1, 1, (not_before, not_after), 0, [[]]), now_s))[4]


def test_a_moment_is_exact_or_bounded_or_unknown_and_never_zero():
    assert moment(5, 5) == 5
    assert moment(5, 0) == [5, None]
    assert moment(0, 9) == [None, 9]
    assert moment(0, 0) == [None, None]


def test_a_moment_later_than_now_is_left_out():
    assert moment(9, 9, now_s=8) == [None, None]
    assert moment(5, 9, now_s=8) == [5, None]
    assert moment(5, 5, now_s=5) == 5


def test_integers_beyond_64_bits_and_unknown_types_are_refused():
    raises(ValueError, cbor.encode, 1 << 64)
    raises(TypeError, cbor.encode, 1.5)
    raises(TypeError, cbor.encode, {})
    assert cbor.decode(cbor.encode((1 << 64) - 1)) == (1 << 64) - 1
    assert cbor.decode(cbor.encode([-1, -300, True, False, None, b"x"])) == [-1, -300, True, False, None, b"x"]


def test_a_length_that_the_input_cannot_have_is_refused_before_anything_is_made_for_it():
    for head in (b"\x5a", b"\x7a", b"\x9a"):
        for size in (b"\0\1\0\0", b"\xff\xff\xff\xff"):
            assert raises(cbor.CborError, cbor.decode, head + size) == "byte 0: ends early"
    assert raises(cbor.CborError, cbor.decode, b"\x82\x00\x82\x00") == "byte 2: ends early"


def test_what_the_format_does_not_have_is_refused():
    for data in (b"\xa0", b"\xc0\x00", b"\xf7", b"\xf9\0\0", b"\x9f\xff", b"\x5f\xff"):
        raises(cbor.CborError, cbor.decode, data)
    for first in range(28, 32):  # reserved lengths
        raises(cbor.CborError, cbor.decode, bytes([first]) + b"\xff" * 128)
    for depth, good in ((6, True), (7, False)):
        data = b"\x81" * depth + b"\0"
        assert good or raises(cbor.CborError, cbor.decode, data)
        if good:
            cbor.decode(data)
