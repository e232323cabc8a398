"""The wire format, by the golden vectors that the relay's tests read too."""

import json

from fakes import raises

from wearmeter import cbor, wire

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


def test_up_messages_are_built_as_the_vectors_say():
    for vector in VECTORS["up"]:
        _, kind, epoch, sequence, time, faults = vector["message"][:6]
        made = wire.up(kind, epoch, sequence, time, faults, vector["message"][6:])
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


def test_a_moment_is_exact_or_bounded_or_unknown_and_never_zero():
    assert wire.time_of(5, 5) == 5
    assert wire.time_of(5, 0) == [5, None]
    assert wire.time_of(0, 9) == [None, 9]
    assert wire.time_of(0, 0) == [None, None]


def test_integers_beyond_64_bits_and_unknown_types_are_refused():
    raises(ValueError, cbor.encode, 1 << 64)
    raises(TypeError, cbor.encode, 1.5)
    raises(TypeError, cbor.encode, {})
    assert cbor.decode(cbor.encode((1 << 64) - 1)) == (1 << 64) - 1
    assert cbor.decode(cbor.encode([-1, -300, True, False, None, b"x"])) == [-1, -300, True, False, None, b"x"]
