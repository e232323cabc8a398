"""What a message means beside what is already held: accepted once, never backwards, impossible numbers kept aside."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.relay.core import decide as core
from tools.relay.core import wire
from tools.relay.core.bounds import BUILD_UTC_S
from tools.relay.core.state import MAX_INTERVALS, Epoch
from tools.relay.testing import EPOCH, NOW_S, replacement, report

DAY_S = 86400


@dataclass
class Relay:
    """The pure core with the memory that the store would give it."""

    now_s: int = NOW_S
    device: core.Device = core.Device()
    epochs: dict[int, Epoch] = field(default_factory=dict)
    stored: dict[tuple[int, int], wire.Up] = field(default_factory=dict)
    events: list[core.Event] = field(default_factory=list)
    usage: dict[tuple[int, int], core.Usage] = field(default_factory=dict)

    def take(self, payload: bytes) -> core.Decision:
        message = wire.decode_up(payload)
        assert not isinstance(message, wire.Unreadable)
        key = (message.epoch, message.sequence)
        decision = core.decide(self.device, self.epochs.get(message.epoch), message, self.stored.get(key), self.now_s)
        if decision.epoch is not None:
            self.epochs[message.epoch] = decision.epoch
        if decision.verdict == core.ACCEPTED:
            self.stored[key] = message
            if decision.current:
                self.device = replace(self.device, epoch=message.epoch)
            self.usage |= {(used.consumable, used.generation): used for used in decision.usages}
        self.events += decision.events
        return decision

    def gaps_over(self, after_s: int) -> core.Decision:
        """The relay's timer, some seconds later."""
        self.now_s += after_s
        decision = core.gaps_over(core.Device(EPOCH), self.epochs[EPOCH], EPOCH, self.now_s, 3600)
        assert decision.epoch is not None
        self.epochs[EPOCH] = decision.epoch
        self.events += decision.events
        return decision

    def told(self, consumable: int = 1) -> list[tuple[Any, ...]]:
        """The events of one consumable: ("used", generation, seconds) or ("new", generation)."""
        return [
            ("used", event.generation, event.usage_s) if event.name == core.CONSUMED else ("new", event.generation)
            for event in self.events
            if event.consumable == consumable
        ]


@pytest.fixture
def relay() -> Relay:
    return Relay()


def test_a_report_becomes_one_consumption_for_each_consumable(relay: Relay) -> None:
    decision = relay.take(report(1, 5400, 1, 5400, 2700, 1, 2700))
    assert [(event.name, event.consumable, event.usage_s, event.utc_s) for event in decision.events] == [
        ("InventoryConsumed", 1, 5400, NOW_S),
        ("InventoryConsumed", 2, 2700, NOW_S),
    ]


