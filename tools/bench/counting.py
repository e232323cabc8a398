"""What counting costs and how exact it is: flash wear beside other ways of saving, loss at a cut, a year's sum."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Protocol

from tools.setup import firmware, micropython
from tools.torture import power

HERE = Path(__file__).parent / "on_device"
SAVES = 20_000
# 30 minutes a day; a save each 0.7 s of running.
YEAR_SAVES = 365 * 30 * 60 * 10 // 7
CYCLES = 100_000
FREE_BLOCKS = 512 - 30  # as in on_device/saves.py
CUTS = 2_000
# ESP-IDF's NVS: pages of 126 entries of 32 bytes; a blob takes its data, a head for each chunk, and an index entry.
NVS_PAGE_ENTRIES, NVS_ENTRY_BYTES = 126, 32
LEDGER_BYTES = 51


class Report(Protocol):
    def figure(self, name: str, value: float, unit: str, what: str) -> None: ...


def _run(program: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as plan:
        json.dump(wanted, plan)
        plan.flush()
        command = [micropython.find(), "-X", "heapsize=64M", str(HERE / program), plan.name]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program}: {(done.stdout + done.stderr)[-800:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def run(report: Report) -> None:
    """Measure everything; some minutes, most of them the year of saves."""
    flash(report)
    loss(report)
    exactness(report)


def flash(report: Report, saves: int = SAVES, year: int = YEAR_SAVES) -> None:
    """Erases and bytes a save, and a year of it."""
    paths = [str(firmware.OUT)]
    names = {
        "ours": ("ours", "the ledger of two consumables, two copies in turn, read back"),
        "ours, one replacement can be undone": ("ours_undo", "the same in the ten minutes after a replacement"),
        "ours, eight consumables": ("ours_eight", "the ledger of eight consumables"),
        "json": ("json", "a JSON file rewritten"),
        "rename": ("rename", "a JSON file written aside and renamed"),
        "journal": ("journal", "32 bytes appended to a file"),
    }
    for told in _run("saves.py", {"path": paths, "saves": saves, "year": year}):
        if told["way"] == "year":
            report.figure("counting.year_saves", year, "", "saves in a virtual year, 30 minutes a day")
            what = "hottest block after it: an eighth of the saves on an eighth of the free blocks of 2 MiB"
            report.figure("counting.year_hottest_block", told["hottest"], "erases", what)
            what = f"until {CYCLES} cycles, were that block always the hottest (littlefs moves on after 100)"
            report.figure("counting.years_at_least", CYCLES // told["hottest"], "years", what)
            mean = year * told["erases"] / FREE_BLOCKS
            report.figure("counting.years_evenly_worn", round(CYCLES / mean), "years", "by the mean of the free blocks")
            report.figure("counting.year_erases_a_save", round(told["erases"], 4), "", "with the reports of the year")
            continue
        name, what = names[told["way"]]
        report.figure(f"counting.erases_a_save.{name}", round(told["erases"], 4), "", what)
        report.figure(f"counting.bytes_a_save.{name}", round(told["bytes"]), "bytes", what)
    entries = 1 + -(-LEDGER_BYTES // NVS_ENTRY_BYTES) + 1
    model = "NVS, by its page format (a model, not measured)"
    report.figure("counting.erases_a_save.nvs", round(entries / NVS_PAGE_ENTRIES, 4), "", model)
    report.figure("counting.bytes_a_save.nvs", entries * NVS_ENTRY_BYTES, "bytes", model)


def loss(report: Report, cuts: int = CUTS) -> None:
    """What a cut at a random moment of a clean costs, and what edges within flash writes do."""
    wanted = power.plan([], cuts=cuts, seed=1, firmware=str(firmware.OUT))
    wanted["path"] = [str(power.HERE), *wanted["path"]]
    lost, whole, heap = _run("loss.py", wanted)
    report.figure("counting.loss_max", lost["max_ms"], "ms", f"most lost at one of {lost['cuts']} cuts in a clean")
    report.figure("counting.loss_mean", round(lost["mean_ms"]), "ms", "mean of the same")
    short_ms = whole["ran_ms"] - whole["counted_ms"]
    what = f"short of {whole['ran_ms']} ms in {whole['cleans']} cleans without a cut: stops within a flash write"
    report.figure("counting.short_without_cuts", short_ms, "ms", what)
    report.figure("counting.heap_a_tick.rest", heap["rest"], "bytes", "that a tick allocates when nothing changed")
    report.figure("counting.heap_a_tick.running", heap["running"], "bytes", "while a motor runs, between two saves")
    report.figure("counting.heap_a_tick.save", heap["save"], "bytes", "with a save (64-bit objects; half on the ESP32)")


def exactness(report: Report, days: int = 365) -> None:
    """A year of the meter's and the ledger's arithmetic, edges at any millisecond, beside a float32 accumulator."""
    power_of = _modules()
    true_ms, counted_ms, floats = year(days, *power_of)
    report.figure("counting.year_true", true_ms, "ms", "running time of a virtual year without cuts")
    report.figure("counting.year_error", counted_ms - true_ms, "ms", "counted beside it")
    for name, seconds in floats.items():
        error = 100 * (seconds * 1000 - true_ms) / true_ms
        report.figure(f"counting.year_error.{name}", round(error, 3), "%", f"a float32 that accumulates {name}")


def _modules() -> tuple[Any, Any]:
    from tools.simulator.counts import _firmware

    return _firmware("meter"), _firmware("ledger")


def year(days: int, meter_module: Any, ledger_module: Any) -> tuple[int, int, dict[str, float]]:
    """Return (true ms, counted ms, {unit: seconds in a float32})."""
    draw = random.Random(1)
    wrap = 1 << 30
    half = wrap >> 1
    meter = meter_module.Meter(lambda later, earlier: ((later - earlier + half) % wrap) - half, True, 6 * 3600_000)
    book = ledger_module.Ledger(1)
    single = struct.Struct("<f")
    hours = minutes = 0.0
    true_ms = now_ms = 0
    for _ in range(days * 2):
        start_ms = now_ms + draw.randrange(1000, 40_000_000)
        stop_ms = start_ms + draw.randrange(10 * 60_000, 20 * 60_000)
        true_ms += stop_ms - start_ms
        book.add(0, meter.edge(True, start_ms % wrap))
        tick_ms = start_ms - start_ms % 100 + 100
        while tick_ms < stop_ms:
            book.add(0, meter.sample(True, tick_ms % wrap))
            if book.unsaved_ms >= 700:
                book.saved()
            tick_ms += 100
        book.add(0, meter.edge(False, stop_ms % wrap))
        for _ in range((stop_ms - start_ms) // 1000):  # the other updates once a second
            hours = single.unpack(single.pack(hours + 1 / 3600))[0]
            minutes = single.unpack(single.pack(minutes + 1 / 60))[0]
        now_ms = stop_ms
        meter.sample(False, now_ms % wrap)
    return true_ms, book.consumables[0].lifetime_ms, {"hours": hours * 3600, "minutes": minutes * 60}
