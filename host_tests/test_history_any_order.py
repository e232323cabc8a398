"""Whatever order things happen in, the relay ends with the device's totals and each replacement once.

The device as wire_up makes it, its files in a folder as flash, and the relay's own store on SQLite in memory. Only the
motors are played: what they say they ran is taken once. Messages are duplicated, lost and delivered late; the power is
cut between any two steps.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire as relay_wire
from tools.relay.store import schema
from tools.relay.store.store import Store as RelayStore
from tools.relay.testing import ABOUT
from wearmeter.exchange import wire
from wearmeter.state import faults

House: Any = importlib.import_module("house").House

DEVICE = "unit1"
LOSS_TOLD = faults.COPY_DAMAGED | faults.COUNTS_LOST | faults.QUEUE_LOST


class Motor:
    """An input: what it says it ran is taken once."""

    on = stuck = noisy = False
    error = None

    def __init__(self) -> None:
        self.ran_ms = 0

    def sample(self, now_us: int, late_us: int) -> int:
        ran_ms, self.ran_ms = self.ran_ms, 0
        return ran_ms


class Histories(RuleBasedStateMachine):
    """Truth is kept beside: `ran_ms` of each part, and its totals at the replacements that stand."""

    @initialize()
    def factory(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.ran_ms = [0, 0]
        self.stands: list[list[int]] = [[], []]
        self.nonce = 0
        self.down: list[bytes] = []
        self.late: list[bytes] = []
        self.house = House(str(self.folder / "unit"))
        self.relay = RelayStore("sqlite://", lambda: self.house.true_s)
        Fleet(self.relay).about(DEVICE, relay_wire.encode(ABOUT))
        self.powered()

    def powered(self) -> None:
        """A start is done: nothing was damaged, and from here on the motors are played."""
        house = self.house
        self.state, self.link, self.tick = house.state, house.link, house.device.tick
        self.link.nonce = self.nonce
        assert not self.state.faults.bits & LOSS_TOLD
        self.motors = [Motor(), Motor()]
        self.tick.inputs[:] = [(motor, (at,)) for at, motor in enumerate(self.motors)]
        self.watch()

    def watch(self) -> None:
        """Whatever the state says is done, by button or by command, stands."""
        state = self.state
        apply = state.apply

        def watched(event: Any) -> bool:
            before = [part.generation for part in state.parts]
            done = bool(apply(event))
            for at, part in enumerate(state.parts):
                if part.generation > before[at]:
                    self.stands[at].append(part.fitted_at_ms)
                elif part.generation < before[at]:
                    self.stands[at].pop()
            return done

        state.apply = self.tick._apply = watched

    def pass_ms(self, ms: int) -> None:
        """Powered time, with one tick at its end; the loop turns only where a rule says so."""
        house = self.house
        timer, clockwork = house.board.timer, house.clockwork
        timer.period_ms = ms
        timer.due_ms = clockwork.passed_ms + ms
        house.true_ms += ms
        house.device.attention._beat_us = None  # This tick is long, not late.
        clockwork.go(ms)
        if house.guard.error:
            raise house.guard.error

    # ---- the household

    @rule(index=st.integers(0, 1), ms=st.integers(1, 100_000))
    def run(self, index: int, ms: int) -> None:
        self.motors[index].ran_ms += ms
        self.ran_ms[index] += ms
        self.pass_ms(ms)

    @rule(index=st.integers(0, 1), ms=st.sampled_from((3300, 10_300)))
    def press(self, index: int, ms: int) -> None:
        """Three seconds replace or confirm, ten undo."""
        button = self.house.button(index + 1)
        button.level = 0
        for _ in range(ms // 100):
            self.pass_ms(100)
        button.level = 1
        for _ in range(3):
            self.pass_ms(100)

    @rule(seconds=st.sampled_from((1, 59, 60, 300, 601, 4000)))
    def wait(self, seconds: int) -> None:
        self.pass_ms(seconds * 1000)

    @rule(seconds=st.sampled_from((5, 700, 40_000, 86_400, 40 * 86_400)))
    def cut(self, seconds: int) -> None:
        lost = [ran_ms - part.saved_ms for ran_ms, part in zip(self.ran_ms, self.state.parts, strict=True)]
        assert all(0 <= lost_ms <= 1000 for lost_ms in lost)
        self.ran_ms = [part.saved_ms for part in self.state.parts]
        self.late += [payload for branch, payload in self.link.sent if branch == b"up"]
        self.nonce += 1
        self.down = []
        self.house.cut(seconds)
        self.powered()

    @rule(days=st.integers(1, 45))
    def away_without_network(self, days: int) -> None:
        """A start each day with a known time, and no network: the queue fills and its reports coalesce."""
        for _ in range(days):
            self.cut(86_400)
            self.house.learn_time()
            self.loop(1)

    # ---- the network

    @rule()
    def connect(self) -> None:
        self.nonce += 1
        self.link.nonce = self.nonce
        self.link.online = True
        self.down = []

    @rule()
    def disconnect(self) -> None:
        self.link.online = False

    @rule()
    def learn_the_time(self) -> None:
        self.house.learn_time()

    @rule(turns=st.integers(1, 4))
    def loop(self, turns: int) -> None:
        for _ in range(turns):
            self.pass_ms(100)
            self.house.device.step()

    @rule()
    def deliver_up(self) -> None:
        sent, self.link.sent = self.link.sent, []
        for branch, payload in sent:
            self.to_relay(branch, payload)

    @rule()
    def deliver_up_and_again_later(self) -> None:
        self.late += [payload for branch, payload in self.link.sent if branch == b"up"]
        self.deliver_up()

    @rule()
    def lose_up(self) -> None:
        self.link.sent = []

    @rule(data=st.data())
    def a_late_duplicate(self, data: st.DataObject) -> None:
        """A broker hands on what it was given long ago, in any order."""
        if self.late:
            at = data.draw(st.integers(0, len(self.late) - 1))
            self.to_relay(b"up", self.late.pop(at))

    @rule(keep=st.booleans(), reverse=st.booleans())
    def deliver_down(self, keep: bool, reverse: bool) -> None:
        down, self.down = self.down, self.down if keep else []
        if not self.link.online:
            return
        for payload in reversed(down) if reverse else list(down):
            fields = wire.parse_down(payload)
            if fields[wire.NONCE] == self.link.nonce:  # as the link checks
                self.link.on_message(fields)

    @rule()
    def lose_down(self) -> None:
        self.down = []

    @rule(index=st.integers(0, 1), undo=st.booleans())
    def command(self, index: int, undo: bool) -> None:
        """From the maker's app, believing what the relay was told last."""
        generation = self.state.parts[index].generation
        self.relay.add_command(DEVICE, wire.UNDO if undo else wire.REPLACED, [index + 1, generation])
        for due in self.relay.due_commands(0, [DEVICE]):
            now_s = self.house.true_s
            self.down.append(relay_wire.encode_command(due.nonce, now_s, due.number, due.operation, due.arguments))
        self.deliver_down(keep=True, reverse=False)
        self.loop(3)

    def to_relay(self, branch: bytes, payload: bytes) -> None:
        now_s = self.house.true_s
        if branch == b"status":
            status = relay_wire.decode_status(payload)
            held = self.relay.status(DEVICE, status)
            assert held is not None and isinstance(status, relay_wire.Online)
            self.down.append(relay_wire.encode_welcome(status.nonce, now_s, held.epoch, held.have_sequence, None))
        elif branch == b"up":
            message = relay_wire.decode_up(payload)
            assert not isinstance(message, relay_wire.Unreadable)
            (outcome,) = self.relay.accept([(DEVICE, payload, message)])
            if outcome.nonce is not None:
                self.down.append(relay_wire.encode_ack(outcome.nonce, now_s, message.epoch, message.sequence))

    # ---- what holds

    @invariant()
    def the_state_is_the_truth(self) -> None:
        if not hasattr(self, "state"):
            return
        for at, part in enumerate(self.state.parts):
            assert part.lifetime_ms == self.ran_ms[at]
            assert part.generation == 1 + len(self.stands[at])
            assert part.fitted_at_ms == (self.stands[at][-1] if self.stands[at] else 0)

    def teardown(self) -> None:
        if not hasattr(self, "state"):
            return
        try:
            self.settle()
            self.check_relay()
        finally:
            self.relay.close()
            shutil.rmtree(self.folder)

    def settle(self) -> None:
        """The network is good, until everything is told and nobody can undo any more."""
        self.link.sent = []
        self.connect()
        self.house.learn_time()
        for _ in range(2):  # What is obeyed only now can still be undone.
            self.wait(700)
            for _ in range(400):
                self.loop(1)
                self.deliver_up()
                self.deliver_down(keep=False, reverse=False)
                self.pass_ms(1000)
                if not self.house.entries() and not self.link.sent and not self.down and not self.tick.waiting:
                    break
        self.house.report()
        for _ in range(10):
            self.loop(1)
            self.deliver_up()
            self.deliver_down(keep=False, reverse=False)
        assert not self.house.entries()

    def check_relay(self) -> None:
        assert [(row.sequence, row.reason) for row in self.relay.rows(schema.quarantine)] == []
        held = {(row.consumable, row.generation): row for row in self.relay.rows(schema.usage)}
        wanted: dict[tuple[int, int], int] = {}
        for at, part in enumerate(self.state.parts):
            borders = [0, *self.stands[at]]
            for number, (start_ms, end_ms) in enumerate(zip(borders, borders[1:], strict=False), 1):
                wanted[at + 1, number] = (end_ms - start_ms) // 1000
            wanted[at + 1, part.generation] = (part.lifetime_ms - borders[-1]) // 1000
        assert {key: row.used_s for key, row in held.items()} == wanted
        for (consumable, generation), row in held.items():
            assert not row.inferred
            assert (row.replaced_s is not None) == (generation < self.state.parts[consumable - 1].generation)
        # Events are queued once for each replacement.
        events = self.relay.rows(schema.queue)
        replaced = [(row.consumable, row.generation) for row in events if row.name.endswith("Replaced")]
        assert sorted(replaced) == sorted((at + 1, n + 2) for at in (0, 1) for n in range(len(self.stands[at])))


def test_any_order_ends_with_the_relay_holding_the_devices_totals_and_each_replacement_once() -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None, print_blob=True),
    )
