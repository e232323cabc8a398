"""The firmware replays recordings of a real vacuum: what it counts is what the recording holds."""

from pathlib import Path

import pytest

from tools.simulator import Scenario, Simulator
from tools.simulator.scenario import ROOT

RECORDINGS = ROOT / "host_tests" / "vectors" / "vacuum-current"
CLOSED_PORT = 1


@pytest.mark.parametrize(("file", "seconds"), [("recording-1.csv", 139), ("recording-2.csv", 186)])
def test_a_recorded_vacuum_is_counted_to_two_seconds(tmp_path: Path, file: str, seconds: int) -> None:
    text = f"""
product = "vacuum_current"
start = 2026-03-02T06:00:00Z
days = 1
[[recording]]
file = "{RECORDINGS / file}"
amps_full_scale = 20.0
at = "day 1 09:00"
"""
    result = Simulator(Scenario.parse(text), out_dir=tmp_path, broker_port=CLOSED_PORT).run()
    assert len(result.generations) == 2
    for part in result.generations:
        assert part.true_ms == seconds * 1000
        assert part.counted_ms is not None
        assert abs(part.counted_ms - seconds * 1000) <= 2000
