"""A fleet as flash images: for each unit of a list a file system, an NVS partition and a label.

units.csv: a header, then one unit a line. Columns: `serial` (as on the label) and `device` (its id, as topics have it;
the serial where there is none) and, where they differ from unit to unit, `wifi_ssid`, `wifi_password`, `broker_user`,
`broker_password`. Everything else comes from the common config.

    OUT/<serial>/vfs.bin     goes to the board's vfs offset
    OUT/<serial>/nvs.bin     product and config once more, where a damaged file system cannot reach it
    OUT/<serial>/label.svg   QR code: serial, device, model; no secrets
    OUT/report.csv           serial, device, digests
    OUT/flash.sh             the esptool call for one unit: sh flash.sh <serial> <port>
"""

from __future__ import annotations

import csv
import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import segno

from tools.deploy import slots
from tools.provision import files, pack
from tools.provision.files import ProvisionError
from tools.setup import boards
from tools.simulator import flash_image
from tools.simulator.scenario import ROOT

COLUMNS = ("serial", "device", "wifi_ssid", "wifi_password", "broker_user", "broker_password")
ESPTOOL_CHIP = {"esp32": "esp32", "esp32s3": "esp32s3", "esp32c3": "esp32c3"}


def units(path: Path) -> list[dict[str, str]]:
    """The list's units. Raises ProvisionError naming file, line and column."""
    files._outside_the_repository(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            unknown = [name for name in reader.fieldnames or [] if name not in COLUMNS]
            if unknown or "serial" not in (reader.fieldnames or []):
                raise ProvisionError(
                    f"{path}: line 1: {unknown[0] + ' is unknown' if unknown else 'serial is missing'}, "
                    f"allowed: {', '.join(COLUMNS)}"
                )
            found = list(reader)
    except OSError as error:
        raise ProvisionError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ProvisionError(f"{path}: not a text file in UTF-8") from None
    seen: dict[str, int] = {}
    for line, unit in enumerate(found, 2):
        if None in unit or None in unit.values():
            raise ProvisionError(f"{path}: line {line}: has not as many columns as the first")
        unit["device"] = unit.get("device") or unit["serial"]
        for column in ("serial", "device"):
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", unit[column]):
                raise ProvisionError(
                    f"{path}: line {line}: {column} is {unit[column]!r}, allowed: 1 to 32 letters, digits, _ and -"
                )
            key = f"{column} {unit[column]}"
            if key in seen:
                raise ProvisionError(f"{path}: line {line}: {key} is that of line {seen[key]}, too")
            seen[key] = line
    if not found:
        raise ProvisionError(f"{path}: has no units")
    return found


def config_of(unit: dict[str, str], common: dict[str, Any]) -> dict[str, Any]:
    """The common config with what is this unit's own."""
    config = {"schema": pack.SCHEMA, **common, "serial": unit["serial"], "device": unit["device"]}
    for part, columns in (("wifi", ("ssid", "password")), ("broker", ("user", "password"))):
        config[part] = dict(config.get(part) or {})
        for name in columns:
            if unit.get(f"{part}_{name}"):
                config[part][name] = unit[f"{part}_{name}"]
    return config


def nvs_image(config: bytes, product: bytes, size: int) -> bytes:
    """An NVS partition with the backup copies of the records of config and product."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        rows = ["key,type,encoding,value", "wearmeter,namespace,,"]
        for name, content in (("config", config), ("product", product)):
            (here / name).write_bytes(content)
            rows.append(f"{name},file,binary,{here / name}")
        (here / "nvs.csv").write_text("\n".join(rows) + "\n")
        command = [sys.executable, "-m", "esp_idf_nvs_partition_gen", "generate"]
        done = subprocess.run(
            [*command, str(here / "nvs.csv"), str(here / "nvs.bin"), hex(size)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ProvisionError(f"nvs: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
        return (here / "nvs.bin").read_bytes()


def label(unit: dict[str, str], model: str, path: Path) -> None:
    """The unit's QR code as SVG."""
    text = f"WEARMETER:{model};SN:{unit['serial']};ID:{unit['device']}"
    segno.make(text, error="m", micro=False).save(str(path), scale=4, title=f"{model} {unit['serial']}", svgclass=None)


def make(
    fleet: Path, common: Path, product_name: str, board: str, out: Path, tell: Callable[[str], None]
) -> list[dict[str, str]]:
    """Makes all units' images; checks all of them before it writes any. Raises ProvisionError or DeviceError."""
    facts = boards.facts(board)
    product = files.product(product_name, board)
    packed = pack.pack_product(product)
    shared = files.read_config(common)
    fleet_units = units(fleet)
    own = [files.config(config_of(unit, shared), f"{fleet}: {unit['serial']}", common.parent) for unit in fleet_units]
    report: list[dict[str, str]] = []
    out.mkdir(parents=True, exist_ok=True)
    image = slots.image(board)
    shared_files = {f"{slot}/{name}": data for slot in slots.SLOTS for name, data in image.items()}
    shared_files["main.py"] = (ROOT / "firmware" / "main.py").read_bytes()
    shared_files["slot"] = b"fw_a "
    shared_files |= pack.unit_files("product", packed)
    for unit, config in zip(fleet_units, own, strict=True):
        place = out / unit["serial"]
        place.mkdir(mode=0o700, exist_ok=True)
        flash_image.make(
            place / "vfs.bin", {**shared_files, **pack.unit_files("config", config)}, int(facts["vfs_bytes"], 0)
        )
        nvs = nvs_image(pack.record(config), pack.record(packed), int(facts["nvs_bytes"], 0))
        (place / "nvs.bin").write_bytes(nvs)
        for name in ("vfs.bin", "nvs.bin"):
            (place / name).chmod(0o600)
        label(unit, product.model, place / "label.svg")
        digests = {
            name.split(".")[0] + "_sha256": hashlib.sha256((place / name).read_bytes()).hexdigest()
            for name in ("vfs.bin", "nvs.bin")
        }
        report.append({"serial": unit["serial"], "device": unit["device"], "model": product.model, **digests})
        tell(f"{unit['serial']}: device {unit['device']}")
    with open(out / "report.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(report[0]))
        writer.writeheader()
        writer.writerows(report)
    (out / "flash.sh").write_text(
        "#!/bin/sh\n# sh flash.sh SERIAL PORT: the unit's images, onto a board that has MicroPython on it.\n"
        'set -eu\ncd "$(dirname "$0")/$1"\n'
        f'exec esptool --chip {facts["mcu"]} --port "$2" write-flash '
        f"{facts['nvs_offset']} nvs.bin {facts['vfs_offset']} vfs.bin\n"
    )
    return report
