"""Whatever order things happen in, the relay ends with the ledger's totals and each replacement once.

The firmware's ledger, store, outbox, tick and reporter as they are, two files in a folder as flash, and the relay's own
store on SQLite in memory. Messages are duplicated, lost and delivered late; the power is cut between any two steps.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from fakes import Ticks, ticks_diff  # type: ignore[import-not-found]
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire as relay_wire
from tools.relay.store import schema
from tools.relay.store.store import Store as RelayStore
from tools.relay.testing import ABOUT
from wearmeter import clock, faults, ledger, outbox, reporter, schedule, store, tick, wire
from wearmeter.drivers import button

START_S = 1782900000
DEVICE = "unit"
EPOCH = 77


class Motor:
    """An input: what it says it ran is taken once."""

    noisy = False

    def __init__(self) -> None:
        self.ran_ms = 0
        self.meter = type("Meter", (), {"on": False, "stuck": False, "held": False})()

    def sample(self, now_ms: int) -> int:
        ran_ms, self.ran_ms = self.ran_ms, 0
        return ran_ms


class Pushbutton:
    stuck = held = False

    def __init__(self) -> None:
        self.pressed = False

    def sample(self, now_ms: int) -> int:
        pressed, self.pressed = self.pressed, False
        return button.LONG if pressed else button.NOTHING


class Light:
    def tick(self, held: bool) -> None: ...

    def play(self, pattern: bytes) -> None: ...


class Part:
    instance = "Sensor.X"
    rated_life_h = 100


class Link:
    """What the device publishes waits in `up` until a rule does something with it."""

    def __init__(self, nonce: int) -> None:
        self.online = False
        self.nonce = nonce
        self.reason = self.losses = self.refused = 0
        self.talking = False
        self.up: list[tuple[bytes, bytes]] = []
        self.on_message: Any = None

    def publish(self, branch: bytes, payload: bytes, retain: bool = False) -> bool:
        self.up.append((branch, bytes(payload)))
        return True


class Histories(RuleBasedStateMachine):
    """Truth is kept beside: `ran_ms` of each consumable, and its totals at the replacements that stand."""

    @initialize()
    def factory(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.now_s = START_S
        self.ran_ms = [0, 0]
        self.cuts = 0
        self.stands: list[list[int]] = [[], []]
        self.nonce = 0
        self.down: list[bytes] = []
        self.late: list[bytes] = []
        self.relay = RelayStore("sqlite://", lambda: self.now_s)
        Fleet(self.relay).about(DEVICE, relay_wire.encode(ABOUT))
        self.power_on()

    def power_on(self) -> None:
        self.ticks = Ticks()
        self.ledger = ledger.Ledger(2)
        self.store = store.Store(str(self.folder / "ledger"))
        record = self.store.load(ledger.is_valid)
        if record is None:
            self.ledger.epoch = EPOCH
            self.ledger.dirty = True
        else:
            self.ledger.restore(record)
        assert not self.store.damaged
        parts = self.ledger.consumables
        self.outbox = outbox.Outbox(store.Store(str(self.folder / "outbox")), 2)
        generations = [part.generation - 1 if part.replacement else part.generation for part in parts]
        assert self.outbox.load(self.ledger.epoch, self.ledger.next_sequence, generations)
        self.clock = clock.Clock(ticks_diff)
        self.faults = faults.Faults()
        self.motors = [Motor(), Motor()]
        self.buttons = [Pushbutton(), Pushbutton()]
        lines: list[str] = []
        self.tick = tick.Tick(
            self.ledger, self.store, self.clock, self.faults, self.motors, [(0,), (1,)], self.buttons, [Part, Part],
            Light(), self.ticks, lines.append,
        )  # fmt: skip
        for index, part in enumerate(parts):
            self.tick.released[index] = self.outbox.released[index] if part.replacement else part.generation
        self.watch()
        self.link = Link(self.nonce)
        self.reporter = reporter.Reporter(
            self.ledger, self.outbox, self.clock, self.faults, self.tick, self.link, b"about",
            schedule.report_minute(DEVICE), self.ticks, ticks_diff, lines.append,
        )  # fmt: skip
        self.tick()

    def watch(self) -> None:
        """Whatever the tick says is done, by button or by command, stands."""
        replace, undo, parts = self.tick._replace, self.tick._undo, self.ledger.consumables

        def replaced(index: int, source: int) -> bool:
            done = bool(replace(index, source))
            if done:
                self.stands[index].append(parts[index].at_replacement_ms)
            return done

        def undone(index: int) -> bool:
            done = bool(undo(index))
            if done:
                self.stands[index].pop()
            return done

        setattr(self.tick, "_replace", replaced)  # noqa: B010 - a method, to mypy
        setattr(self.tick, "_undo", undone)  # noqa: B010

    def pass_ms(self, ms: int) -> None:
        """Powered time; the loop turns only where a rule says so."""
        self._rest_ms = getattr(self, "_rest_ms", 0) + ms
        self.now_s += self._rest_ms // 1000
        self._rest_ms %= 1000
        self.ticks.go(ms)
        self.tick()

    # ---- the household

    @rule(index=st.integers(0, 1), ms=st.integers(1, 100_000))
    def run(self, index: int, ms: int) -> None:
        self.motors[index].ran_ms += ms
        self.ran_ms[index] += ms
        self.pass_ms(ms)

    @rule(index=st.integers(0, 1))
    def press_long(self, index: int) -> None:
        self.buttons[index].pressed = True
        self.pass_ms(100)

    @rule(seconds=st.sampled_from((1, 59, 60, 300, 601, 4000)))
    def wait(self, seconds: int) -> None:
        self.pass_ms(seconds * 1000)

    @rule(seconds=st.sampled_from((5, 700, 40_000, 86_400, 40 * 86_400)))
    def cut(self, seconds: int) -> None:
        lost = [ran_ms - part.saved_ms for ran_ms, part in zip(self.ran_ms, self.ledger.consumables, strict=True)]
        assert all(0 <= lost_ms <= 1000 for lost_ms in lost)
        self.ran_ms = [part.saved_ms for part in self.ledger.consumables]
        self.cuts += 1
        self.late += [payload for branch, payload in self.link.up if branch == b"up"]
        self.nonce += 1
        self.now_s += seconds
        self.down = []
        self.power_on()

    @rule(days=st.integers(1, 45))
    def away_without_network(self, days: int) -> None:
        """A start each day with a known time, and no network: the queue fills and its reports merge."""
        for _ in range(days):
            self.cut(86_400)
            self.clock.set(self.now_s)
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
        self.reporter.set_time(self.now_s)

    @rule(turns=st.integers(1, 4))
    def loop(self, turns: int) -> None:
        for _ in range(turns):
            self.pass_ms(100)
            self.reporter.step(self.ticks())

    @rule()
    def deliver_up(self) -> None:
        sent, self.link.up = self.link.up, []
        for branch, payload in sent:
            self.to_relay(branch, payload)

    @rule()
    def deliver_up_and_again_later(self) -> None:
        self.late += [payload for branch, payload in self.link.up if branch == b"up"]
        self.deliver_up()

    @rule()
    def lose_up(self) -> None:
        self.link.up = []

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
            if fields[2] == self.link.nonce:  # as the link checks
                self.link.on_message(fields)

    @rule()
    def lose_down(self) -> None:
        self.down = []

    @rule(index=st.integers(0, 1), undo=st.booleans())
    def command(self, index: int, undo: bool) -> None:
        """From the maker's app, believing what the relay was told last."""
        generation = self.ledger.consumables[index].generation
        self.relay.add_command(DEVICE, wire.UNDO if undo else wire.REPLACED, [index + 1, generation])
        for due in self.relay.due_commands(0, [DEVICE]):
            now_s = int(self.now_s)
            self.down.append(relay_wire.encode_command(due.nonce, now_s, due.number, due.operation, due.arguments))
        self.deliver_down(keep=True, reverse=False)
        self.loop(3)

    def to_relay(self, branch: bytes, payload: bytes) -> None:
        if branch == b"status":
            status = relay_wire.decode_status(payload)
            held = self.relay.status(DEVICE, status)
            assert held is not None and isinstance(status, relay_wire.Online)
            welcome = relay_wire.encode_welcome(status.nonce, int(self.now_s), held.epoch, held.have_sequence, None)
            self.down.append(welcome)
        elif branch == b"up":
            message = relay_wire.decode_up(payload)
            (outcome,) = self.relay.accept([(DEVICE, payload, message)])
            if outcome.nonce is not None:
                ack = relay_wire.encode_ack(outcome.nonce, int(self.now_s), message.epoch, message.sequence)
                self.down.append(ack)

    # ---- what holds

    @invariant()
    def the_ledger_is_the_truth(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for at, part in enumerate(self.ledger.consumables):
            assert part.lifetime_ms == self.ran_ms[at]
            assert part.generation == 1 + len(self.stands[at])
            assert part.at_replacement_ms == (self.stands[at][-1] if self.stands[at] else 0)

    def teardown(self) -> None:
        if not hasattr(self, "ledger"):
            return
        try:
            self.settle()
            self.check_relay()
        finally:
            self.relay.close()
            shutil.rmtree(self.folder)

    def settle(self) -> None:
        """The network is good, until everything is told and nobody can undo any more."""
        self.link.up = []
        self.connect()
        self.clock.set(self.now_s)
        for _ in range(2):  # What is obeyed only now can still be undone.
            self.wait(700)
            for _ in range(400):
                self.loop(1)
                self.deliver_up()
                self.deliver_down(keep=False, reverse=False)
                self.pass_ms(1000)
                if not self.outbox.entries and not self.link.up and not self.down and not self.tick.order:
                    break
        self.reporter._report(self.outbox.last_period)
        for _ in range(10):
            self.loop(1)
            self.deliver_up()
            self.deliver_down(keep=False, reverse=False)
        assert not self.outbox.entries

    def check_relay(self) -> None:
        assert [(row.sequence, row.reason) for row in self.relay.rows(schema.quarantine)] == []
        held = {(row.consumable, row.generation): row for row in self.relay.rows(schema.usage)}
        wanted: dict[tuple[int, int], int] = {}
        for at, part in enumerate(self.ledger.consumables):
            borders = [0, *self.stands[at]]
            for number, (start_ms, end_ms) in enumerate(zip(borders, borders[1:], strict=False), 1):
                wanted[at + 1, number] = (end_ms - start_ms) // 1000
            wanted[at + 1, part.generation] = (part.lifetime_ms - borders[-1]) // 1000
        assert {key: row.used_s for key, row in held.items()} == wanted
        for (consumable, generation), row in held.items():
            assert not row.inferred
            assert (row.replaced_s is not None) == (generation < self.ledger.consumables[consumable - 1].generation)
        # Events are queued once for each replacement.
        events = self.relay.rows(schema.queue)
        replaced = [(row.consumable, row.generation) for row in events if row.name.endswith("Replaced")]
        assert sorted(replaced) == sorted((at + 1, n + 2) for at in (0, 1) for n in range(len(self.stands[at])))


def test_any_order_ends_with_the_relay_holding_the_ledgers_totals_and_each_replacement_once() -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None, print_blob=True),
    )
