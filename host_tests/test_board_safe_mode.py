"""An error of the firmware is kept, told once, and never keeps the unit from counting for long."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from host_tests.unit_for_tests import FILTER_BUTTON, Unit, clean

CRASHED, SAFE_MODE, CONFIG_BAD = 0x0400, 0x0800, 0x0020

# A main.py that spoils one function of the firmware, then does what the real one does.
SPOILED = """
import board, time
from wearmeter import start, reporter, tick, app
real = {of}
def spoiled(*arguments):
    {how}
{of} = spoiled
start.main(board)
"""
STEP = "reporter.Reporter.step"
TICK = "tick.Tick.__call__"


def spoil(of: str, how: str) -> dict[str, bytes]:
    return {"main.py": SPOILED.format(of=of, how=how.replace("\n", "\n    ")).encode()}


def crash_record(unit: Unit) -> tuple[list[int], bool, str]:
    uptimes, told, text = json.loads(unit.read("state/crash") or b"null")
    return uptimes, told, text


GO_ON = "return real(*arguments)"
AT_TEN_SECONDS = "if time.ticks_ms() > 10000:\n    raise ValueError('broken thing')\n" + GO_ON


def test_an_error_in_the_loop_is_kept_with_its_traceback_and_starts_the_chip_anew(tmp_path: Path) -> None:
    unit = Unit(tmp_path, spoil(STEP, AT_TEN_SECONDS))
    runs = unit.power(60_000, boots=1)
    assert runs[0].end["reason"] == "hard"
    uptimes, told, text = crash_record(unit)
    assert len(uptimes) == 1 and 9 <= uptimes[0] <= 12 and not told
    assert "ValueError: broken thing" in text and "in spoiled" in text and len(text) <= 400


@pytest.mark.parametrize("of", [STEP, "app.Tick.__call__"])
def test_three_errors_in_ten_minutes_lead_to_safe_mode_which_goes_on_counting(tmp_path: Path, of: str) -> None:
    """In the loop, or in the tick until the fourth start."""
    how = AT_TEN_SECONDS
    if of != STEP:
        how = "if board.SAFE:\n    return real(*arguments)\n" + how
    main = spoil(of, how)["main.py"].decode()
    main = "import board\nfrom wearmeter import start\nboard.SAFE = start.Crashes().many\n" + main
    unit = Unit(tmp_path, {"main.py": main.encode()})
    events = [*clean(60_000, 160_000), [200_000, "pin", FILTER_BUTTON, 0], [206_000, "pin", FILTER_BUTTON, 1]]
    runs = unit.power(300_000, events)
    assert [run.end["reason"] for run in runs] == ["hard", "hard", "hard", "cut"]
    # Still counting, to the second that a power cut may cost; a button is not heard.
    assert 99_000 <= unit.counted()[0].lifetime_ms <= 100_000
    assert unit.counted()[0].generation == 1
    assert "wm replaced" not in runs[-1].text
    if of != STEP:  # where the loop itself is broken nobody can report
        assert any(entry[5] & SAFE_MODE for entry in unit.outbox())


def test_each_crash_is_told_once_with_its_detail(tmp_path: Path) -> None:
    how = "if not start.Crashes().text and time.ticks_ms() > 10000:\n    raise ValueError('once')\n" + GO_ON
    unit = Unit(tmp_path, spoil(STEP, how))
    assert [run.end["reason"] for run in unit.power(60_000)] == ["hard", "cut"]
    for _ in range(2):
        unit.power(60_000)
    told = [entry for entry in unit.outbox() if entry[5] & CRASHED]
    assert len(told) == 1
    assert "ValueError: once" in told[0][7][0] and len(told[0][7][0].encode()) <= 80
    assert crash_record(unit)[1] is True


def test_a_loop_that_hangs_is_ended_by_the_watchdog_and_told_as_such(tmp_path: Path) -> None:
    how = "if not start.Crashes().text and time.ticks_ms() > 10000:\n    time.sleep(10000)\n" + GO_ON
    unit = Unit(tmp_path, spoil(STEP, how))
    runs = unit.power(200_000, clean(20_000, 80_000))
    assert [run.end["reason"] for run in runs] == ["watchdog", "cut"]
    assert 90_000 <= runs[0].end["now_us"] // 1000 <= 102_000
    assert crash_record(unit)[2] == "watchdog"
    assert [entry[7] for entry in unit.outbox() if entry[5] & CRASHED] == [["watchdog"]]
    # The tick went on counting while the loop hung.
    assert 59_000 <= unit.counted()[0].lifetime_ms <= 60_000


def test_a_tick_that_fails_is_an_error_of_the_firmware_too(tmp_path: Path) -> None:
    unit = Unit(tmp_path, spoil("app.Tick.__call__", AT_TEN_SECONDS))
    assert unit.power(60_000, boots=1)[0].end["reason"] == "hard"
    assert "broken thing" in crash_record(unit)[2]


def test_ten_minutes_without_an_error_end_safe_mode_with_the_next_start(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    record = json.dumps([[5, 5, 5], True, "old"]).encode()
    unit.write("state/crash", record)
    run = unit.power(700_000)[0]
    assert crash_record(unit)[0] == []
    unit.power(10_000)
    assert [bool(entry[5] & SAFE_MODE) for entry in unit.outbox()] == [True], run.text
    unit.power(100_000, [[20_000, "pin", FILTER_BUTTON, 0], [26_000, "pin", FILTER_BUTTON, 1]])
    assert unit.counted()[0].generation == 2


def test_three_crashes_far_apart_are_no_safe_mode(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.write("state/crash", json.dumps([[5, 300, 301], True, "old"]).encode())
    unit.power(10_000)
    assert not any(entry[5] & SAFE_MODE for entry in unit.outbox())


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b"[1,2,3]", b'["a",true,5]', b"\xff\xfe", b'[["x"],true,""]'])
def test_a_damaged_crash_record_does_not_keep_the_unit_from_counting(tmp_path: Path, record: bytes) -> None:
    unit = Unit(tmp_path)
    unit.write("state/crash", record)
    runs = unit.power(60_000, clean(10_000, 50_000))
    assert [run.end["reason"] for run in runs] == ["cut"]
    assert 39_000 <= unit.counted()[0].lifetime_ms <= 40_000


def test_a_ctrl_c_leaves_the_prompt_with_the_tick_stopped_and_an_hour_until_the_watchdog(tmp_path: Path) -> None:
    how = "if time.ticks_ms() > 10000:\n    raise KeyboardInterrupt\nreturn real(*arguments)"
    for number, of in enumerate((STEP, "app.Tick.__call__")):
        unit = Unit(tmp_path / str(number), spoil(of, how))
        runs = unit.power(5_000_000, clean(20_000, 100_000), boots=1)
        assert "wm stopped by=keyboard" in runs[0].text and "main.py ended" in runs[0].text
        assert unit.counted()[0].lifetime_ms == 0
        assert unit.read("state/crash") is None
        # Left alone, it comes back: noise on the console must not stop a unit for good.
        assert runs[0].end["reason"] == "watchdog"
        assert 3_600_000 <= runs[0].end["now_us"] // 1000 <= 3_613_000


BAD_PRODUCTS = [b"", b"{", b"[]", b'{"schema": 1}', b"\xff\x00", b'{"schema": 1, "led": 5}']


@pytest.mark.parametrize("bad", BAD_PRODUCTS)
@pytest.mark.parametrize("name", ["product.json", "config.json"])
def test_a_bad_file_is_named_and_counting_goes_on_with_the_last_good_one(tmp_path: Path, name: str, bad: bytes) -> None:
    unit = Unit(tmp_path)
    unit.power(30_000, clean(10_000, 20_000))
    unit.write(name, bad)
    runs = unit.power(30_000, clean(10_000, 20_000))
    assert [run.end["reason"] for run in runs] == ["cut"]
    assert f"wm bad_file /{name}: " in runs[0].text
    assert 18_000 <= unit.counted()[0].lifetime_ms <= 20_000
    told = [entry for entry in unit.outbox() if entry[5] & CONFIG_BAD]
    assert len(told) == 1 and name in told[0][7][0]
    assert "state=lost" in runs[0].text or "reason=" in runs[0].text  # it tries to reach its broker as before


def test_without_any_config_it_counts_and_says_so(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.write("config.json", b"nonsense")
    run = unit.power(30_000, clean(10_000, 20_000))[0]
    assert "wm bad_file /config.json: not valid JSON" in run.text
    assert 9_000 <= unit.counted()[0].lifetime_ms <= 10_000


def test_without_any_product_it_leaves_the_prompt_to_the_maker(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.write("product.json", b"nonsense")
    run = unit.power(30_000)[0]
    assert "wm stopped by=/product.json: not valid JSON" in run.text and "main.py ended" in run.text


def test_files_that_are_gone_with_the_file_system_come_back_from_their_second_home(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.power(30_000, clean(10_000, 20_000))
    unit.write("product.json", b"")
    unit.write("config.json", b"")
    for name in ("ledger.a", "ledger.b"):
        unit.write("state/" + name, b"\xff" * 50)
    run = unit.power(30_000, clean(10_000, 20_000))[0]
    assert "wm boot" in run.text
    assert 9_000 <= unit.counted()[0].lifetime_ms


@pytest.mark.parametrize("text", [b"fw_a", b"", b"\xff\xff", b"fw_z\n"])
def test_a_slot_that_holds_nothing_usable_is_passed_over(tmp_path: Path, text: bytes) -> None:
    unit = Unit(tmp_path, {"slot": text, "fw_a/wearmeter/start.py": b"import nothing_that_exists\n"})
    run = unit.power(30_000, clean(10_000, 20_000))[0]
    assert "wm boot" in run.text
    assert 9_000 <= unit.counted()[0].lifetime_ms
