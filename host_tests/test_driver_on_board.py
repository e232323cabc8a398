"""Each driver counts on the virtual board, with the electricity at its pin modelled; only those named are imported."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from host_tests.unit_for_tests import FILTER_BUTTON, PRODUCT, SUCTION, Unit
from tools.provision.pack import FileError

CURRENT, SPEED, LED = 34, 21, 2
MODULES = """
import builtins
printed = builtins.print
def noting(*values):
    printed(*values)
    if str(values[0]).startswith("wm link"):
        printed("modules", sorted([name for name in sys.modules if name.startswith("wm_")]))
builtins.print = noting
"""


def product(driver: str, **more: Any) -> dict[str, Any]:
    """One input, both consumables on it."""
    data: dict[str, Any] = json.loads(PRODUCT.read_text())
    signal = {"tachometer": "motor_speed", "level": "suction_motor"}.get(driver, "motor_current")
    data["inputs"] = [{"name": "motor", "driver": driver, "signal": signal, **more}]
    for part in data["consumables"]:
        part["input"] = "motor"
    return data


def lifetime_ms(unit: Unit) -> int:
    return unit.counted()[0].lifetime_ms


@pytest.mark.parametrize("hertz", [50, 60])
def test_the_mains_waveform_of_a_motor(tmp_path: Path, hertz: int) -> None:
    unit = Unit(tmp_path, product=product("mains", on_rms=60, off_rms=30))
    events = [[0, "mains", CURRENT, 0, hertz], [5_000, "mains", CURRENT, 500, hertz]]
    events += [[12_000, "mains", CURRENT, 45, hertz], [13_000, "mains", CURRENT, 300, hertz]]  # it sags, and goes on
    events += [[15_000, "mains", CURRENT, 0, hertz]]
    run = unit.power(20_000, events)[0]
    assert run.end["reason"] == "cut", run.text
    assert 9_500 <= lifetime_ms(unit) <= 10_000, run.text


def test_turbo_wears_more_where_the_product_says_so(tmp_path: Path) -> None:
    wear = [{"from": 0, "permille": 1000}, {"from": 400, "permille": 1300}]
    unit = Unit(tmp_path, product=product("mains", on_rms=60, off_rms=30, wear=wear))
    events = [[0, "mains", CURRENT, 0, 50], [5_000, "mains", CURRENT, 500, 50], [15_000, "mains", CURRENT, 0, 50]]
    unit.power(20_000, events)
    assert 12_500 <= lifetime_ms(unit) <= 13_000


def test_a_rectified_current_that_ripples(tmp_path: Path) -> None:
    dice = random.Random(3)
    events: list[list[Any]] = [[0, "adc", CURRENT, 200]]
    events += [[at, "adc", CURRENT, dice.randrange(1800, 5000)] for at in range(5_037, 15_000, 37)]
    events += [[5_000, "adc", CURRENT, 5000], [15_000, "adc", CURRENT, 150]]
    unit = Unit(tmp_path, product=product("current", on_raw=3277, off_raw=1638))
    unit.power(18_000, events)
    # The ripple is below the threshold at the first two looks: 269 ms until it is found on, 31 ms at the end.
    assert 9_680 <= lifetime_ms(unit) <= 10_000


@pytest.mark.parametrize("pcnt", [True, False], ids=["pulse counter", "timed pulses"])
@pytest.mark.parametrize("hertz", [100, 600, 10_000])
def test_a_tachometer_by_the_chips_counter_or_by_a_period_timed_in_each_tick(
    tmp_path: Path, hertz: int, pcnt: bool
) -> None:
    """Forty runs that begin and end anywhere between two looks: each comes out at most 0.2 s short, and none long."""
    dice = random.Random(hertz)
    unit = Unit(tmp_path, product=product("tachometer", on_hz=25, off_hz=22))
    events: list[list[Any]] = []
    at_ms, true_ms, runs = 5_000, 0, 40
    for _ in range(runs):
        at_ms += dice.randrange(300, 1_000)
        lasts_ms = dice.randrange(300, 1_000)
        events.append([at_ms, "storm", SPEED, hertz, lasts_ms])
        at_ms += lasts_ms
        true_ms += lasts_ms
    events.append([at_ms + 1_000, "storm", SPEED, 20, 2_000])  # a hand turns it
    run = unit.power(at_ms + 5_000, events, pcnt=pcnt)[0]
    assert run.end["dropped_callbacks"] == 0
    assert true_ms - 200 * runs <= lifetime_ms(unit) <= true_ms, run.text


def test_a_level_input_whose_contact_bounces(tmp_path: Path) -> None:
    events: list[list[Any]] = []
    for start, level in ((5_000, 1), (15_000, 0)):
        events += [[start + ms, "pin", SUCTION, level ^ (n & 1)] for n, ms in enumerate((0, 2, 3, 7, 8))]
    unit = Unit(tmp_path)
    unit.power(18_000, events)
    assert 9_990 <= lifetime_ms(unit) <= 10_000


def test_a_button_that_bounces_is_one_press(tmp_path: Path) -> None:
    events: list[list[Any]] = []
    for start, level in ((5_000, 0), (8_600, 1)):
        events += [[start + ms, "pin", FILTER_BUTTON, level ^ (n & 1)] for n, ms in enumerate((0, 1, 4, 6, 11, 12, 19))]
    unit = Unit(tmp_path)
    run = unit.power(12_000, events)[0]
    assert run.text.count("wm replaced") == 1 and unit.counted()[0].generation == 2


def test_a_neopixel_shows_the_patterns_of_the_led(tmp_path: Path) -> None:
    data = json.loads(PRODUCT.read_text())
    data["led"] = {"signal": "status_led", "color": {"red": 1, "green": 40, "blue": 2}}
    unit = Unit(tmp_path, product=data)
    press = [[5_000, "pin", FILTER_BUTTON, 0], [9_000, "pin", FILTER_BUTTON, 1]]
    run = unit.power(12_000, press, trace_outputs=True)[0]
    shown = [line for line in run.lines if line.startswith("pixel gpio")]
    assert f"pixel gpio={LED} data=280102" in shown and shown[-1] == f"pixel gpio={LED} data=000000"


@pytest.mark.parametrize(
    ("driver", "options", "wanted"),
    [
        ("level", {"active": 1}, False),
        ("current", {"on_raw": 9, "off_raw": 5}, True),
        ("mains", {"on_rms": 9, "off_rms": 5}, True),
        ("tachometer", {"on_hz": 9, "off_hz": 5}, True),
    ],
)
def test_the_bundle_of_the_drivers_is_imported_only_where_the_product_names_one(
    tmp_path: Path, firmware: Path, driver: str, options: dict[str, int], wanted: bool
) -> None:
    main = MODULES + (firmware / "main.py").read_text()
    unit = Unit(tmp_path, {"main.py": main.encode()}, product=product(driver, **options))
    run = unit.power(10_000)[0]
    line = next(line for line in run.lines if line.startswith("modules"))
    assert "wm_network" in line
    assert ("wm_extras" in line) is wanted


def test_a_product_that_the_board_cannot_bear_is_refused_by_the_packing(tmp_path: Path) -> None:
    """The device trusts a checksum: what is wrong with a product is found on the host."""
    with pytest.raises(FileError, match=r"inputs\[0\]: active is 2, allowed: a whole number from 0 to 1"):
        Unit(tmp_path, product=product("level", active=2))
