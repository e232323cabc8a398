"""Puts a firmware on a board so that at any moment the old or the new one is there to run, never half of each.

The firmware lives in a folder of its own, /fw_a or /fw_b; the file /slot names the one that main.py runs. A new one is
copied into the other folder, read back and compared, and then /slot is rewritten, which littlefs does atomically. The
first one fills both folders, so that there is always another firmware to fall back on. What the board counts, its
product and its config lie outside and stay. A deploy clears the record of crashes: safe mode ends with it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.deploy import prompt
from tools.deploy.device import Device, DeviceError
from tools.setup import boards, firmware, umqtt

ROOT = Path(__file__).resolve().parents[2]
SLOTS = ("fw_a", "fw_b")
OLDEST = (1, 25)
MPY_VERSION = 6
BOOT_S = 30.0


@dataclass(frozen=True)
class Deployed:
    """What was done: files copied over the cable, cloned on the board, and the line with which the firmware began."""

    slot: str
    copied: int
    cloned: int
    bytes_copied: int
    line: str


def image(board: str) -> dict[str, bytes]:
    """The files of a slot for a board: path below the slot -> content. Raises DeviceError."""
    try:
        boards.facts(board)
        umqtt.fetch()
        firmware.build()
        return firmware.slot_files(board)
    except (boards.BoardError, firmware.BuildError, umqtt.UmqttError) as error:
        raise DeviceError(str(error)) from None


def check(board: str, about: list[Any]) -> None:
    """Refuses a board that could not run the firmware. Raises DeviceError."""
    name, version, mpy, platform, machine = about
    shown = ".".join(str(part) for part in version)
    if name != "micropython" or tuple(version[:2]) < OLDEST:
        raise DeviceError(f"{name} {shown} is on the board; MicroPython {OLDEST[0]}.{OLDEST[1]} or newer is needed")
    if mpy != MPY_VERSION:
        raise DeviceError(f"its MicroPython {shown} loads .mpy version {mpy}; mpy-cross here writes {MPY_VERSION}")
    wanted = boards.facts(board)
    is_esp = platform == "esp32"
    if is_esp != (wanted["mcu"] != "virtual") or (is_esp and wanted["machine"] != machine.rsplit(" ", 1)[-1]):
        raise DeviceError(f"BOARD={board} is made for {wanted['machine']}; this is {machine or platform}")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def deploy(device: Device, board: str, tell: Callable[[str], None]) -> Deployed:
    """Brings the board to the firmware of this checkout, starts it, and waits until it says that it counts.

    Where it does not, the old firmware is chosen again. Raises DeviceError.
    """
    files = image(board)
    about = device.ask(prompt.ABOUT)
    check(board, about)
    tell(f"MicroPython {'.'.join(str(part) for part in about[1])} on {about[4] or about[3]}")
    wanted = {name: digest(data) for name, data in files.items()}
    main_text = (ROOT / "firmware" / "main.py").read_bytes()
    slot, main, *held = device.ask(prompt.HASHES)
    slots = dict(zip(SLOTS, held, strict=True))
    new_main = main != digest(main_text)
    if slot in slots and slots[slot] == wanted and not new_main:
        tell(f"/{slot} is up to date")
        return Deployed(slot, 0, 0, 0, start(device))
    target, other = ("fw_b", "fw_a") if slot == "fw_a" else ("fw_a", "fw_b")
    missing = [name for name in wanted if slots[target].get(name) != wanted[name]]
    clone = [name for name in missing if slots[other].get(name) == wanted[name]]
    copy = [name for name in missing if name not in clone]
    _prepare(device, slots[target], wanted, other, target, clone, copy)
    size = sum(len(files[name]) for name in copy)
    tell(f"/{target}: {len(wanted)} files, {len(copy)} to copy ({size:,} bytes), {len(clone)} taken from /{other}")
    send = {f"/{target}/{name}": files[name] for name in copy}
    if new_main:
        send["/main.new"] = main_text
    _copy(device, send)
    written = [target]
    if "sums" not in slots[other]:
        _prepare(device, slots[other], wanted, target, other, list(wanted), [])
        written.append(other)
    checked = dict(zip(SLOTS, device.ask(prompt.HASHES)[2:], strict=True))
    for name in written:
        if checked[name] != wanted:
            wrong = sorted(path for path in {*wanted, *checked[name]} if checked[name].get(path) != wanted.get(path))
            raise DeviceError(f"/{name} does not read back as written: {', '.join(wrong)}; the old firmware stays")
    tell(f"/{' and /'.join(written)} read back and compared")
    device.ask(prompt.SWITCH, slot=target, main=new_main)
    try:
        line = start(device)
    except DeviceError as error:
        if slot:
            device.ask(prompt.SWITCH, slot=slot, main=False)
            start(device)
            raise DeviceError(f"{error}; /{slot}, the firmware before, runs again") from None
        raise
    return Deployed(target, len(copy), len(clone), size, line)


def _prepare(
    device: Device,
    held: dict[str, str],
    wanted: dict[str, str],
    source: str,
    target: str,
    clone: list[str],
    copy: list[str],
) -> None:
    """On the board: removes from `target` what is not wanted, and takes files from the slot `source`."""
    device.ask(
        prompt.PREPARE,
        remove=[f"/{target}/{name}" for name in held if name not in wanted],
        clone=[(f"/{source}/{name}", f"/{target}/{name}") for name in clone],
        copy=[f"/{target}/{name}" for name in copy],
    )


def _copy(device: Device, files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sources = {}
        for number, (target, data) in enumerate(files.items()):
            sources[target] = Path(folder) / str(number)
            sources[target].write_bytes(data)
        device.copy(sources)


def start(device: Device) -> str:
    """Resets the board and waits until its firmware says that it counts. Raises DeviceError."""
    words = []
    for line in device.restarted(BOOT_S):
        at = line.find("wm ")
        words.append(line)
        if at >= 0 and line[at:].startswith("wm boot "):
            return line[at:]
        if at >= 0 and line[at:].startswith("wm stopped "):
            raise DeviceError(f"the firmware does not count: {line[at + 11 :]}")
    said = next((word for word in reversed(words) if word.strip()), "nothing")
    raise DeviceError(f"the firmware did not say within {BOOT_S:.0f} s that it counts; its last line: {said}")
