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
from wearmeter.exchange import cbor, wire
from wearmeter.state import events

TRACED = 1  # the id of the part whose use is traced; the other only takes sequence numbers
SAMPLES = sorted((HERE / "traces").glob("*.jsonl"))


class Recorded(Histories):
    """A history whose every step is noted, by the names of tools/model/README.md, as it is written to flash."""

    finished: list[list[Step]] = []

    def powered(self) -> None:
        super().powered()
        if hasattr(self, "steps"):
            self.steps.append({"step": "cut"})
        else:
            self.steps: list[Step] = []
            self.saved_ms, self.generation, self.queue = 0, 1, list[int]()
        self.heard: Step | None = None
        state, link = self.state, self.link
        save, save_counts, publish = state._save, state.save_counts, link.publish

        def saved(backup: bool) -> None:
            self.note_change()
            save(backup)

        def saved_counts(again: bool = False) -> bool:
            self.note_saved()
            return bool(save_counts(again))

        def published(branch: bytes, payload: bytes, retain: bool = False) -> bool:
            if branch == b"status":
                self.steps.append({"step": "hello"})
            elif branch == b"up":
                self.steps.append({"step": "send", "sequence": relay_wire.decode_up(payload).sequence})
            return bool(publish(branch, payload, retain))

        state._save, state.save_counts, link.publish = saved, saved_counts, published

    def watch(self) -> None:
        super().watch()
        state, apply = self.state, self.state.apply

        def heard(event: Any) -> bool:
            if event[0] == events.ACKNOWLEDGED:
                self.heard = {"step": "hear_ack", "sequence": event[2]}
            elif event[0] == events.WELCOMED:
                self.heard = {"step": "hear_welcome", "have": event[2]}
            done = bool(apply(event))
            if event[0] == events.WELCOMED and self.heard:  # nothing had to be saved
                self.steps.append(self.heard)
            self.heard = None
            return done

        state.apply = self.tick._apply = heard

    def note_saved(self) -> None:
        lifetime_ms = self.state.part(TRACED).lifetime_ms
        if lifetime_ms != self.saved_ms:
            self.steps.append({"step": "save", "life_ms": lifetime_ms})
            self.saved_ms = lifetime_ms

    def note_change(self) -> None:
        """Note what the write that comes now makes of the state before it."""
        self.note_saved()
        generation = self.state.part(TRACED).generation
        if generation != self.generation:
            self.steps.append({"step": "replace" if generation > self.generation else "undo"})
            self.generation = generation
        entries = self.house.entries()
        now = [entry.sequence for entry in entries]
        if self.heard:  # which tells what became of the queue
            self.steps.append(self.heard)
            self.heard = None
        else:
            self.steps += [queued(entry) for entry in entries if entry.sequence not in self.queue]
            self.steps += [{"step": "merge", "sequence": before} for before in self.queue if before not in now]
        self.queue = now

    def pass_ms(self, ms: int) -> None:
        if self.motors[0].ran_ms:
            self.steps.append({"step": "run", "ms": self.motors[0].ran_ms})
        super().pass_ms(ms)

    def to_relay(self, branch: bytes, payload: bytes) -> None:
        told = len(self.events())
        super().to_relay(branch, payload)
        if branch == b"up":
            sequence = relay_wire.decode_up(payload).sequence
            self.steps.append({"step": "store", "sequence": sequence, "events": self.events()[told:]})
        elif branch == b"status":
            welcome = wire.parse_down(self.down[-1])
            if welcome[wire.NONCE] == self.link.nonce:  # to an older connection nobody listens
                self.steps.append({"step": "welcome", "have": welcome[wire.SEQUENCE]})

    def events(self) -> list[list[Any]]:
        rows = [row for row in self.relay.rows(schema.queue) if row.consumable == TRACED]
        return [
            ["replaced", row.generation, 0] if row.usage_s is None else ["used", row.generation, row.usage_s]
            for row in rows
        ]

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "steps"):
            self.finished.append(self.steps)


def queued(entry: Any) -> Step:
    """Return the step that put an entry into the device's queue."""
    fields = cbor.decode(wire.up(entry))
    if entry.kind == wire.REPORT:
        at = fields[6][::4].index(TRACED) * 4
        return {
            "step": "report",
            "sequence": entry.sequence,
            "generation": fields[6][at + 2],
            "used_s": fields[6][at + 3],
        }
    if entry.kind == wire.REPLACEMENT and entry.part == TRACED:
        return {"step": "release", "sequence": entry.sequence, "generation": fields[7], "used_s": fields[9]}
    return {"step": "speak", "sequence": entry.sequence}


def refused(traces: list[list[Step]]) -> dict[int, int]:
    try:
        return refusals(traces)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_the_specification_allows_every_recorded_history(tmp_path: Path) -> None:
    Recorded.finished = []
    bounds = settings(max_examples=12, stateful_step_count=30, deadline=None, phases=[Phase.generate], database=None)
    run_state_machine_as_test(Recorded, settings=bounds)
    for at, steps in enumerate(Recorded.finished):
        write(steps, tmp_path / f"{at}.jsonl")
    assert any(step["step"] == "store" and step["events"] for steps in Recorded.finished for step in steps)
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
