"""What the firmware and the relay did in any history is a behaviour of the protocol's specification."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from host_tests.test_history_any_order import Histories
from tools.model.checker import HERE, Unavailable
from tools.model.trace import Step, read, refusals, write
from tools.relay.core import wire as relay_wire
from tools.relay.store import schema
from tools.relay.testing import DUST_FILTER
from wearmeter import outbox, wire

PART = 0  # the place of the part whose use is traced; the other only takes sequence numbers
CONSUMABLE = DUST_FILTER[0]
SAMPLES = sorted((HERE / "traces").glob("*.jsonl"))


class Recorded(Histories):
    """A history whose every step is noted, by the names of tools/model/README.md."""

    finished: list[list[Step]] = []

    def power_on(self) -> None:
        first = not hasattr(self, "steps")
        if first:
            self.steps: list[Step] = []
        else:
            self.steps.append({"step": "cut"})
        super().power_on()
        self.note()
        publish, hear = self.link.publish, self.link.on_message

        def published(branch: bytes, payload: bytes, retain: bool = False) -> bool:
            self.observe()
            if branch == b"status":
                self.steps.append({"step": "hello"})
            elif branch == b"up":
                self.steps.append({"step": "send", "sequence": relay_wire.decode_up(payload).sequence})
            return publish(branch, payload, retain)

        def heard(fields: list[Any]) -> None:
            believed = not self.reporter._welcomed or self.clock.uptime_s >= self.reporter._welcome_s
            hear(fields)
            if fields[1] == wire.WELCOME and believed:
                self.steps.append({"step": "hear_welcome", "have": fields[5]})
            elif fields[1] == wire.ACK and any(entry[outbox.SEQUENCE] == fields[5] for entry in self.queue):
                self.steps.append({"step": "hear_ack", "sequence": fields[5]})
            self.note()

        setattr(self.link, "publish", published)  # noqa: B010 - a method, to mypy
        self.link.on_message = heard

    def note(self) -> None:
        part = self.ledger.consumables[PART]
        self.saved_ms, self.generation = part.saved_ms, part.generation
        self.queue = [list(entry) for entry in self.outbox.entries]

    def observe(self) -> None:
        """Note what the device has done since the last time."""
        part = self.ledger.consumables[PART]
        if part.generation != self.generation:
            self.steps.append({"step": "replace" if part.generation > self.generation else "undo"})
        elif part.saved_ms != self.saved_ms:
            self.steps.append({"step": "save", "life_ms": part.saved_ms})
        before = [entry[outbox.SEQUENCE] for entry in self.queue]
        now = [entry[outbox.SEQUENCE] for entry in self.outbox.entries]
        self.steps += [queued(entry) for entry in self.outbox.entries if entry[outbox.SEQUENCE] not in before]
        self.steps += [{"step": "merge", "sequence": sequence} for sequence in before if sequence not in now]
        self.note()

    def pass_ms(self, ms: int) -> None:
        if self.motors[PART].ran_ms:
            self.steps.append({"step": "run", "ms": self.motors[PART].ran_ms})
        super().pass_ms(ms)
        self.observe()

    def loop(self, turns: int) -> None:
        for _ in range(turns):
            super().loop(1)
            self.observe()

    def to_relay(self, branch: bytes, payload: bytes) -> None:
        told = self.events()
        super().to_relay(branch, payload)
        if branch == b"up":
            sequence = relay_wire.decode_up(payload).sequence
            self.steps.append({"step": "store", "sequence": sequence, "events": self.events()[len(told) :]})
        elif branch == b"status":
            welcome = wire.parse_down(self.down[-1])
            if welcome[2] == self.link.nonce:  # to an older connection nobody listens
                self.steps.append({"step": "welcome", "have": welcome[5]})

    def events(self) -> list[list[Any]]:
        rows = [row for row in self.relay.rows(schema.queue) if row.consumable == CONSUMABLE]
        return [
            ["replaced", row.generation, 0] if row.usage_s is None else ["used", row.generation, row.usage_s]
            for row in rows
        ]

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "steps"):
            self.observe()
            self.finished.append(self.steps)


def queued(entry: list[Any]) -> Step:
    """Return the step that put an entry into the device's queue."""
    kind, sequence, tail = entry[outbox.KIND], entry[outbox.SEQUENCE], entry[outbox.TAIL]
    if kind == wire.REPORT:
        at = tail[0].index(CONSUMABLE, 0, 1)
        return {"step": "report", "sequence": sequence, "generation": tail[0][at + 2], "used_s": tail[0][at + 3]}
    if kind == wire.REPLACEMENT and tail[0] == CONSUMABLE:
        return {"step": "release", "sequence": sequence, "generation": tail[1], "used_s": tail[3]}
    return {"step": "speak", "sequence": sequence}


def refused(traces: list[list[Step]]) -> dict[int, int]:
    try:
        return refusals(traces)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_the_specification_allows_every_recorded_history(tmp_path: Path) -> None:
    Recorded.finished = []
    bounds = settings(max_examples=8, stateful_step_count=30, deadline=None, phases=[Phase.generate], database=None)
    run_state_machine_as_test(Recorded, settings=bounds)
    for at, steps in enumerate(Recorded.finished):
        write(steps, tmp_path / f"{at}.jsonl")
    found = refused(Recorded.finished)
    shown = {at: Recorded.finished[at][max(0, step - 20) : step + 1] for at, step in found.items()}
    assert not found, f"kept in {tmp_path}: {shown}"


def test_the_specification_allows_the_kept_traces() -> None:
    assert SAMPLES
    assert refused([read(file) for file in SAMPLES]) == {}


def test_a_trace_that_tells_more_or_something_twice_or_loses_something_is_refused() -> None:
    trace = read(SAMPLES[0])
    stores = [at for at, step in enumerate(trace) if step["step"] == "store" and step["events"]]
    more, twice, lost, out_of_nothing = (copy.deepcopy(trace) for _ in range(4))
    more[stores[-1]]["events"][-1][2] += 1
    twice[stores[-1]]["events"] *= 2
    lost[stores[-1]]["events"].pop()
    out_of_nothing.insert(0, {"step": "save", "life_ms": 1000})
    assert refused([more, twice, lost, out_of_nothing]) == dict(enumerate([stores[-1]] * 3 + [0]))
