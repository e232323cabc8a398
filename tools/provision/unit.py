"""One unit on a port: provision it, and seal it after its factory test."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.deploy import crash, inspect, prompt, slots
from tools.deploy.device import Device, DeviceError
from tools.provision import files, pack
from tools.provision.files import ProvisionError
from tools.relay.core import names


def complete(config: dict[str, Any], ask: Callable[[str], str], ask_secret: Callable[[str], str]) -> dict[str, Any]:
    """Asks for what a config lacks that no unit can do without."""
    config.setdefault("schema", pack.SCHEMA)
    wifi = config.setdefault("wifi", {})
    if "ssid" not in wifi:
        wifi["ssid"] = ask("Wi-Fi name: ")
    if "password" not in wifi:
        wifi["password"] = ask_secret("Wi-Fi password (not shown; empty for an open network): ") or None
    broker = config.setdefault("broker", {})
    if "host" not in broker:
        broker["host"] = ask("Broker's host: ")
    if broker.get("user") is not None and "password" not in broker:
        broker["password"] = ask_secret(f"Password of {broker['user']} at the broker (not shown): ")
    if "serial" not in config:
        config["serial"] = ask("Serial number: ")
    return config


def provision(
    device: Device,
    board: str,
    product: str,
    config: Path | None,
    tell: Callable[[str], None],
    ask: Callable[[str], str] = input,
    ask_secret: Callable[[str], str] = getpass.getpass,
) -> None:
    """Checks the unit's files and writes them. Raises ProvisionError before anything is written, or DeviceError."""
    data = files.read_config(config) if config else {}
    data = complete(data, ask, ask_secret)
    where = str(config) if config else "config"
    packed = {
        "product": pack.pack_product(files.product(product, board)),
        "config": files.config(data, where, config.parent if config else Path(".")),
    }
    wanted = {f"/{path}": data for name in packed for path, data in pack.unit_files(name, packed[name]).items()}
    device.ask(prompt.PREPARE, remove=[], clone=[], copy=list(wanted))
    with tempfile.TemporaryDirectory() as folder:  # readable by this user alone
        sources = {}
        for number, path in enumerate(wanted):
            sources[f"{path}.new"] = Path(folder) / str(number)
            with open(os.open(sources[f"{path}.new"], os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(wanted[path])
        device.copy(sources)
    has_firmware = device.ask(prompt.REPLACE, paths=list(wanted))
    tell("written: " + ", ".join(f"the {name} ({len(content):,} bytes)" for name, content in packed.items()))
    if has_firmware:
        tell(slots.start(device))
    else:
        tell("there is no firmware on the board yet: make deploy")


def seal(device: Device, tell: Callable[[str], None]) -> dict[str, Any]:
    """Ends the factory test: each part must have run, nothing may be wrong; then all counts start at zero, for the
    owner, and the console is closed. Returns the report. Raises DeviceError, and leaves the counts, where the test has
    not been passed."""
    found = inspect.status(device)
    if "device" not in found:
        raise DeviceError("the firmware is not running: this unit has not been tested")
    idle = [f"part {part[0]}" for part in found["parts"] if not part[1]]
    if idle:
        raise DeviceError(f"not sealed: nothing counted in the test for {', '.join(idle)}")
    if found["faults"]:
        raise DeviceError(f"not sealed: {', '.join(names.faults(found['faults']))}; make status shows more")
    inspect.erase(device)
    slots.start(device)
    after = inspect.status(device)
    if any(part[1] for part in after["parts"]):
        raise DeviceError("not sealed: the counts did not go; is the motor running?")
    device.ask(prompt.SEAL)
    line = slots.start(device)
    if "sealed=1" not in line:
        raise DeviceError(f"the counts are at zero, but the console is not closed: {line}")
    tell(f"sealed: {found['device']}, tested for {max(part[1] for part in found['parts']) / 1000:.1f} s, now at zero")
    return {
        "device": found["device"],
        "firmware": found["version"],
        "tested_ms": {part[0]: part[1] for part in found["parts"]},
        "epoch_of_test": found["epoch"],
        "epoch": after["epoch"],
        "crash_in_test": crash.text(found["crash"]),
    }


__all__ = ["ProvisionError", "complete", "provision", "seal"]
