"""The mains driver on waveforms rebuilt from recordings of a real vacuum's current, harmonic by harmonic."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from tools.simulator.counts import pure

Mains = pure("inputs.mains").Mains
SampledInput = pure("inputs.sampled").SampledInput
Clockwork, ticks_diff = pure("device.testing").Clockwork, pure("device.testing").ticks_diff

COUNTS_PER_AMPERE = 120.0
ON_AMPERES = 0.5
ORDERS = {1: "Fundamental Frequency (50Hz)", 3: "Third", 5: "Fifth", 7: "Seventh", 9: "Ninth"}


class Recording:
    """An ADC that sees second by second what the recording says."""

    def __init__(self, rows: list[dict[str, str]], hz: int) -> None:
        columns = {order: next(name for name in rows[0] if name.startswith(start)) for order, start in ORDERS.items()}
        self.waves: list[list[float]] = []
        self.rms: list[float] = []
        for row in rows:
            rms = float(row["RMS Current"])
            parts = {order: float(row[column]) for order, column in columns.items()}
            power = math.sqrt(sum(part * part for part in parts.values()))
            scale = rms * math.sqrt(2) / power if power else 0.0
            if not power:
                parts, scale = {1: 1.0}, rms * math.sqrt(2)
            self.rms.append(rms)
            wave = [  # one tenth of a second: whole cycles
                scale * sum(a * math.sin(2 * math.pi * k * hz * at / 4000) for k, a in parts.items())
                for at in range(400)
            ]
            self.waves.append(wave)
        self.clockwork = Clockwork()

    def read_u16(self) -> int:
        ms = self.clockwork.passed_ms
        quarter = self.clockwork.ticks_us() // 250
        ampere = self.waves[ms // 1000][quarter % 400]
        raw = max(0, min(4095, int(2048 + COUNTS_PER_AMPERE * ampere + (quarter * 7919 % 7 - 3))))
        return raw << 4 | raw >> 8


@pytest.mark.parametrize("hz", [50, 60])
@pytest.mark.parametrize("name", ["recording-1.csv", "recording-2.csv"])
def test_each_run_of_a_recording_is_counted_and_nothing_else(root: Path, name: str, hz: int) -> None:
    with open(root / "host_tests" / "vectors" / "vacuum-current" / name) as file:
        adc = Recording(list(csv.DictReader(file)), hz)
    clockwork = adc.clockwork
    on = int(ON_AMPERES * COUNTS_PER_AMPERE)
    mains = Mains(adc.read_u16, on, on // 2, clockwork.ticks_us, ticks_diff, clockwork.sleep_us)
    source = SampledInput(mains.measure, on, on // 2, 6 * 3600000, clockwork.ticks_us, ticks_diff)
    counted = 0
    for due_ms in range(0, len(adc.waves) * 1000, 100):
        clockwork.go(due_ms - clockwork.passed_ms)
        counted += source.sample(clockwork.ticks_us())
    running = [rms > ON_AMPERES for rms in adc.rms]
    true_ms = 1000 * sum(running)
    runs = sum(1 for before, now in zip([False, *running], running, strict=False) if now and not before)
    assert runs >= 3
    # A second at the border of a run that is between the two thresholds may count, too.
    between = 1000 * sum(1 for rms in adc.rms if ON_AMPERES / 2 <= rms <= ON_AMPERES)
    assert true_ms - 300 * runs <= counted <= true_ms + between, (counted, true_ms, runs, between)
