"""The whole firmware lives through a week in 192 KB of heap, on a MicroPython whose objects are twice the ESP32's size.

An ESP32 has 165 KB free when main.py begins. The stand-ins of the virtual board live in the same heap; what they take
before main.py begins is measured on the spot and added. What they take later is not: it comes out of the firmware's.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tools.demo.broker import EmbeddedBroker
from tools.relay.service import Relay
from tools.relay.settings import Settings
from tools.simulator.scenario import Scenario
from tools.simulator.testing import Board
from tools.simulator.vacuum import Simulator

HEAP_KIB = 192
ALLOCATED = "import gc\ngc.collect()\nprint('allocated', gc.mem_alloc())\n"


def stand_ins_kib(folder: Path) -> int:
    run = Board(folder).power(ALLOCATED)
    return -(-int(run.text.split("allocated ")[1].split()[0]) // 1024)


@pytest.mark.slow
def test_a_week_in_192_kb(tmp_path: Path, firmware: Path) -> None:
    scenario = Scenario.load("week")
    heap_kib = HEAP_KIB + stand_ins_kib(tmp_path / "measure")
    scenario = dataclasses.replace(scenario, device=dataclasses.replace(scenario.device, heap_kib=heap_kib))
    with EmbeddedBroker() as broker:
        simulator = Simulator(scenario, seed=1, out_dir=tmp_path, broker_port=broker.port)
        store = f"sqlite:///{tmp_path}/relay.sqlite3"
        relay = Relay(Settings(broker=f"127.0.0.1:{broker.port}", store=store, deliver=False), simulator.virtual_utc_s)
        relay.start()
        try:
            result = simulator.run()
            relay.wait_idle(5)
            held = relay.holdings()
        finally:
            relay.stop()
    assert {boot.ended for boot in result.boots} == {"cut"}
    assert not [line for line in result.console if "MemoryError" in line.text or line.word in ("crash", "fault")]
    assert held.messages >= 6 and not held.aside
    for part in result.generations:
        assert part.counted_ms is not None
        assert part.true_ms - 1000 * len(result.boots) <= part.counted_ms <= part.true_ms
    print(f"heap peak of the firmware: {result.heap_peak:,} bytes on 64 bits")
