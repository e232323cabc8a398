"""An error of the firmware is kept, told once, and never keeps the unit from counting for long.

A firmware that crashes is the real one with a line more, built anew: see `spoiled`.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import cbor2
import pytest

from host_tests.unit_for_tests import FILTER_BUTTON, ROOT, Unit, clean
from tools.provision import pack
from tools.setup import firmware as firmware_build
from tools.simulator import counts, flash_image
from tools.simulator.counts import Shelf

CRASHED, SAFE_MODE, CONFIG_BAD, SLOT_BACK = 0x0400, 0x0800, 0x0020, 0x4000
SLOTS = ("fw_a", "fw_b")

# Where a firmware is spoiled: (source, a line of it that is there once). What is put in stands below the line.
STEP = ("device/device.py", "        tick, guard = self.tick, self.guard\n")
PANEL = ("panel/panel.py", "        self._light.tick(self._held)\n")
LINK = ("network/link.py", "    def step(self, now_ms):\n")
REPORT = ("state/state.py", "    def report_due(self, seconds):\n")

AT_TEN_SECONDS = "if {now_ms} > 10000:\n    raise ValueError('broken thing')"
IN_STEP = AT_TEN_SECONDS.format(now_ms="self._clockwork.ticks_ms()")
IN_PANEL = AT_TEN_SECONDS.format(now_ms="now_ms")
ONCE = "if not self.guard.text and self._clockwork.ticks_ms() > 10000:\n    raise ValueError('once')"
IN_REPORT = "if self.clock.uptime_s > 9:\n    raise ValueError('broken thing')"


def spoiled(folder: Path, where: tuple[str, str], what: str) -> dict[str, bytes]:
    """The files of a slot with a firmware that does `what` first at a place."""
    source, line = where
    shutil.copytree(ROOT / "firmware", folder / "firmware")
    path = folder / "firmware" / "wearmeter" / source
    text = path.read_text()
    assert text.count(line) == 1, f"{source} has changed"
    first, rest = line.split("\n", 1)
    indent = " " * (len(first) - len(first.lstrip())) + "    " * first.endswith(":")
    put_in = "".join(f"{indent}{more}\n" for more in what.split("\n"))
    path.write_text(text.replace(line, f"{first}\n{put_in}{rest}"))
    firmware_build.build(folder / "build", folder / "firmware")
    return firmware_build.slot_files("virtual", folder / "build")


def deployed(tmp_path: Path, slots: dict[str, dict[str, bytes]]) -> Unit:
    """A unit with these firmwares in its slots, the good one where none is given."""
    return Unit(
        tmp_path / "unit",
        {f"{slot}/{name}": content for slot, files in slots.items() for name, content in files.items()},
    )


def bad(tmp_path: Path, where: tuple[str, str], what: str) -> Unit:
    """A unit with the same spoiled firmware in both slots."""
    files = spoiled(tmp_path / "spoiled", where, what)
    return deployed(tmp_path, dict.fromkeys(SLOTS, files))


def press(at_ms: int) -> list[list[Any]]:
    """The filter's button, held for 4 s."""
    return [[at_ms, "pin", FILTER_BUTTON, 0], [at_ms + 4_000, "pin", FILTER_BUTTON, 1]]


def crash_record(unit: Unit) -> tuple[bool, bool, int, int, str]:
    """Told, safe mode, seconds of power since the newest crash, crashes, text: device/guard.py's record."""
    payload = Shelf(unit.read, ("state/a/crash", "state/b/crash")).payload
    assert payload, "there is no record of a crash"
    told, safe, calm_s, crashes = struct.unpack_from("<BBHB", payload)
    return bool(told), bool(safe), calm_s, crashes, payload[5:].decode()


def reasons(runs: list[Any]) -> list[str]:
    return [run.end["reason"] for run in runs]


def queued(unit: Unit, bit: int) -> list[Any]:
    return [entry for entry in unit.queue() if entry.faults & bit]


def test_an_error_in_the_loop_is_kept_with_its_traceback_and_starts_the_chip_anew(tmp_path: Path) -> None:
    unit = bad(tmp_path, STEP, IN_STEP)
    (run,) = unit.power(60_000, boots=1)
    assert run.end["reason"] == "hard"
    told, safe, calm_s, crashes, text = crash_record(unit)
    assert (told, safe, calm_s, crashes) == (False, False, 0, 1)
    assert "ValueError: broken thing" in text and len(text) <= 200
    assert "Traceback" in run.text and "wm crash room=loop crashes=1" in run.text


