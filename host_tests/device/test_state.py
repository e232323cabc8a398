"""The state changes by one event at a time, which is in flash or has never happened."""

import gc

from helpers import ON_MICROPYTHON
from house import DAY_S, START_S, House

from wearmeter.device.testing import Clockwork, install, product, ticks_diff
from wearmeter.exchange import wire
from wearmeter.flash.record import FRAME_BYTES
from wearmeter.flash.testing import MemoryRecord
from wearmeter.state import clock, counts, events, faults, ledger
from wearmeter.state.state import LEDGER_BYTES, State


def state_of(ids=(1, 2), kept_counts=b"", kept_ledger=b"", epoch=7):
    clockwork = Clockwork()
    made = State(
        list(ids),
        clock.Clock(clockwork.ticks_ms, ticks_diff),
        faults.Faults(),
        MemoryRecord(counts.RECORD_BYTES + FRAME_BYTES, kept_counts),
        MemoryRecord(LEDGER_BYTES, kept_ledger),
        lambda line: None,
    )
    made.load(lambda: epoch)
    made.clock.tick(clockwork.ticks_ms())
    return made


def again(state, ids=(1, 2), counts_kept=None):
    """The state after a power cut."""
    kept = state._counts.kept if counts_kept is None else counts_kept
    return state_of(ids, kept, state._ledger.kept, epoch=8)


def ran(state, place, ms):
    state.ran(place, ms)
    assert state.save_counts()


def test_a_part_that_a_product_lacks_for_one_boot_keeps_its_count():
    """Row 6: a product that lacked a consumable for one boot erased its count, without a fault."""
    house = House("lacks")
    house.run(1, 10100)
    house.run(2, 3100)
    before = house.lifetimes()
    install("product", product(parts=1, inputs=1), house.root)
    house.cut()
    assert house.lifetimes()[0] == before[0] and len(house.lifetimes()) == 1
    house.run(1, 2000)
    house.press(1)
    house.go(2000)
    assert house.queued(wire.FAULT)[-1][5] & faults.PART_MISSING
    install("product", product(), house.root)
    house.cut()
    assert house.lifetimes()[1] == before[1]
    assert not house.state.faults.bits & faults.PART_MISSING


def test_a_product_that_gained_a_part_starts_it_at_zero_and_order_does_not_matter():
    state = state_of((5,))
    ran(state, 0, 700)
    state = again(state, (9, 5))
    assert [(part.id, part.lifetime_ms) for part in state.parts] == [(9, 0), (5, 700)]


def test_of_two_records_neither_says_too_much_and_the_newer_counts():
    state = state_of()
    old = state._counts.kept
    ran(state, 0, 500)
    middle = state._counts.kept
    state.apply((events.REPLACED, 1, 0))
    assert old != middle
    # The ledger saved what has run, too: the counts may be older.
    assert again(state, counts_kept=middle).parts[0].used_ms == 0
    ran(state, 0, 300)
    assert again(state).parts[0].used_ms == 300 and again(state).parts[0].lifetime_ms == 800


def test_a_refused_event_has_never_happened_and_what_has_run_is_kept():
    for event in (
        (events.REPLACED, 1, 0),
        (events.COMMANDED, 3, wire.REPLACED, 1, 1),
        (events.TOLD_TIME, clock.RELAY, START_S),
    ):
        for first in (False, True):
            state = state_of()
            if not first:
                state.apply((events.REPLACED, 2, 0))
            before = state._ledger.kept, state.numbers.next_sequence, state.numbers.last_command
            state.ran(0, 250)
            state._ledger.refuse = True
            assert not state.apply(event)
            after = state._ledger.kept, state.numbers.next_sequence, state.numbers.last_command
            assert before == after, event
            assert [part.generation for part in state.parts] == ([1, 1] if first else [1, 2])
            assert state.parts[0].lifetime_ms == 250 and state.faults.bits & faults.WRITE_FAILED
            state._ledger.refuse = False
            state.apply((events.REPLACED, 1, 0))
            assert again(state).part(1).generation == 2


