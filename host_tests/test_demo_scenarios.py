"""The scenarios that come with the project, through the demo: the promise holds in each life."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from host_tests.test_demo_end_to_end import command


def life(name: str, root: Path, out: Path) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    scenario = root / "tools" / "simulator" / "scenarios" / f"{name}.toml"
    done = subprocess.run(command(scenario, out), cwd=root, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line)["event"] for line in (out / "events.jsonl").read_text().splitlines()]
    return done.stdout, json.loads((out / "result.json").read_text()), events


@pytest.mark.slow
def test_a_rough_life_tells_each_lasting_replacement_once_and_no_undone_one(
    root: Path, firmware: Path, tmp_path: Path
) -> None:
    _, result, events = life("rough", root, tmp_path)
    replaced = [event["header"]["instance"] for event in events if event["header"]["name"] == "InventoryReplaced"]
    # Day 1 and day 5 for the filter (that of day 2 is taken back a minute later), day 3 and day 5 for the brush.
    assert sorted(replaced) == ["Sensor.Brush"] * 2 + ["Sensor.DustFilter"] * 2
    assert {(part["instance"], part["generation"]) for part in result["consumables"]} == {
        (instance, generation) for instance in ("Sensor.DustFilter", "Sensor.Brush") for generation in (1, 2, 3)
    }
    assert (tmp_path / "rejected.jsonl").read_text() == ""


@pytest.mark.slow
def test_the_default_week_ends_within_a_minute_with_the_promise_held(
    root: Path, firmware: Path, tmp_path: Path
) -> None:
    _, result, events = life("week", root, tmp_path)
    assert (result["virtual_days"], result["power_cuts"]) == (7, 14)
    assert result["wire"]["payload_bytes_max"] <= 40
    assert result["wall_s"] < 60
    assert [event["header"]["name"] for event in events].count("InventoryReplaced") == 1


def test_eight_consumables_six_of_them_without_a_button_are_counted_and_told(
    root: Path, firmware: Path, tmp_path: Path
) -> None:
    product = json.loads((root / "firmware" / "products" / "vacuum.json").read_text())
    for number in range(3, 9):
        part = {**product["consumables"][number % 2], "id": number, "instance": f"Sensor.Part{number}"}
        del part["button"]
        product["consumables"].append(part)
    (tmp_path / "eight.json").write_text(json.dumps(product))
    (tmp_path / "eight.toml").write_text(
        'product = "eight.json"\nstart = 2026-03-02T06:00:00Z\ndays = 2\nseed = 9\n'
        '[household]\ncleans_a_day = 3\nduration = ["1 min", "3 min"]\ncut_probability = 0.6\n'
    )
    out = tmp_path / "out"
    done = subprocess.run(
        command(tmp_path / "eight.toml", out), cwd=root, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((out / "result.json").read_text())
    assert len(result["consumables"]) == 8
    assert all(part["counted_ms"] > 0 for part in result["consumables"])