def test_a_firmware_that_crashes_three_times_gives_way_to_the_other_slot_which_says_so(tmp_path: Path) -> None:
    """Row 4: what worked is tried before safe mode is."""
    files = spoiled(tmp_path / "spoiled", STEP, IN_STEP)
    unit = deployed(tmp_path, {"fw_a": files})
    runs = unit.power(200_000, [*clean(60_000, 160_000), *press(165_000)])
    assert reasons(runs) == ["hard"] * 4 + ["cut"], "three crashes, and the start that gives the slot up"
    assert (unit.read("slot") or b"").split() == [b"fw_b", b"fw_a"]
    assert "wm slot=fw_b" in runs[-1].text and "safe=0" in runs[-1].text
    assert 99_000 <= unit.counted()[0].lifetime_ms <= 100_000
    assert unit.counted()[0].generation == 2
    assert queued(unit, SLOT_BACK) and not queued(unit, SAFE_MODE)
    assert reasons(unit.power(100_000)) == ["cut"], "the bad slot is not tried again"


@pytest.mark.parametrize(
    ("where", "what", "room"),
    [
        (PANEL, IN_PANEL, "panel"),
        (LINK, IN_PANEL, "link"),
        (REPORT, IN_REPORT, "report"),
        (STEP, IN_STEP, "loop"),
    ],
)
def test_where_both_slots_crash_safe_mode_leaves_out_what_crashed_and_the_rest_goes_on(
    tmp_path: Path, where: tuple[str, str], what: str, room: str
) -> None:
    """Rows 3 and 16: counting, button and messages go on, whatever room it is that fails at each step."""
    unit = bad(tmp_path, where, what)
    runs = unit.power(400_000, [*clean(150_000, 250_000), *press(300_000)])
    assert reasons(runs) == ["hard"] * 7 + ["cut"], "the fourth gives the slot up"
    assert "safe=1" in runs[-1].text and f"wm error room={room}" in runs[-1].text
    assert 99_000 <= unit.counted()[0].lifetime_ms <= 100_000
    assert unit.counted()[0].generation == (1 if room == "panel" else 2)
    assert queued(unit, SAFE_MODE) and queued(unit, CRASHED), "the relay hears of it"


def test_each_crash_is_told_once_with_its_detail(tmp_path: Path) -> None:
    unit = bad(tmp_path, STEP, ONCE)
    assert reasons(unit.power(60_000)) == ["hard", "cut"]
    for _ in range(2):
        unit.power(100_000)
    told = queued(unit, CRASHED)
    assert len(told) == 1
    detail = cbor2.loads(told[0].tail)
    assert "ValueError: once" in detail and len(detail.encode()) <= 80
    assert crash_record(unit)[0] is True


def test_a_loop_that_hangs_is_ended_by_the_watchdog_and_told_as_such(tmp_path: Path) -> None:
    hangs = "if not self.guard.text and self._clockwork.ticks_ms() > 10000:\n    self._clockwork.sleep_ms(10000000)"
    unit = bad(tmp_path, STEP, hangs)
    # No timer is stretched, as none is on a chip: in a loop that never rests its way back looks like lost callbacks.
    runs = unit.power(200_000, clean(20_000, 80_000), stretch=False)
    assert reasons(runs) == ["watchdog", "cut"]
    assert 99_500 <= runs[0].end["now_us"] // 1000 <= 101_500, "90 s after the last turn"
    assert "watchdog" in crash_record(unit)[4]
    assert ["watchdog" in cbor2.loads(entry.tail) for entry in queued(unit, CRASHED)] == [True]
    # The tick went on counting while the loop hung. A loop that never rests cannot say when an edge came: 0.1 s a stop.
    assert 59_900 <= unit.counted()[0].lifetime_ms <= 60_000


def test_a_room_of_the_tick_that_fails_is_an_error_of_the_firmware_too(tmp_path: Path) -> None:
    unit = bad(tmp_path, PANEL, IN_PANEL)
    assert reasons(unit.power(60_000, boots=1)) == ["hard"]
    assert "broken thing" in crash_record(unit)[4] and crash_record(unit)[4].startswith("panel: ")


def in_safe_mode(unit: Unit, calm_s: int = 0) -> None:
    """As after many crashes of a firmware that has been mended since."""
    record = pack.record(struct.pack("<BBHB", True, True, calm_s, 3) + b"old", 1)
    unit.write("state/a/crash", record)


def test_ten_minutes_of_power_in_sum_end_safe_mode_in_which_the_button_works(tmp_path: Path) -> None:
    """Row 3: no power-on of a corded vacuum lasts ten minutes."""
    unit = Unit(tmp_path)
    in_safe_mode(unit)
    for cycle in range(3):
        (run,) = unit.power(245_000, press(60_000) if cycle == 0 else [])
        assert "safe=1" in run.text
        if cycle == 0:
            assert unit.counted()[0].generation == 2
    assert crash_record(unit)[1:4] == (False, 0, 0)
    assert queued(unit, SAFE_MODE), "the relay was told"
    assert "safe=0" in unit.power(10_000)[0].text


