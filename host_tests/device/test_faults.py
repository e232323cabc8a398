"""Faults reach the relay by their bits: a latched one once, a momentary one with each change."""

from wearmeter.state import faults

# In the order of their bits, as tools/relay/core/names.py has their words.
IN_ORDER = (
    "COPY_DAMAGED COUNTS_LOST WRITE_FAILED INPUT_STUCK BUTTON_STUCK CONFIG_BAD QUEUE_LOST CLOCK_REFUSED "
    "MESSAGE_REFUSED INPUT_NOISY CRASHED SAFE_MODE PART_MISSING FLASH_SLOW SLOT_BACK INPUT_FAILED"
)
LATCHED = (
    "COPY_DAMAGED COUNTS_LOST WRITE_FAILED QUEUE_LOST CLOCK_REFUSED MESSAGE_REFUSED CRASHED SLOT_BACK INPUT_FAILED"
)


def bits(names):
    return [getattr(faults, name) for name in names.split()]


def test_each_fault_has_its_bit_on_the_wire():
    assert bits(IN_ORDER) == [1 << place for place in range(16)]


def test_what_happened_once_is_told_once_and_what_lasts_until_it_ends():
    for bit in bits(IN_ORDER):
        made = faults.Faults()
        assert not made.bits and not made.changed
        made.raise_(bit)
        assert made.bits == bit and made.changed
        made.reported(bit)
        latched = bit in bits(LATCHED)
        assert made.bits == (0 if latched else bit) and not made.changed, bit
        made.raise_(bit)
        assert not made.changed, "told already"
        made.forget()
        made.raise_(bit)
        assert made.changed == latched


def test_a_momentary_fault_that_ends_is_a_change():
    made = faults.Faults()
    made.set(faults.INPUT_STUCK, False)
    assert not made.changed
    made.set(faults.INPUT_STUCK, True)
    made.reported(faults.INPUT_STUCK)
    made.set(faults.INPUT_STUCK, False)
    assert made.changed and not made.bits


def test_what_comes_while_a_transition_is_written_is_told_next():
    made = faults.Faults()
    made.raise_(faults.CRASHED, "x" * 200)
    assert made.detail == "x" * faults.DETAIL_LENGTH == "x" * 80
    before = made.bits
    made.raise_(faults.INPUT_NOISY)
    made.reported(before)
    assert made.changed and made.bits == faults.INPUT_NOISY and made.detail is None
