"""What counting costs in flash wear beside other ways of saving, and what a power cut costs on slow flash."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Protocol

from tools.setup import firmware, micropython
from tools.torture import power

HERE = Path(__file__).parent / "on_device"
NOR = Path(__file__).parents[1] / "torture" / "on_device"
SLOW_SAVES = 100_000
ERASES_MS = (45, 100, 150, 300)
CUTS, CUTS_SEED = 2_000, 1
LOSS_ERASES_MS = (45, 150)
SAVES = 20_000
# 30 minutes a day; a save each 0.7 s of running.
YEAR_SAVES = 365 * 30 * 60 * 10 // 7
CYCLES = 100_000
FREE_BLOCKS = 512 - 30  # as in on_device/saves.py
# ESP-IDF's NVS: pages of 126 entries of 32 bytes; a blob takes its data, a head for each chunk, and an index entry.
NVS_PAGE_ENTRIES, NVS_ENTRY_BYTES = 126, 32
COUNTS_BYTES = 33  # of two parts, with the frame


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
    """Measure everything; some minutes, most of them the saves on slow flash and those of a year."""
    flash(report)
    for erase_ms in LOSS_ERASES_MS:
        loss(report, erase_ms)
    for erase_ms in ERASES_MS:
        slow_flash(report, erase_ms)


def loss(report: Report, erase_ms: int, cuts: int = CUTS) -> None:
    """What a cut at a random moment of a clean costs."""
    paths = [str(NOR), str(firmware.ROOT / "firmware")]
    plan = {**power.plan([], erase_ms=erase_ms), "path": paths, "cuts": cuts, "seed": CUTS_SEED}
    (told,) = _run("loss.py", plan)
    what = f"lost at {told['cuts']} random cuts, {erase_ms} ms an erase"
    report.figure(f"counting.cut_loss_{erase_ms}_ms.max", told["max_ms"], "ms", f"at most {what}")
    report.figure(f"counting.cut_loss_{erase_ms}_ms.mean", round(told["mean_ms"]), "ms", f"on average {what}")


def slow_flash(report: Report, erase_ms: int, saves: int = SLOW_SAVES, clean_s: int = 1800) -> None:
    """What a cut at the worst moment costs, in cleans with the motor on all the while."""
    paths = [str(NOR), str(firmware.ROOT / "firmware")]
    plan = {"path": paths, "erase_ms": erase_ms, "saves": saves, "clean_s": clean_s}
    (told,) = _run("slow_flash.py", plan)
    name = f"counting.erase_{erase_ms}_ms"
    what = (
        f"at most lost at a cut, any moment of {told['saves']} saves in {told['cleans']} cleans, but the unit's first"
    )
    report.figure(f"{name}.worst_loss", told["worst_learnt_ms"], "ms", what)
    report.figure(f"{name}.first_clean", told["worst_first_ms"], "ms", "the same in a unit's first clean")
    report.figure(
        f"{name}.bound", told["bound_ms"], "ms", "what the unit itself says of it, but for one save in 10,000"
    )
    report.figure(f"{name}.two_erases", told["counts"].get("2", 0), "", "saves that erased two blocks")
    report.figure(f"{name}.most_erases", max(int(erases) for erases in told["counts"]), "", "in one save")
    report.figure(f"{name}.told_slow", told["told_slow"], "", "cleans that ended with the fault FLASH_SLOW")


def flash(report: Report, saves: int = SAVES, year: int = YEAR_SAVES) -> None:
    """Erases and bytes a save, and a year of it."""
    paths = [str(firmware.ROOT / "firmware")]
    names = {
        "ours": ("ours", "the counts of two parts, two copies in turn, read back"),
        "ours, one replacement can be undone": ("ours_undo", "the same in the ten minutes after a replacement"),
        "ours, eight consumables": ("ours_eight", "the counts of eight parts"),
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
    entries = 1 + -(-COUNTS_BYTES // NVS_ENTRY_BYTES) + 1
    model = "NVS, by its page format (a model, not measured)"
    report.figure("counting.erases_a_save.nvs", round(entries / NVS_PAGE_ENTRIES, 4), "", model)
    report.figure("counting.bytes_a_save.nvs", entries * NVS_ENTRY_BYTES, "bytes", model)
