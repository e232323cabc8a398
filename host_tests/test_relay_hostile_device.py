"""Whatever ten forged messages say: nothing is told beyond what can have run, and a day later the true device is heard.

The device is as the firmware: a status a day, whose answer may make it number its messages anew, and a report a day.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tools.relay.core import bounds, state, wire
from tools.relay.core import decide as core
from tools.relay.testing import EPOCH, NOW_S, replacement, report

DAY_S = 86400


@dataclass
class Relay:
    """The core with the memory that the store gives it; every state goes through its stored form."""

    now_s: int = NOW_S
    device: core.Device = core.Device()
    states: dict[int, str] = field(default_factory=dict)
    stored: dict[tuple[int, int], wire.Up] = field(default_factory=dict)

    def take(self, payload: bytes) -> list[core.Event]:
        message = wire.decode_up(payload)
        key = (message.epoch, message.sequence)
        held = self.states.get(message.epoch)
        known = state.load(held) if held is not None else None
        decision = core.decide(self.device, known, message, self.stored.get(key), self.now_s)
        if decision.epoch is not None:
            self.states[message.epoch] = state.dump(decision.epoch)
        if decision.verdict == core.ACCEPTED and not isinstance(message, wire.Unreadable):
            self.stored[key] = message
            if decision.current:
                self.device = replace(self.device, epoch=message.epoch, sampled_s=decision.sampled_s(self.device))
        return decision.events

    def status(self, epoch: int, next_sequence: int) -> int:
        """Take a status; returns the sequence up to which the welcome says that nothing lacks."""
        self.device = replace(self.device, status_epoch=epoch, next_sequence=next_sequence)
        held = self.states.get(epoch)
        if held is not None and bounds.lost_count(state.load(held), next_sequence):
            held = self.states.pop(epoch, None) and None
        return state.load(held).contiguous if held is not None else 0

    def timer(self) -> list[core.Event]:
        events = []
        for number, held in self.states.items():
            decision = core.gaps_over(self.device, state.load(held), number, self.now_s, 3600)
            assert decision.epoch is not None
            self.states[number] = state.dump(decision.epoch)
            events += decision.events
        return events


@dataclass
class Vacuum:
    """The true device: one part that runs an hour a day."""

    sequence: int = 0
    lifetime_s: int = 100 * 3600
    fitted_s: int = 90 * 3600
    generation: int = 2

    def hello(self, relay: Relay) -> None:
        have = relay.status(EPOCH, self.sequence + 1)
        if 0 <= have - (self.sequence + 1) <= 1_000_000:
            self.sequence = have

    def report(self, relay: Relay) -> list[core.Event]:
        self.sequence += 1
        used_s = self.lifetime_s - self.fitted_s
        return relay.take(report(self.sequence, self.lifetime_s, self.generation, used_s, at=relay.now_s))

    def told(self, events: list[core.Event]) -> bool:
        """Whether the newest event of its fitted part is the truth."""
        of = [event for event in events if event.name == core.CONSUMED]
        return bool(of) and (of[-1].generation, of[-1].usage_s) == (self.generation, self.lifetime_s - self.fitted_s)


@dataclass(frozen=True)
class Forged:
    """A forged message, relative to what the device said last: mostly near it, sometimes anything."""

    kind: str
    epoch: int
    ahead: int
    more_s: int
    generations: int
    used_more_s: int
    off_s: int | None
    merged: int

    def say(self, relay: Relay, vacuum: Vacuum) -> list[core.Event]:
        sequence = min(vacuum.sequence + self.ahead, 4294967295)
        if self.kind == "status":
            relay.status(self.epoch, sequence)
            return []
        if self.kind == "unreadable":
            return relay.take(wire.encode([wire.VERSION, wire.REPORT, self.epoch, sequence, "x"]))
        lifetime_s = min(max(0, vacuum.lifetime_s + self.more_s), 4294967295)
        used_s = min(max(0, lifetime_s - vacuum.fitted_s + self.used_more_s), 4294967295)
        generation = min(vacuum.generation + self.generations, 65535)
        at: Any = [None, None] if self.off_s is None else relay.now_s + self.off_s
        if self.kind == "report":
            merged = min(self.merged, sequence - 1)
            return relay.take(report(sequence, lifetime_s, generation, used_s, at=at, epoch=self.epoch, merged=merged))
        return relay.take(replacement(sequence, 1, max(2, generation), lifetime_s, used_s, at=at, epoch=self.epoch))


forgeries = st.builds(
    Forged,
    kind=st.sampled_from(["report", "report", "report", "replacement", "status", "unreadable"]),
    epoch=st.sampled_from([EPOCH, EPOCH, EPOCH, EPOCH + 1]),
    ahead=st.integers(1, 12) | st.sampled_from([1, 1000, 4294967295]) | st.integers(1, 4294967295),
    more_s=st.sampled_from([0, 10, 3000, 86400, 900_000, -50, -360_000, 4294967295]) | st.integers(-10_000, 200_000),
    generations=st.sampled_from([0, 0, 0, 0, 1, 1, 2, 9, 60_000]),
    used_more_s=st.sampled_from([0, 0, 0, 900_000, -360_000, 3600]) | st.integers(-400_000, 400_000),
    off_s=st.sampled_from([None, 0, 0, 3 * DAY_S, -3 * DAY_S, 10**8]) | st.integers(-DAY_S, DAY_S),
    merged=st.sampled_from([0, 0, 3, 900]),
)


PLAIN = Forged("report", EPOCH, ahead=1, more_s=0, generations=0, used_more_s=0, off_s=None, merged=0)
AFTER_A_GAP = replace(PLAIN, ahead=1000, generations=1, used_more_s=-360_000)


@settings(max_examples=400)
@example(1, False, [(replace(PLAIN, ahead=4294967295), 0)])
@example(1, False, [(replace(PLAIN, kind="replacement", ahead=n, generations=n, off_s=3 * DAY_S), 0) for n in (1, 2)])
@example(1, True, [(replace(PLAIN, generations=9), 0)])
@example(1, False, [(replace(PLAIN, more_s=2 * DAY_S), 0), (replace(PLAIN, ahead=2, more_s=2 * DAY_S), 3600)])
@example(1, False, [(AFTER_A_GAP, 0), (replace(PLAIN, ahead=2, used_more_s=86_409), 0)])
@example(1, False, [(AFTER_A_GAP, 0), (replace(PLAIN, ahead=2, more_s=900_000), 0)])
@example(1, False, [(replace(PLAIN, used_more_s=seconds), 0) for seconds in range(1, 11)])
@given(st.integers(1, 20), st.booleans(), st.lists(st.tuples(forgeries, st.integers(0, 3600)), min_size=1, max_size=10))
def test_nothing_untrue_is_told_and_a_day_later_the_true_device_is_heard(
    days: int, replaced: bool, messages: list[tuple[Forged, int]]
) -> None:
    relay, vacuum = Relay(), Vacuum()
    for _ in range(days):
        vacuum.hello(relay)
        assert vacuum.told(vacuum.report(relay))
        relay.now_s += DAY_S
        vacuum.lifetime_s += 3600
    heard_s, heard_used_s = relay.now_s - DAY_S, vacuum.lifetime_s - vacuum.fitted_s - 3600
    for forgery, pause_s in messages:
        for event in relay.timer() + forgery.say(relay, vacuum):
            most_s = heard_used_s + relay.now_s - heard_s + bounds.SLACK_S + 1  # rounding's second
            assert (event.usage_s or 0) <= most_s, event
            assert event.utc_s <= relay.now_s
        relay.now_s += pause_s
    if replaced:
        vacuum.generation, vacuum.fitted_s = vacuum.generation + 1, vacuum.lifetime_s
    heard = False
    for _ in range(2):
        relay.now_s += DAY_S
        vacuum.lifetime_s += 3600
        relay.timer()
        vacuum.hello(relay)
        heard = vacuum.told(vacuum.report(relay))
    assert heard