def test_a_refused_write_after_damage_uses_no_sequence_twice():
    state = state_of()
    for _ in range(10):
        state._do(state._report, (1,))
    older = state._ledger.kept
    for _ in range(5):
        state._do(state._report, (1,))
    ran(state, 0, 100)
    for left in (b"", older):
        state._ledger.kept = left
        damaged = again(state)
        first, epoch = damaged.numbers.next_sequence, damaged.numbers.epoch
        assert first > 16
        damaged._ledger.refuse = True
        damaged.apply((events.COMMANDED, 3, wire.REPLACED, 1, 1))
        assert (damaged.numbers.next_sequence, damaged.numbers.epoch) == (first, epoch)
        assert damaged.numbers.last_command == 0


def test_a_refused_write_dates_nothing_of_an_earlier_boot_by_this_one():
    state = state_of()
    state.clock.uptime_s = 500
    state.faults.raise_(faults.WRITE_FAILED)
    state.tell_faults(1)
    assert state.queue.first().uptime_s == 500
    state = again(state)
    state._ledger.refuse = True
    state.apply((events.REPLACED, 1, 0))
    state._ledger.refuse = False
    state.clock.uptime_s = 60
    state._refused_s = -100
    state.apply((events.TOLD_TIME, clock.RELAY, START_S))
    entry = state.queue.first()
    assert entry.not_before != entry.not_after and entry.not_after == START_S - 60


def test_an_error_in_the_midst_of_an_event_leaves_the_state_as_it_was():
    state = state_of()
    state.apply((events.REPLACED, 2, 0))

    def broken(kept):
        raise KeyError("broken")

    state._replace = lambda identity, source: broken(setattr(state.part(1), "generation", 9))
    try:
        state.apply((events.REPLACED, 1, 0))
        raise AssertionError("it went well")
    except KeyError:
        pass
    assert [part.generation for part in state.parts] == [1, 2]


def test_a_flash_that_was_full_and_is_free_again_has_lost_nothing():
    """Row 11: 64 sequences were skipped, and a false loss of the queue was told."""
    house = House("full")
    house.learn_time()
    house.go(1500)
    sequence = house.state.numbers.next_sequence
    house.refuse()
    house.press(1)
    for _ in range(50):
        house.report()
    house.cut()
    assert house.state.numbers.next_sequence == sequence
    assert not house.state.faults.bits & faults.QUEUE_LOST


def test_a_lost_ledger_is_told_and_no_sequence_is_used_twice():
    state = state_of()
    for _ in range(40):
        state._do(state._report, (1,))
    ran(state, 0, 100)
    state._ledger.kept = b""
    lost = again(state)
    assert lost.numbers.next_sequence > 41
    assert lost.faults.bits & faults.QUEUE_LOST and lost.parts[0].lifetime_ms == 100


def test_without_its_ledger_a_new_epoch_begins_in_which_no_part_is_said_to_be_older_than_it_is():
    """Generations went back to 1 in the same epoch, and a part that had been replaced was as old as the vacuum."""
    state = state_of()
    ran(state, 0, 5000)
    assert state.apply((events.REPLACED, 1, 0)) and state._do(state._report, (1,))
    ran(state, 0, 2000)
    for kept_ledger in (b"", state_of(epoch=5)._ledger.kept):
        state._ledger.kept = kept_ledger
        lost = again(state)
        assert lost.numbers.epoch == 8 and lost.faults.bits & faults.QUEUE_LOST
        part = lost.part(1)
        assert (part.lifetime_ms, part.used_ms, part.generation, part.replacement) == (7000, 0, 1, None)
        ran(lost, 0, 300)
        lost.release_due(1)
        after = again(lost)
        assert after.numbers.epoch == 8 and not after.faults.bits & faults.QUEUE_LOST
        assert (after.part(1).lifetime_ms, after.part(1).used_ms) == (7300, 300)


