"""`python -m tools.demo`, whole: what it writes, what it says, and that it leaves nothing running."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

SCENARIO = """
title = "Two days"
product = "vacuum"
start = 2026-03-02T06:00:00Z
days = 2
[[clean]]
at = "09:00"
duration = "4 min"
inputs = { suction = "all", brush = { from = "1 min", for = "2 min" } }
[[clean]]
at = "18:30"
duration = "3 min"
inputs = ["suction"]
[[plugged]]
at = "day 2 08:30"
for = "15 min"
[[press]]
button = "filter_button"
at = "day 2 08:32"
hold = "3.5 s"
bounces = 4
"""


def command(scenario: Path | str, out: Path) -> list[str]:
    return [sys.executable, "-m", "tools.demo", "--scenario", str(scenario), "--out", str(out)]


def units(out: Path) -> list[psutil.Process]:
    """Processes of the virtual board that run for this `out`."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(out) in " ".join(process.info["cmdline"] or []) and "boot.py" in " ".join(process.info["cmdline"]):
            found.append(process)
    return found


@pytest.fixture(scope="module")
def run(root: Path, firmware: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("demo")
    (folder / "two_days.toml").write_text(SCENARIO)
    out = folder / "out"
    result = subprocess.run(
        command(folder / "two_days.toml", out), cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    return result, out


def test_a_scenario_ends_with_the_promise_held(run: tuple[Any, Path]) -> None:
    result, _ = run
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert "the promise held" in result.stdout
    for name in ("Sensor.DustFilter 1st", "Sensor.DustFilter 2nd", "Sensor.Brush 1st"):
        assert name in result.stdout


def test_result_json_has_the_agreed_form(run: tuple[Any, Path]) -> None:
    _, out = run
    result = json.loads((out / "result.json").read_text())
    assert list(result) == [
        *("schema", "virtual_days", "power_cuts", "consumables", "flash", "wire", "heap_peak_bytes", "wall_s"),
    ]
    assert (result["schema"], result["virtual_days"], result["power_cuts"]) == (1, 2, 5)
    assert all(
        list(row) == ["instance", "generation", "true_ms", "counted_ms", "accepted_s"] for row in result["consumables"]
    )
    assert list(result["flash"]) == ["saves", "erases", "hottest_block_erases", "bytes_programmed"]
    assert list(result["wire"]) == ["messages", "payload_bytes_max"]
    assert result["flash"]["saves"] > 500
    assert result["wire"]["messages"] >= 3
    assert 0 < result["wire"]["payload_bytes_max"] <= 40
    assert result["heap_peak_bytes"] > 0


def test_the_figures_hold_the_promise_and_are_the_scenarios(run: tuple[Any, Path]) -> None:
    _, out = run
    result = json.loads((out / "result.json").read_text())
    rows = {(row["instance"], row["generation"]): row for row in result["consumables"]}
    assert rows.keys() == {("Sensor.DustFilter", 1), ("Sensor.DustFilter", 2), ("Sensor.Brush", 1)}
    assert rows["Sensor.DustFilter", 1]["true_ms"] == 7 * 60_000
    assert rows["Sensor.DustFilter", 2]["true_ms"] == 7 * 60_000
    assert rows["Sensor.Brush", 1]["true_ms"] == 4 * 60_000
    for row in result["consumables"]:
        assert row["true_ms"] - 1000 * result["power_cuts"] <= row["counted_ms"] <= row["true_ms"]
        assert row["accepted_s"] == row["counted_ms"] // 1000


def test_the_gateway_got_both_kinds_of_event_and_refused_none(run: tuple[Any, Path]) -> None:
    _, out = run
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    names = {event["event"]["header"]["name"] for event in events}
    assert {"InventoryConsumed", "InventoryReplaced"} <= names
    replaced = [event for event in events if event["event"]["header"]["name"] == "InventoryReplaced"]
    assert [event["event"]["header"]["instance"] for event in replaced] == ["Sensor.DustFilter"]
    assert (out / "rejected.jsonl").read_text() == ""


def test_the_picture_tells_of_the_run(run: tuple[Any, Path]) -> None:
    _, out = run
    page = (out / "timeline.html").read_text()
    assert "The promise held." in page
    assert "new dust filter fitted: button held 3 s" in page
    assert len(re.findall(r'class="cut"', page)) >= 5


def test_the_same_seed_gives_the_same_truth(run: tuple[Any, Path], root: Path, tmp_path: Path) -> None:
    _, out = run
    again = tmp_path / "again"
    subprocess.run(command(out.parent / "two_days.toml", again), cwd=root, capture_output=True, timeout=120, check=True)
    first, second = (json.loads((folder / "result.json").read_text()) for folder in (out, again))
    assert [row["true_ms"] for row in first["consumables"]] == [row["true_ms"] for row in second["consumables"]]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (SCENARIO.replace("days = 2", "days = 2\ndaze = 3"), "daze"),
        (SCENARIO.replace("days = 2", "days = -2"), "days"),
        (SCENARIO.replace('product = "vacuum"', 'product = "toaster"'), "product"),
        ("days = [", "TOML"),
    ],
)
def test_a_scenario_that_cannot_be_gets_one_line_and_status_2(root: Path, tmp_path: Path, text: str, key: str) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(text)
    result = subprocess.run(
        command(bad, tmp_path / "out"), cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert "bad.toml" in result.stderr
    assert key in result.stderr


def test_a_scenario_file_that_is_not_there_gets_one_line_and_status_2(root: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        command(tmp_path / "none.toml", tmp_path / "out"),
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("whole_group", [True, False])
def test_ctrl_c_leaves_no_process_behind(
    root: Path, firmware: Path, tmp_path: Path, number: int, whole_group: bool
) -> None:
    """A terminal signals the whole group, `kill` the one process."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        command("week", out),
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 30
        while not units(out):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        if whole_group:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        stdout, stderr = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert stdout.endswith("stopped\n")
    assert stderr == ""
    assert units(out) == []
    # A zombie has ended, and only waits for init to take note of it.
    group = [other for other in psutil.process_iter(["status"]) if os_group(other.pid) == process.pid]
    assert not [other for other in group if other.info["status"] != psutil.STATUS_ZOMBIE]


def os_group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1
