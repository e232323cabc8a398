"""The two records: what they hold comes back as it was, and what cannot be true is refused."""

from helpers import raises

from wearmeter.flash.record import FRAME_BYTES
from wearmeter.state import counts, ledger
from wearmeter.state.part import Part, Replacement

MOST_MS = (1 << 48) - 1


def part(identity, lifetime_ms=0, fitted_at_ms=0, generation=1, replacement=None):
    made = Part(identity)
    made.saved_ms, made.fitted_at_ms, made.generation = lifetime_ms, fitted_at_ms, generation
    made.replacement = replacement
    return made


def encoded(parts, **numbers):
    buffer = bytearray(2600)
    head = ledger.Numbers()
    head.epoch = 77
    for name, value in numbers.items():
        setattr(head, name, value)
    ledger.encode(buffer, head, parts, ledger.QUEUE_AT)
    return buffer[: ledger.QUEUE_AT]


def test_every_state_survives_the_record_of_the_ledger():
    pending = Replacement(1000, 600, 1782900000, 0, 0xFFFFFFFF, 55)
    most = Replacement(MOST_MS, 0, 0, 0xFFFFFFFF, 0, None)
    parts = [part(1, 5000, 2000, 3, pending), part(7, MOST_MS, MOST_MS, 0xFFFF, most), part(255, 4000000000, 0, 1)]
    numbers = {
        "next_sequence": 4000000000,
        "last_command": 0xFFFFFFFF,
        "last_period": 20635,
        "floor_s": 1782900001,
        "claim_s": 1782900002,
        "config_crc": 0xFFFFFFFE,
        "save_ms": 65535,
    }
    head, found, end = ledger.decode(encoded(parts, **numbers))
    assert head.epoch == 77 and end == ledger.QUEUE_AT
    for name, value in numbers.items():
        assert getattr(head, name) == value, name
    for old, new in zip(parts, found):
        assert (old.id, old.lifetime_ms, old.fitted_at_ms, old.generation) == (
            new.id,
            new.lifetime_ms,
            new.fitted_at_ms,
            new.generation,
        )
        for name in ("previous_ms", "left_s", "not_before", "not_after", "source") if old.replacement else ():
            assert getattr(old.replacement, name) == getattr(new.replacement, name), name
    assert found[0].replacement.uptime_s is None, "that moment was in another boot"
    assert found[2].replacement is None


def test_twelve_parts_each_with_a_replacement_fit_before_the_queue():
    parts = [part(at + 1, 10, 10, 2, Replacement(0, 600, 0, 0, 0, None)) for at in range(counts.MOST_PARTS)]
    assert len(ledger.decode(encoded(parts))[1]) == 12
    buffer = bytearray(b"\xee" * 2600)
    ledger.encode(buffer, ledger.Numbers(), parts, ledger.QUEUE_AT)
    assert buffer[ledger.QUEUE_AT] == 0xEE


def test_numbers_that_cannot_be_true_are_not_a_ledger():
    pending = Replacement(5, 600, 0, 0, 0, None)
    ledger.decode(encoded([part(1, 10, 10, 2, pending)]))
    for parts in (
        [part(1, 10, 11)],
        [part(1, 10, 10, 0)],
        [part(1), part(1)],
        [part(2), part(1)],
        [part(1, 10, 10, 1, pending)],
        [part(1, 10, 4, 2, pending)],
        [part(1, 10, 10, 2, Replacement(5, 601, 0, 0, 0, None))],
    ):
        raises(ValueError, ledger.decode, encoded(parts))
    raises(ValueError, ledger.decode, encoded([part(1)], epoch=0))
    raises(ValueError, ledger.decode, encoded([part(1)], next_sequence=0))
    good = encoded([part(1)])
    raises(ValueError, ledger.decode, good[:-1])
    raises(ValueError, ledger.decode, good + b"\0")


def test_used_time_is_the_lifetime_since_the_last_replacement():
    made = part(1, 5300, 5000, 2)
    made.unsaved_ms = 7
    assert (made.lifetime_ms, made.used_ms, made.reported()) == (5307, 307, (5, 2, 0))
    made.replacement = Replacement(1000, 600, 0, 0, 0, None)
    assert made.reported() == (5, 1, 4)


def test_the_record_of_counts_holds_what_each_part_has_run_and_a_floor_for_sequences():
    buffer = bytearray(counts.RECORD_BYTES)
    parts = [part(3, MOST_MS), part(200, 5)]
    size = counts.encode(buffer, 77, 4000000000, parts)
    assert counts.is_valid(buffer[:size])
    assert counts.decode(buffer[:size]) == (77, 4000000000, {3: MOST_MS, 200: 5})


def test_the_counts_of_twelve_parts_stay_inline_in_littlefs():
    """128 bytes are kept inline, 132 are not; two parts keep below 64, which costs fewer erases."""
    for parts, most in ((12, 128), (2, 64)):
        buffer = bytearray(counts.RECORD_BYTES)
        size = counts.encode(buffer, 1, 1, [part(at + 1) for at in range(parts)])
        assert size + FRAME_BYTES <= most and size <= counts.RECORD_BYTES


def test_counts_that_cannot_be_true_are_refused():
    buffer = bytearray(counts.RECORD_BYTES)
    size = counts.encode(buffer, 77, 1, [part(1), part(2)])
    good = bytes(buffer[:size])
    assert counts.is_valid(good)
    for spoilt in (b"", good[:8], good[:-1], good + b"\0", bytes(4) + good[4:], good[:4] + bytes(4) + good[8:]):
        assert not counts.is_valid(spoilt)
    for ids in ((2, 1), (1, 1), (0, 1)):
        size = counts.encode(buffer, 77, 1, [part(identity) for identity in ids])
        assert not counts.is_valid(buffer[:size]), ids
    assert not counts.is_valid(good[:8] + b"\0")