def test_a_message_that_comes_again_is_a_duplicate_and_tells_nothing(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    again = relay.take(report(1, 100, 1, 100, at=[None, NOW_S], faults=4))
    assert (again.verdict, again.events) == (core.DUPLICATE, [])


def test_another_message_under_an_accepted_sequence_is_kept_aside(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    forged = relay.take(report(1, 200, 1, 200))
    assert (forged.verdict, forged.reason) == (core.ASIDE, "differs from the accepted message of that sequence")


def test_a_replacement_tells_the_last_of_the_old_part_and_then_the_new_one(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    relay.take(replacement(2, 1, 2, 130, 130))
    relay.take(report(3, 140, 2, 10))
    assert relay.told() == [("used", 1, 100), ("used", 1, 130), ("new", 2), ("used", 2, 10)]
    assert relay.usage[1, 1] == core.Usage(1, 1, 130, NOW_S)


def test_nothing_is_told_of_the_old_part_when_it_was_all_told(relay: Relay) -> None:
    relay.take(report(1, 130, 1, 130))
    relay.take(replacement(2, 1, 2, 130, 130))
    assert relay.told() == [("used", 1, 130), ("new", 2)]


def test_reports_made_while_the_replacement_could_be_undone_do_not_make_it_impossible(relay: Relay) -> None:
    relay.take(report(1, 150, 1, 150))
    assert relay.take(replacement(2, 1, 2, 130, 130)).verdict == core.ACCEPTED
    relay.take(report(3, 160, 2, 30))
    assert relay.told() == [("used", 1, 150), ("new", 2), ("used", 2, 30)]
    assert relay.usage[1, 1].used_s == 130


def test_a_late_report_is_accepted_and_tells_nothing(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    relay.take(report(3, 300, 1, 300))
    late = relay.take(report(2, 200, 1, 200))
    assert (late.verdict, late.late, late.events) == (core.ACCEPTED, True, [])
    assert late.epoch is not None and late.epoch.contiguous == 3


def test_a_report_of_a_new_part_waits_for_the_replacement_that_may_still_come(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    early = relay.take(report(3, 120, 2, 5))
    assert (early.verdict, early.events) == (core.ACCEPTED, [])
    relay.take(replacement(2, 1, 2, 115, 115))
    assert relay.told() == [("used", 1, 100), ("used", 1, 115), ("new", 2), ("used", 2, 5)]


def test_other_consumables_do_not_wait_with_it(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100, 50, 1, 50))
    assert [event.consumable for event in relay.take(report(3, 120, 2, 5, 60, 1, 60)).events] == [2]


def test_a_replacement_that_does_not_come_is_inferred_after_the_wait_and_marked(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    relay.take(report(3, 120, 2, 5))
    relay.now_s += DAY_S
    relay.take(report(4, 130, 2, 15, at=relay.now_s))
    assert relay.told() == [("used", 1, 100), ("new", 2), ("used", 2, 5), ("used", 2, 15)]
    inferred = next(event for event in relay.events if event.name == core.REPLACED)
    assert inferred.inferred and inferred.estimated
    assert relay.usage[1, 1] == core.Usage(1, 1, 100, NOW_S, inferred=True)


def test_the_true_replacement_after_an_inferred_one_is_stored_and_tells_nothing(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    relay.take(report(3, 120, 2, 5))
    relay.now_s += DAY_S
    relay.take(report(4, 130, 2, 15, at=relay.now_s))
    late = relay.take(replacement(2, 1, 2, 115, 115))
    assert (late.verdict, late.late, late.events) == (core.ACCEPTED, True, [])


def test_without_a_gap_a_new_part_is_inferred_at_once(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    relay.take(report(2, 120, 2, 5))
    assert relay.told() == [("used", 1, 100), ("new", 2), ("used", 2, 5)]


def test_a_merged_report_leaves_no_gap_to_wait_for(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    decision = relay.take(report(4, 120, 1, 120, merged=2))
    assert decision.epoch is not None and (decision.epoch.contiguous, decision.epoch.ahead) == (4, [])


def test_the_first_message_of_a_device_is_where_the_relay_begins(relay: Relay) -> None:
    relay.take(report(100, 5000, 3, 70))
    assert relay.told() == [("used", 3, 70)]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (report(2, 99, 1, 99), "total smaller than before"),
        (report(2, 110, 1, 99), "total smaller than before"),
        (report(2, 110, 3, 5), "generation skipped"),
        (report(2, 300000, 1, 300000), "total grew faster than time"),
        (replacement(2, 1, 2, 300000, 5), "total grew faster than time"),
        (report(2, 4294967295, 1, 100), "longer than any device exists"),
        (replacement(2, 1, 2, 4000000000, 5), "longer than any device exists"),
        (report(2, 900, 1, 902), "a part used for longer than its device"),
        (report(5000, 110, 1, 110), "sequence is far ahead of what the device can have made"),
        (report(4294967295, 110, 1, 110), "sequence is far ahead of what the device can have made"),
        (report(2, 110, 1, 111), "a part used for longer than its device"),
        (replacement(2, 1, 3, 110, 5), "generation skipped"),
        (replacement(2, 1, 2, 110, 111), "a part used for longer than its device"),
    ],
)
def test_an_impossible_message_is_kept_aside_and_never_an_event(relay: Relay, payload: bytes, reason: str) -> None:
    relay.take(report(1, 100, 1, 100))
    decision = relay.take(payload)
    assert (decision.verdict, decision.reason, decision.events) == (core.ASIDE, reason, [])
    assert relay.take(report(51, 120, 1, 120)).verdict == core.ACCEPTED


@pytest.mark.parametrize(
    ("at", "sample"),
    [
        (4070908800, (NOW_S, True)),
        (NOW_S + 1, (NOW_S, True)),
        ([NOW_S - 60, NOW_S + 60], (NOW_S, True)),
        ([NOW_S - 60, NOW_S], (NOW_S, True)),
        (946684800, (NOW_S, True)),
        ([0, NOW_S - 5], (NOW_S - 5, True)),
    ],
    ids=str,
)
def test_a_time_that_cannot_be_is_an_estimate_within_what_can(relay: Relay, at: Any, sample: tuple[int, bool]) -> None:
    decision = relay.take(report(1, 100, 1, 100, at=at))
    assert (decision.verdict, decision.sample) == (core.ACCEPTED, sample)
    assert [(event.utc_s, event.estimated) for event in decision.events] == [sample]


def test_a_part_is_not_used_for_longer_than_it_ran(relay: Relay) -> None:
    relay.take(report(1, 900_010, 2, 10))
    refused = relay.take(report(2, 900_020, 2, 900_000))
    assert (refused.verdict, refused.reason) == (core.ASIDE, "used for longer than it ran")
    refused = relay.take(replacement(3, 1, 3, 900_020, 900_000))
    assert (refused.verdict, refused.reason) == (core.ASIDE, "used for longer than it ran")
    assert relay.take(report(4, 900_020, 2, 21)).verdict == core.ACCEPTED  # each is rounded down by itself


def test_the_second_that_rounding_hides_is_believed_once(relay: Relay) -> None:
    """Whole seconds of two counts may lie one apart from their sum; they do not drift apart."""
    relay.take(report(1, 100, 1, 40))
    assert relay.take(report(2, 110, 1, 51)).verdict == core.ACCEPTED
    assert relay.take(report(3, 120, 1, 62)).reason == "used for longer than it ran"
    assert relay.take(report(4, 130, 1, 71)).verdict == core.ACCEPTED


@pytest.mark.parametrize(
    "late", [report(3, 900_000, 1, 900_000), report(3, 120, 1, 120), replacement(3, 1, 2, 120, 120)], ids=str
)
def test_what_comes_late_but_is_still_to_be_told_is_held_against_the_truth_too(relay: Relay, late: bytes) -> None:
    """A newer part's report waits for what is missing before it; that is not believed whatever it says."""
    relay.take(report(1, 100, 1, 40))
    relay.take(report(9, 150, 2, 10))
    assert relay.take(late).verdict == core.ASIDE
    relay.take(replacement(8, 1, 2, 140, 80))
    relay.gaps_over(3600)
    assert relay.told() == [("used", 1, 40), ("used", 1, 80), ("new", 2), ("used", 2, 10)]


def test_a_new_part_was_not_used_before_it_was_fitted(relay: Relay) -> None:
    relay.take(report(1, 900_010, 1, 900_010))
    assert relay.take(report(2, 900_020, 2, 500)).reason == "used for longer than it ran"
    assert relay.take(report(3, 900_020, 2, 10)).verdict == core.ACCEPTED


def test_a_first_report_is_not_believed_beyond_the_age_of_the_firmware(relay: Relay) -> None:
    assert relay.take(report(1, 4294967295, 1, 4294967295)).reason == "longer than any device exists"
    assert relay.take(report(1, NOW_S - BUILD_UTC_S, 1, 5)).verdict == core.ACCEPTED


def test_the_first_message_of_an_epoch_is_held_against_the_next_sequence_of_the_status(relay: Relay) -> None:
    relay.device = core.Device(status_epoch=EPOCH, next_sequence=7)
    assert relay.take(report(4294967295, 100, 1, 100)).verdict == core.ASIDE
    assert relay.take(report(8, 100, 1, 100)).verdict == core.ACCEPTED


def test_a_device_away_for_a_year_may_have_made_many_messages(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    relay.now_s += 365 * DAY_S
    assert relay.take(report(300_000, 200, 1, 200)).verdict == core.ACCEPTED


def test_of_more_than_eight_missed_replacements_the_last_is_told(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    assert relay.take(report(50, 110, 15, 5)).verdict == core.ACCEPTED
    relay.now_s += DAY_S
    relay.take(report(51, 120, 15, 15, at=relay.now_s))
    assert relay.told() == [("used", 1, 100), ("new", 15), ("used", 15, 5), ("used", 15, 15)]
    assert relay.usage[1, 1] == core.Usage(1, 1, 100, NOW_S, inferred=True)


def test_a_wait_ends_by_the_clock_without_another_message(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    relay.take(report(3, 120, 2, 5))
    assert relay.gaps_over(after_s=3599).events == []
    over = relay.gaps_over(after_s=1)
    assert [(event.name, event.inferred) for event in over.events] == [(core.REPLACED, True), (core.CONSUMED, False)]
    assert over.epoch is not None and over.epoch.gap_since_s is None


def test_a_device_that_was_away_for_months_may_have_run_for_days(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    relay.now_s += 90 * DAY_S
    assert relay.take(report(2, 500000, 1, 500000, at=relay.now_s)).verdict == core.ACCEPTED
    assert relay.take(report(3, 900000, 1, 900000, at=[None, None])).verdict == core.ASIDE


def test_a_device_that_never_knew_the_time_is_believed(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100, at=[None, None]))
    assert relay.take(report(2, 500000, 1, 500000, at=[None, None])).verdict == core.ACCEPTED


def test_a_generation_that_goes_back_is_kept_aside(relay: Relay) -> None:
    relay.take(report(1, 100, 2, 50))
    assert relay.take(report(2, 110, 1, 110)).reason == "generation went back"
    assert relay.take(replacement(3, 1, 2, 110, 110)).reason == "generation went back"


def test_a_part_that_the_product_does_not_have_is_counted_in_silence(relay: Relay) -> None:
    relay.device = core.Device(consumables=frozenset({1}))
    decision = relay.take(report(1, 100, 1, 100, 50, 1, 50))
    assert (decision.verdict, [event.consumable for event in decision.events]) == (core.ACCEPTED, [1])
    assert relay.usage[2, 1].used_s == 50


def test_a_part_that_comes_back_into_the_product_is_told_from_where_it_is(relay: Relay) -> None:
    relay.device = core.Device(consumables=frozenset({1}))
    relay.take(report(1, 100, 1, 100, 50, 1, 50))
    relay.device = core.Device(EPOCH, consumables=frozenset({1, 2}))
    relay.take(report(2, 110, 1, 110, 60, 1, 60))
    assert relay.told(2) == [("used", 1, 60)]


def test_a_new_epoch_begins_at_zero_and_is_no_error(relay: Relay) -> None:
    relay.take(report(9, 100, 2, 50))
    fresh = relay.take(report(1, 3, 1, 3, epoch=EPOCH + 1))
    assert (fresh.verdict, fresh.current) == (core.ACCEPTED, True)
    assert relay.told()[-1] == ("used", 1, 3)


def test_what_came_while_another_epoch_was_claimed_is_told_when_the_device_is_back(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    relay.device = core.Device(EPOCH, status_epoch=EPOCH + 1)  # a forged status
    relay.take(report(1, 0, 1, 0, epoch=EPOCH + 1))
    assert relay.take(replacement(2, 1, 2, 110, 110)).events == []
    relay.device = core.Device(EPOCH + 1, status_epoch=EPOCH)
    relay.take(report(3, 120, 2, 10))
    assert relay.told()[-4:] == [("used", 1, 0), ("used", 1, 110), ("new", 2), ("used", 2, 10)]


def test_a_message_of_a_former_epoch_is_accepted_and_tells_nothing(relay: Relay) -> None:
    relay.take(report(9, 100, 2, 50))
    relay.take(report(1, 3, 1, 3, epoch=EPOCH + 1))
    old = relay.take(report(10, 110, 2, 60))
    assert (old.verdict, old.events, old.current) == (core.ACCEPTED, [], False)


def test_an_epoch_that_the_device_does_not_claim_is_kept_aside(relay: Relay) -> None:
    relay.take(report(1, 100, 1, 100))
    relay.device = core.Device(EPOCH, status_epoch=EPOCH)
    assert (
        relay.take(report(1, 3, 1, 3, epoch=EPOCH + 1)).reason == "epoch is neither known nor that of the latest status"
    )


@pytest.mark.parametrize(
    ("at", "sample", "replaced"),
    [
        (NOW_S - 50, (NOW_S - 50, False), (NOW_S - 50, False)),
        ([NOW_S - 90, NOW_S - 30], (NOW_S - 30, True), (NOW_S - 30, True)),
        ([None, NOW_S - 30], (NOW_S - 30, True), (NOW_S - 30, True)),
        ([NOW_S - 90, None], (NOW_S - 90, True), (NOW_S, True)),
        ([None, None], (NOW_S, True), (NOW_S, True)),
    ],
    ids=str,
)
def test_a_time_between_bounds_is_estimated_and_says_so(
    relay: Relay, at: Any, sample: tuple[int, bool], replaced: tuple[int, bool]
) -> None:
    assert relay.take(report(1, 100, 1, 100, at=at)).sample == sample
    decision = relay.take(replacement(2, 1, 2, 110, 110, at=at))
    assert decision.sample == replaced
    assert [(event.utc_s, event.estimated) for event in decision.events] == [replaced, replaced]


def test_gaps_without_end_do_not_grow_the_state(relay: Relay) -> None:
    for sequence in range(1, 1000, 2):
        relay.take(report(sequence, sequence, 1, sequence))
    assert len(relay.epochs[EPOCH].ahead) <= MAX_INTERVALS


def _life(seed: int, length: int) -> list[bytes]:
    """What a true device would say: totals that only grow, replacements in their places."""
    random_ = random.Random(seed)
    lifetime, generation, fitted, messages = [0, 0], [1, 1], [0, 0], []
    for sequence in range(1, length + 1):
        for index in (0, 1):
            lifetime[index] += random_.randrange(100)
        if sequence > 1 and random_.random() < 0.3:
            index = random_.randrange(2)
            used = lifetime[index] - fitted[index]
            fitted[index] = lifetime[index]
            generation[index] += 1
            messages.append(replacement(sequence, 1 + index, generation[index], lifetime[index], used))
        else:
            totals = [(lifetime[at], generation[at], lifetime[at] - fitted[at]) for at in (0, 1)]
            messages.append(report(sequence, *totals[0], *totals[1]))
    return messages


def _check_never_backwards(told: list[tuple[Any, ...]]) -> None:
    generation, used = 1, 0
    for kind, of, *seconds in told:
        if kind == "new":
            assert of == generation + 1, told
            generation, used = of, 0
        else:
            assert of == generation and seconds[0] >= used, told
            used = seconds[0]


@given(st.integers(), st.integers(2, 25), st.randoms(use_true_random=False))
def test_in_whatever_order_messages_come_every_replacement_is_told_once_and_nothing_goes_back(
    seed: int, length: int, order: random.Random
) -> None:
    messages = _life(seed, length)
    truth = Relay()
    for message in messages:
        truth.take(message)
    later = messages[1:] + order.choices(messages, k=3)
    order.shuffle(later)
    shuffled = Relay()
    for message in messages[:1] + later:
        assert shuffled.take(message).verdict != core.ASIDE
    for consumable in (1, 2):
        _check_never_backwards(shuffled.told(consumable))
        assert [event for event in shuffled.told(consumable) if event[0] == "new"] == [
            event for event in truth.told(consumable) if event[0] == "new"
        ]
        assert shuffled.told(consumable)[-1:] == truth.told(consumable)[-1:]
    assert shuffled.usage == truth.usage


@given(st.integers(), st.integers(2, 25), st.randoms(use_true_random=False))
def test_whatever_is_lost_the_last_total_is_told_and_nothing_goes_back(
    seed: int, length: int, fate: random.Random
) -> None:
    messages = _life(seed, length)
    relay = Relay()
    for message in [messages[0], *(message for message in messages[1:] if fate.random() < 0.5)]:
        relay.take(message)
        relay.now_s += fate.choice([1, 60, 4000])
    relay.now_s += DAY_S
    final = wire.decode_up(messages[-1])
    if isinstance(final, wire.Report):
        relay.take(messages[-1])
        relay.now_s += DAY_S
        flat = [(total.lifetime_s, total.generation, total.used_s) for total in final.totals]
        relay.take(report(length + 1, *flat[0], *flat[1]))
        for index in (0, 1):
            _check_never_backwards(relay.told(1 + index))
            part = relay.epochs[EPOCH].parts[1 + index]
            if flat[index][1] <= core.MAX_INFERRED and flat[1 - index][1] <= core.MAX_INFERRED:
                assert (part.told_generation, part.told_used_s) == flat[index][1:]
