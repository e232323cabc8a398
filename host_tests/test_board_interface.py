"""Every board has all names of the interface, pins that its chip has and may use, and a manifest that freezes all."""

from __future__ import annotations

import inspect
import re
import sys
import types
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tools.setup import boards, bundle

ROOT = Path(__file__).resolve().parents[1]
BOARDS = boards.names()
CHIPS = [name for name in BOARDS if name != "virtual"]
SIGNALS = set("suction_motor brush_motor motor_current motor_speed filter_button brush_button status_led".split())
# Of the gated clock; a chip without a pulse counter has no use for it.
METER_CLOCK = "meter_clock"
WITHOUT_PULSE_COUNTER = {"esp32c3"}
INTERFACE = {
    "device_id": "()",
    "level_input": "(signal, pull)",
    "analog_input": "(signal)",
    "output": "(signal)",
    "pixel": "(signal)",
    "pulse_counter": "(signal)",
    "pulse_timer": "(signal)",
    "gated_clock": "(signal, active)",
    "start_tick": "(period_ms, callback)",
    "watchdog": "(timeout_ms)",
    "reset": "()",
    "reset_cause": "()",
    "station": "()",
    "set_rtc": "(utc_s)",
    "backup": "(key)",
    "sealed": "()",
}


class Chip:
    """What Espressif's data sheets say of the GPIOs."""

    def __init__(self, usable: set[int], adc1: set[int], input_only: set[int], strapping: set[int]) -> None:
        self.usable, self.adc1, self.input_only, self.strapping = usable, adc1, input_only, strapping


DATA_SHEETS = {
    # Without 6-11 (flash), 1 and 3 (console), and what is not bonded.
    "esp32": Chip(
        {0, 2, 4, 5, *range(12, 20), 21, 22, 23, 25, 26, 27, *range(32, 40)},
        set(range(32, 40)),
        set(range(34, 40)),
        {0, 2, 5, 12, 15},
    ),
    # Without 19, 20 (USB), 26-37 (flash, PSRAM), 43, 44 (console).
    "esp32s3": Chip({*range(0, 19), 21, *range(38, 43), *range(45, 49)}, set(range(1, 11)), set(), {0, 3, 45, 46}),
    # Without 11-17 (flash), 18, 19 (USB), 20, 21 (console).
    "esp32c3": Chip(set(range(0, 11)), set(range(0, 5)), set(), {2, 8, 9}),
}
# A strapping pin that is an output after boot, with a load that leaves it alone at reset.
EXCEPTIONS = {("esp32_generic", "status_led"): 2}


def load(name: str) -> types.ModuleType:
    """The board's module, imported with stand-ins for the chip's modules that fail at any use but naming."""
    fakes: dict[str, Any] = {module: mock.Mock() for module in ("machine", "network", "esp32")}
    module = types.ModuleType("board")
    with mock.patch.dict(sys.modules, fakes):
        exec(compile(boards.source(name), f"board of {name}", "exec"), module.__dict__)
    for fake in fakes.values():
        assert not fake.mock_calls, "it works at import"
    return module


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_has_every_name_of_the_interface_with_its_signature(name: str) -> None:
    module = load(name)
    assert module.NAME == name
    for function, signature in INTERFACE.items():
        assert str(inspect.signature(getattr(module, function))) == signature, function
        assert inspect.getdoc(getattr(module, function)), f"{function} has no docstring"
    backup = module.backup("product")
    assert str(inspect.signature(backup.load_into)) == "(buffer)" and str(inspect.signature(backup.save)) == "(data)"
    # And nothing more, so that another family knows what it has to bring.
    public = {key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")}
    assert public == set(INTERFACE)


def test_the_table_for_a_new_family_names_the_interface_and_nothing_else() -> None:
    table = (ROOT / "boards" / "README.md").read_text().split("with these names and nothing else:")[1].split("\n## ")[0]
    names = set(re.findall(r"^\| `(\w+)\(", table, re.MULTILINE))
    assert names == set(INTERFACE)


@pytest.mark.parametrize("name", BOARDS)
def test_every_signal_has_a_pin_of_its_own(name: str) -> None:
    pins = load(name).PINS
    counts_in_hardware = boards.facts(name)["mcu"] not in WITHOUT_PULSE_COUNTER
    assert set(pins) == SIGNALS | ({METER_CLOCK} if counts_in_hardware else set())
    assert len(set(pins.values())) == len(pins)
    assert boards.pins(name) == pins


@pytest.mark.parametrize("name", CHIPS)
def test_the_pins_are_there_on_the_chip_and_free_for_what_they_do(name: str) -> None:
    chip = DATA_SHEETS[boards.facts(name)["mcu"]]
    for signal, gpio in load(name).PINS.items():
        assert gpio in chip.usable, f"{signal}: GPIO {gpio}"
        if gpio in chip.strapping:
            assert EXCEPTIONS.get((name, signal)) == gpio, f"{signal}: GPIO {gpio} decides how the chip boots"
        if signal == "motor_current":
            assert gpio in chip.adc1, "ADC2 belongs to the Wi-Fi"
        else:
            assert gpio not in chip.input_only, f"{signal}: GPIO {gpio} has neither pull nor output"


@pytest.mark.parametrize("name", CHIPS)
def test_the_wiring_note_tells_the_pins_of_the_pin_list(name: str) -> None:
    note = (ROOT / "boards" / name / "README.md").read_text()
    for signal, gpio in boards.pins(name).items():
        assert f"| {signal} | {gpio} |" in note, signal


@pytest.mark.parametrize("name", CHIPS)
def test_flash_offsets_are_those_of_micropythons_partitions(name: str) -> None:
    """ports/esp32: nvs 0x9000 0x6000, vfs from 0x200000 to the end of the flash."""
    found = boards.facts(name)
    assert (found["nvs_offset"], found["nvs_bytes"], found["vfs_offset"]) == ("0x9000", "0x6000", "0x200000")
    assert int(found["vfs_bytes"], 0) in (0x200000, 0x600000)


@pytest.mark.parametrize("name", CHIPS)
def test_the_manifest_freezes_the_firmware_its_boot_path_and_the_board(name: str, firmware: Path) -> None:
    frozen: set[str] = set()

    def run(path: Path) -> None:
        def include(other: str) -> None:
            run((path.parent / other / "manifest.py").resolve())

        def module(file: str, base_path: str = ".", opt: int = 0) -> None:
            folder = (path.parent / base_path).resolve()
            assert (folder / file).exists(), file
            frozen.add(file)

        def freeze(base_path: str, file: str) -> None:
            if "$(PORT_DIR)" not in base_path:
                assert (path.parent / base_path / file).exists(), file
            frozen.add(file)

        names = {"include": include, "module": module, "freeze": freeze, "require": frozen.add}
        exec(path.read_text(), names)

    run(ROOT / "boards" / name / "manifest.py")
    assert {f"{name}.py" for name in bundle.ROOTS} <= frozen
    assert {"_boot.py", "main.py", "board.py", "umqtt.simple", "flashbdev.py"} <= frozen
    assert "inisetup.py" not in frozen  # the port's own, which stops for ever
