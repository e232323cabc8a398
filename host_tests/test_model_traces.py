"""What the firmware and the relay did in any history is a behaviour of the protocol's specification."""

from __future__ import annotations

import copy

import pytest

from tools.model.checker import HERE, Unavailable
from tools.model.trace import Step, read, refusals

SAMPLES = sorted((HERE / "traces").glob("*.jsonl"))


def refused(traces: list[list[Step]]) -> dict[int, int]:
    try:
        return refusals(traces)
    except Unavailable as error:
        pytest.skip(str(error))


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