def test_three_crashes_far_apart_are_no_safe_mode(tmp_path: Path) -> None:
    unit = bad(tmp_path, STEP, "if self._clockwork.ticks_ms() > 700000:\n    raise ValueError('rare')")
    assert reasons(unit.power(3_500_000)) == ["hard"] * 4 + ["cut"]
    assert (unit.read("slot") or b"").split()[0] == b"fw_a"
    assert not queued(unit, SAFE_MODE) and not crash_record(unit)[1]


@pytest.mark.parametrize(
    "record", [b"", b"{", b"\xff\xfe", b"W\x02" + bytes(20), pack.record(b""), pack.record(b"\xff" * 200)]
)
def test_a_damaged_crash_record_does_not_keep_the_unit_from_counting(tmp_path: Path, record: bytes) -> None:
    unit = Unit(tmp_path)
    unit.write("state/a/crash", record)
    assert reasons(unit.power(60_000, clean(10_000, 50_000))) == ["cut"]
    assert 39_000 <= unit.counted()[0].lifetime_ms <= 40_000


def test_after_a_ctrl_c_the_tick_goes_on_and_a_unit_left_alone_comes_back_after_ten_minutes(tmp_path: Path) -> None:
    """Row 7: noise on the console must not stop a unit for good."""
    unit = bad(tmp_path, STEP, "if self._clockwork.ticks_ms() > 10000:\n    raise KeyboardInterrupt")
    (run,) = unit.power(5_000_000, clean(20_000, 100_000), boots=1, stretch=False)
    assert "wm stopped by=keyboard, the tick goes on" in run.text and "main.py ended" in run.text
    assert 79_900 <= unit.counted()[0].lifetime_ms <= 80_000
    assert unit.read("state/a/crash") is None and unit.read("state/b/crash") is None
    assert run.end["reason"] == "watchdog"
    assert 609_500 <= run.end["now_us"] // 1000 <= 611_500


DAMAGED = [b"", b"{", b"\xff\x00", pack.record(b"")[:-1], pack.record(b"\x82\x02")[:-2] + b"\0\0"]


@pytest.mark.parametrize("damaged", DAMAGED)
@pytest.mark.parametrize("name", ["product", "config"])
def test_a_damaged_file_of_the_units_is_told_and_counting_goes_on_with_a_good_copy(
    tmp_path: Path, name: str, damaged: bytes
) -> None:
    """One file, or both: then with the backup copy."""
    for folders in (["a"], ["a", "b"]):
        unit = Unit(tmp_path / str(len(folders)))
        unit.power(30_000, clean(10_000, 20_000))
        for folder in folders:
            unit.write(f"unit/{folder}/{name}", damaged)
        (run,) = unit.power(30_000, clean(10_000, 20_000))
        assert run.end["reason"] == "cut"
        assert 18_000 <= unit.counted()[0].lifetime_ms <= 20_000
        told = queued(unit, CONFIG_BAD)
        assert [cbor2.loads(entry.tail) for entry in told] == [f"a copy of the {name} was damaged"], run.text
        assert "wm link" in run.text  # it tries to reach its broker as before


def test_without_any_config_it_counts_and_says_so(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    for folder in "ab":
        unit.write(f"unit/{folder}/config", b"nonsense")
    (run,) = unit.power(30_000, clean(10_000, 20_000))
    assert "wm config: no good copy" in run.text
    assert queued(unit, CONFIG_BAD)
    assert 9_000 <= unit.counted()[0].lifetime_ms <= 10_000


def test_without_any_product_it_leaves_the_prompt_to_the_maker(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    for folder in "ab":
        unit.write(f"unit/{folder}/product", b"nonsense")
    (run,) = unit.power(30_000)
    assert "wm stopped by=product: no good copy" in run.text and "main.py ended" in run.text


def test_files_that_are_gone_with_the_file_system_come_back_from_their_backup_copy(tmp_path: Path) -> None:
    unit = Unit(tmp_path)
    unit.power(30_000, [*clean(10_000, 20_000), *press(22_000)])  # a replacement writes the backup copy of the counts
    for name in ("unit/a/product", "unit/b/product", "unit/a/config", "unit/b/config"):
        flash_image.remove_file(unit.board.flash, name)
    for path in counts.COUNTS + counts.LEDGER:
        unit.write(path, b"\xff" * 50)
    (run,) = unit.power(30_000, clean(10_000, 20_000))
    assert "wm boot" in run.text and "wm link" in run.text
    assert 18_000 <= unit.counted()[0].lifetime_ms <= 20_000
    assert unit.counted()[0].generation == 2


@pytest.mark.parametrize("text", [b"fw_a", b"", b"\xff\xff", b"fw_z\n"])
def test_a_slot_that_holds_nothing_usable_is_passed_over(tmp_path: Path, text: bytes) -> None:
    unit = Unit(tmp_path, {"slot": text, "fw_a/wm_count.mpy": b"import nothing_that_exists\n"})
    run = unit.power(30_000, clean(15_000, 25_000))[-1]
    assert "wm boot" in run.text
    assert 9_000 <= unit.counted()[0].lifetime_ms
