"""Puts a firmware on a board so that at any moment the old or the new one is there to run, never half of each.

The firmware lives in a folder of its own, /fw_a or /fw_b; the file /slot names the one that main.py runs. A new one is
copied into the other folder, read back and compared, and then /slot is rewritten, which littlefs does atomically. What
the board counts, and its config.json and product.json, lie outside and stay.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.deploy.device import Device, DeviceError
from tools.setup import firmware, umqtt

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ROOT / "boards"
OLDEST = (1, 25)
MPY_VERSION = 6
BOOT_S = 30.0

ABOUT = """
import json, sys
i = sys.implementation
mpy = getattr(i, "_mpy", 0)
print(json.dumps([i.name, list(i.version[:3]), mpy & 255, sys.platform, getattr(i, "_machine", "")]))
"""

# Files are read in small pieces: the heap at the prompt is what the firmware has left.
HASHES = """
import binascii, hashlib, json, os
def digest(path):
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            piece = file.read(512)
            if not piece:
                return binascii.hexlify(found.digest()).decode()
            found.update(piece)
def walk(folder, below, out):
    try:
        names = os.listdir(folder + below)
    except OSError:
        return out
    for name in names:
        path = below + "/" + name
        if os.stat(folder + path)[0] & 0x4000:
            walk(folder, path, out)
        else:
            out[path[1:]] = digest(folder + path)
    return out
try:
    with open("/slot") as file:
        slot = file.read().strip()
except (OSError, ValueError):
    slot = ""
try:
    main = digest("/main.py")
except OSError:
    main = ""
print(json.dumps([slot, main, walk("/fw_a", "", {}), walk("/fw_b", "", {})]))
"""

PREPARE = """
import json, os
def folders(path):
    made = ""
    for part in path.split("/")[1:-1]:
        made += "/" + part
        try:
            os.mkdir(made)
        except OSError:
            pass
for path in remove:
    os.remove(path)
for source, target in clone:
    folders(target)
    with open(source, "rb") as old:
        with open(target, "wb") as new:
            while True:
                piece = old.read(512)
                if not piece:
                    break
                new.write(piece)
for path in copy:
    folders(path)
print(json.dumps(True))
"""

SWITCH = """
import json, os
if main:
    os.rename("/main.new", "/main.py")
with open("/slot", "w") as file:
    file.write(slot)
print(json.dumps(True))
"""


@dataclass(frozen=True)
class Deployed:
    """What was done: files copied over the cable, cloned on the board, and the line with which the firmware began."""

    slot: str
    copied: int
    cloned: int
    bytes_copied: int
    line: str


def boards() -> list[str]:
    return sorted(path.parent.name for path in BOARDS.glob("*/board.py"))


def image(board: str, folder: Path) -> dict[str, Path]:
    """The files of a slot for a board, path below the slot -> compiled file. Raises DeviceError."""
    if board not in boards():
        raise DeviceError(f"BOARD={board}: there is no such board; there are {', '.join(boards())}")
    try:
        umqtt.fetch()
        firmware.build()
        files = {
            str(path.relative_to(firmware.OUT)): path
            for path in sorted(firmware.OUT.rglob("*.mpy"))
            if path.is_file()
        }
        for source in (BOARDS / board / "board.py", BOARDS / "esp32_common.py"):
            target = folder / source.with_suffix(".mpy").name
            firmware.compile_one(source, target, source.name)
            files[target.name] = target
    except (firmware.BuildError, umqtt.UmqttError) as error:
        raise DeviceError(f"build: {error}") from None
    return files


def check(board: str, about: list[Any]) -> None:
    """Refuses a board that could not run the firmware. Raises DeviceError."""
    name, version, mpy, platform, machine = about
    shown = ".".join(str(part) for part in version)
    if name != "micropython" or tuple(version[:2]) < OLDEST:
        raise DeviceError(f"{name} {shown} is on the board; MicroPython {OLDEST[0]}.{OLDEST[1]} or newer is needed")
    if mpy != MPY_VERSION:
        raise DeviceError(f"its MicroPython {shown} loads .mpy version {mpy}; mpy-cross here writes {MPY_VERSION}")
    wanted = json.loads((BOARDS / board / "board.json").read_text())
    is_esp = platform == "esp32"
    if is_esp != (wanted["mcu"] != "virtual") or (is_esp and wanted["machine"] != machine.rsplit(" ", 1)[-1]):
        raise DeviceError(f"BOARD={board} is made for {wanted['machine']}; this is {machine or platform}")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def deploy(device: Device, board: str, tell: Callable[[str], None]) -> Deployed:
    """Brings the board to the firmware of this checkout, starts it, and waits until it says that it counts.

    Where it does not, the old firmware is chosen again. Raises DeviceError.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = image(board, Path(folder))
        about = device.ask(ABOUT)
        check(board, about)
        tell(f"MicroPython {'.'.join(str(part) for part in about[1])} on {about[4] or about[3]}")
        wanted = {name: digest(path) for name, path in files.items()}
        slot, main, *held = device.ask(HASHES)
        slots = dict(zip(("fw_a", "fw_b"), held, strict=True))
        new_main = main != digest(ROOT / "firmware" / "main.py")
        if slot in slots and slots[slot] == wanted and not new_main:
            tell(f"/{slot} is up to date")
            return Deployed(slot, 0, 0, 0, start(device))
        target = "fw_b" if slot == "fw_a" else "fw_a"
        old = slots.get(slot, {})
        missing = [name for name in wanted if slots[target].get(name) != wanted[name]]
        clone = [name for name in missing if old.get(name) == wanted[name]]
        copy = [name for name in missing if name not in clone]
        device.ask(
            PREPARE,
            remove=[f"/{target}/{name}" for name in slots[target] if name not in wanted],
            clone=[(f"/{slot}/{name}", f"/{target}/{name}") for name in clone],
            copy=[f"/{target}/{name}" for name in copy],
        )
        size = sum(files[name].stat().st_size for name in copy)
        tell(f"/{target}: {len(wanted)} files, {len(copy)} to copy ({size:,} bytes), {len(clone)} taken from /{slot}")
        device.copy({f"/{target}/{name}": files[name] for name in copy})
        if new_main:
            device.copy({"/main.new": ROOT / "firmware" / "main.py"})
        checked = dict(zip(("fw_a", "fw_b"), device.ask(HASHES)[2:], strict=True))[target]
        if checked != wanted:
            wrong = sorted(name for name in {*wanted, *checked} if checked.get(name) != wanted.get(name))
            raise DeviceError(f"/{target} does not read back as written: {', '.join(wrong)}; the old firmware stays")
        tell(f"/{target} read back and compared")
        device.ask(SWITCH, slot=target, main=new_main)
        try:
            line = start(device)
        except DeviceError as error:
            if slot:
                device.ask(SWITCH, slot=slot, main=False)
                start(device)
                raise DeviceError(f"{error}; /{slot}, the firmware before, runs again") from None
            raise
        return Deployed(target, len(copy), len(clone), size, line)


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