def test_a_ledger_of_another_epoch_is_no_ledger():
    other = state_of(epoch=5)
    ran(other, 0, 900)
    assert other.apply((events.REPLACED, 1, 0))
    state = state_of()
    ran(state, 0, 5000)
    mixed = state_of((1, 2), state._counts.kept, other._ledger.kept, epoch=8)
    assert mixed.numbers.epoch == 8 and mixed.faults.bits & faults.QUEUE_LOST
    mixed._ledger.refuse = True
    assert not mixed.apply((events.REPLACED, 1, 0))
    part = mixed.part(1)
    assert (part.lifetime_ms, part.used_ms, part.generation, part.replacement) == (5000, 0, 1, None)


def test_a_replacement_that_the_flash_refuses_right_after_the_ledger_was_lost_leaves_the_part_as_it_was():
    state = state_of()
    assert state._do(state._report, (1,))
    ran(state, 0, 5000)
    state._ledger.kept = b""
    lost = again(state)
    lost.ran(0, 300)
    lost._ledger.refuse = True
    assert not lost.apply((events.REPLACED, 1, 0))
    assert (lost.part(1).used_ms, lost.part(1).generation) == (300, 1)


def test_with_neither_record_a_new_epoch_begins():
    state = state_of()
    assert state.numbers.epoch == 7 and state.numbers.next_sequence == 1 and not state.faults.bits
    ran(state, 0, 100)
    state._counts.kept = state._ledger.kept = b""
    assert again(state).numbers.epoch == 8


def test_latched_faults_are_told_once_a_day_and_momentary_ones_at_each_transition():
    """Row 14: faults were forgotten at every step after day 1."""
    house = House("faults")
    for _ in range(3):
        house.state.faults.raise_(faults.MESSAGE_REFUSED)
        house.wait(120)
    assert len(house.queued(wire.FAULT)) == 2 - 1
    house.wait(DAY_S)
    for _ in range(3):
        house.state.faults.raise_(faults.MESSAGE_REFUSED)
        house.wait(120)
    assert len(house.queued(wire.FAULT)) == 2


def test_at_most_one_transition_a_minute_is_queued():
    house = House("minute")
    for turn in range(240):
        house.state.faults.set(faults.SAFE_MODE, turn % 2)
        house.go(1000)
    assert len(house.entries(wire.FAULT)) <= 5


def test_the_backup_of_the_counts_is_written_at_the_start_and_once_a_day():
    """Row 14: the cadence of the NVS copy."""
    house = House("nvs")
    saves = house.backups["counts"].saves
    assert saves == 1
    for _ in range(10):
        house.run(1, 3000)
    assert house.backups["counts"].saves == saves
    house.wait(DAY_S)
    for _ in range(10):
        house.run(1, 3000)
    assert house.backups["counts"].saves == saves + 1


def test_a_queue_change_after_a_year_offline_makes_little_garbage():
    """Row 13: 92.7 KB on 32 bit; at most 4 KB now, which is 8 KB on 64 bit."""
    state = state_of()
    state.clock.learn(clock.RELAY, START_S)
    for day in range(365):
        state._do(state._report, (day,))
    state.apply((events.REPLACED, 1, 0))
    actions = (
        ("add", lambda: state._do(state._report, (400,))),
        ("acknowledge", lambda: state.apply((events.ACKNOWLEDGED, 7, state.queue.first().sequence))),
        ("release", lambda: state._do(state._release, (state.part(1),))),
        ("undo", lambda: state.apply((events.UNDONE, 1))),
    )
    for name, action in actions:
        if name == "undo":
            state.apply((events.REPLACED, 1, 0))
        gc.collect()
        gc.disable()
        before = gc.mem_alloc() if ON_MICROPYTHON else 0
        done = action()
        made = (gc.mem_alloc() if ON_MICROPYTHON else 0) - before
        gc.enable()
        assert done and made <= 8192, "%s: %d bytes" % (name, made)
        print("garbage of", name, made)


