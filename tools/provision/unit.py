"""One unit on a port: provision it, and seal it after its factory test."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.deploy import inspect, slots
from tools.deploy.device import Device, DeviceError
from tools.provision import files
from tools.provision.files import ProvisionError
from tools.relay.pages import names

# Each file is written beside the old one, and takes its place in one step; config.json comes last.
REPLACE = """
import json, os
for name in names:
    os.rename("/" + name + ".new", "/" + name)
print(json.dumps(True))
"""
HAS_FIRMWARE = """
import json, os
names = os.listdir("/")
print(json.dumps("slot" in names or "main.py" in names))
"""


def complete(config: dict[str, Any], ask: Callable[[str], str], ask_secret: Callable[[str], str]) -> dict[str, Any]:
    """Asks for what a config lacks that no unit can do without."""
    config.setdefault("schema", 1)
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
    wanted = files.files(data, where, config.parent if config else Path("."))
    wanted["product.json"] = files.compact(files.product(product, board))
    names = sorted(wanted, key=lambda name: name == "config.json")
    with tempfile.TemporaryDirectory() as folder:  # readable by this user alone
        sources = {}
        for name in names:
            path = Path(folder) / name
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(wanted[name])
            sources[f"/{name}.new"] = path
        device.copy(sources)
    device.ask(REPLACE, names=names)
    tell(f"written: {', '.join(f'/{name} ({len(wanted[name]):,} bytes)' for name in names)}")
    if device.ask(HAS_FIRMWARE):
        tell(slots.start(device))
    else:
        tell("there is no firmware on the board yet: make deploy")


def seal(device: Device, tell: Callable[[str], None]) -> dict[str, Any]:
    """Ends the factory test: each input must have run, nothing may be wrong; then all counts start at zero, for the
    owner. Returns the report. Raises DeviceError, and leaves the counts, where the test has not been passed."""
    found = inspect.status(device)
    if "device" not in found:
        raise DeviceError("the firmware is not running: this unit has not been tested")
    idle = [part[0] for part in found["parts"] if not part[1]]
    if idle:
        raise DeviceError(f"not sealed: nothing counted in the test for {', '.join(idle)}")
    if found["faults"]:
        raise DeviceError(f"not sealed: {', '.join(names.faults(found['faults']))}; make status shows more")
    inspect.erase(device)
    slots.start(device)
    after = inspect.status(device)
    if any(part[1] for part in after["parts"]):
        raise DeviceError("not sealed: the counts did not go; is the motor running?")
    tell(f"sealed: {found['device']}, tested for {max(part[1] for part in found['parts']) / 1000:.1f} s, now at zero")
    return {
        "device": found["device"],
        "firmware": found["version"],
        "tested_ms": {part[0]: part[1] for part in found["parts"]},
        "epoch_of_test": found["epoch"],
        "epoch": after["epoch"],
        "crash_in_test": found["crash"],
    }


__all__ = ["ProvisionError", "complete", "provision", "seal"]