def test_an_event_that_changes_nothing_says_so():
    state = state_of()
    assert not state.apply((events.UNDONE, 1)) and not state.apply((events.ACKNOWLEDGED, 7, 1))
    assert state._ledger.saves == 0
    state._ledger.refuse = True
    before = state.version = 5
    assert not state.apply((events.REPLACED, 1, 0))
    assert state.version == before + 1, "who reads several values in a row sees that they went back"


def test_the_last_generation_that_the_record_holds_is_the_last():
    for generation, done in ((0xFFFE, True), (0xFFFF, False)):
        state = state_of()
        state.part(1).generation = generation
        assert state.apply((events.REPLACED, 1, 0)) == done


def test_the_ten_minutes_run_down_over_power_cuts():
    house = House("countdown")
    house.press(1)
    house.wait(200)
    house.cut()
    assert 390 <= house.part(1).replacement.left_s <= 430
    house.wait(440)
    assert house.part(1).replacement is None


def test_the_moment_of_a_pending_replacement_is_kept_as_soon_as_the_time_is_known():
    house = House("moment")
    house.learn_time()
    house.cut()
    house.press(1)
    pressed_s = house.true_s
    kept = house.part(1).replacement
    assert kept.not_after == 0, "the time is unknown"
    house.learn_time()
    house.cut(off_s=7200)
    kept = house.part(1).replacement
    assert kept.not_before == kept.not_after and abs(kept.not_after - pressed_s) <= 3


def test_a_source_that_differs_by_two_seconds_is_not_worth_a_correction():
    house = House("slack")
    house.learn_time()
    began_s = house.state.clock.boot_utc_s
    house.go(5000)
    house.learn_time(2)
    assert house.state.clock.boot_utc_s == began_s
    house.learn_time(-2)
    assert house.state.clock.boot_utc_s == began_s
    house.learn_time(3)
    assert abs(house.state.clock.boot_utc_s - began_s) in (2, 3, 4)
    assert len([line for line in house.lines if line.startswith("wm clock")]) == 2


def test_what_two_sources_agree_on_is_corrected_when_one_says_another_time():
    house = House("agree")
    for source in (clock.RELAY, clock.NTP):
        house.learn_time(source=source)
    assert house.state.clock.sure
    house.learn_time(100 * DAY_S)
    assert not house.state.clock.sure and house.state.clock.now() > house.true_s + 99 * DAY_S
    house.learn_time()
    assert house.state.clock.sure and abs(house.state.clock.now() - house.true_s) <= 2


def test_a_relay_can_be_a_million_messages_ahead_and_no_more():
    for ahead, believed in ((1000000, True), (1000001, False)):
        state = state_of()
        have = state.numbers.next_sequence + ahead
        assert state.apply((events.WELCOMED, 7, have)) == believed
        assert (state.numbers.next_sequence > have) == believed


def test_thirteen_parts_are_one_too_many_and_one_that_no_product_names_is_let_go():
    state = state_of(range(1, 13))
    for place in range(12):
        ran(state, place, 1000)
    after = again(state, list(range(2, 13)) + [40])
    assert [part.id for part in after._all] == list(range(2, 13)) + [40]
    assert all([part.lifetime_ms == 1000 for part in after.parts[:-1]])


def test_a_ledger_that_is_intact_and_cannot_be_true_is_not_believed():
    state = state_of()
    ran(state, 0, 1000)
    assert state.apply((events.REPLACED, 1, 0))
    kept = bytearray(state._ledger.kept)
    for at in (ledger.QUEUE_AT - 432, 0):  # the first part's id, the epoch
        spoilt = bytearray(kept)
        spoilt[at : at + 4] = b"\xff\xff\xff\xff" if at else bytes(4)
        state._ledger.kept = bytes(spoilt)
        after = again(state)
        assert after.faults.bits & faults.COPY_DAMAGED and after.part(1).generation == 1
