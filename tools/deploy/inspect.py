"""`make status` and `make erase-counters`: what the board holds, asked at its prompt.

Both stop the firmware for some seconds and then start it again: what ran since its last save (under a second) and what
the motor runs meanwhile is not counted.
"""

from __future__ import annotations

from typing import Any

from tools.deploy import slots
from tools.deploy.device import Device
from tools.relay.pages import names
from tools.simulator.counts import COPIES

STATUS = """
import gc, json, os
gc.collect()
out = {"heap_free": gc.mem_free(), "heap_used": gc.mem_alloc()}
blocks = os.statvfs("/")
out["flash_free"] = blocks[0] * blocks[3]
out["flash_size"] = blocks[0] * blocks[2]
try:
    with open("/state/crash") as file:
        out["crash"] = json.load(file)
except (OSError, ValueError):
    out["crash"] = None
try:
    from wearmeter import VERSION, start
    device = start.device
except ImportError:
    VERSION = device = None
out["version"] = VERSION
if device:
    out["device"] = device.device_id
    out["uptime_s"] = device.clock.uptime_s
    out["utc_s"] = device.clock.now()
    out["epoch"] = device.ledger.epoch
    out["faults"] = device.faults.bits
    out["saves"] = device.store.counter
    out["parts"] = [
        [part.instance, held.lifetime_ms, held.used_ms, held.generation, part.rated_life_h]
        for part, held in zip(device.product.consumables, device.ledger.consumables)
    ]
    out["outbox"] = [len(device.outbox.entries), device.outbox.next_sequence]
    if device.link:
        out["link"] = [device.link.online, device.link.reason, device.link.losses]
print(json.dumps(out))
"""

ERASE = """
import json, os
import esp32
gone = []
for path in paths:
    try:
        os.remove(path)
        gone.append(path)
    except OSError:
        pass
nvs = esp32.NVS("wearmeter")
try:
    nvs.erase_key("ledger")
    nvs.commit()
    gone.append("nvs:ledger")
except OSError:
    pass
print(json.dumps(gone))
"""
# Measured: rewriting one of the ledger's two copies costs so many erases of a block (see `make bench`).
ERASES_A_SAVE = 0.024


def status(device: Device) -> dict[str, Any]:
    """What the running firmware knows of itself; it counts again when this returns. Raises DeviceError."""
    found = dict(device.ask(STATUS))
    if "device" in found:
        slots.start(device)
    else:
        device.reset()
    return found


def show(found: dict[str, Any]) -> list[str]:
    """The status as lines for people."""
    lines = [f"firmware {found['version'] or 'none'}"]
    if "device" not in found:
        lines.append("it was not running")
    else:
        lines[0] += f", device {found['device']}, epoch {found['epoch']}, up {found['uptime_s']} s"
        lines.append(f"clock: {'not known yet' if found['utc_s'] is None else str(found['utc_s']) + ' UTC s'}")
        for instance, lifetime_ms, used_ms, generation, rated_h in found["parts"]:
            lines.append(
                f"{instance}: used {used_ms / 3600000:.3f} of {rated_h} h, part number {generation}, "
                f"{lifetime_ms / 3600000:.3f} h in its life"
            )
        waiting, sequence = found["outbox"]
        lines.append(f"outbox: {waiting} waiting, next sequence {sequence}")
        if "link" in found:
            online, reason, losses = found["link"]
            state = "online" if online else "offline"
            lines.append(f"link: {state}, last loss {names.link_reason(reason)}, {losses} losses")
        else:
            lines.append("link: none, there is no config")
        lines.append(f"faults: {', '.join(names.faults(found['faults'])) or 'none'}")
        lines.append(f"flash wear: {found['saves']:,} saves, about {found['saves'] * ERASES_A_SAVE:,.0f} block erases")
    lines.append(f"heap: {found['heap_used']:,} used, {found['heap_free']:,} free")
    lines.append(f"flash: {found['flash_free']:,} of {found['flash_size']:,} bytes free")
    if found["crash"]:
        lines.append(f"latest crash: {str(found['crash'][2]).strip().splitlines()[-1]}")
    return lines


def erase(device: Device) -> list[str]:
    """Erases counts, queue and crash record, here and in NVS; config and product stay. The board waits at its prompt.

    Returns what was erased."""
    paths = [*COPIES, *(copy.replace("ledger", "outbox") for copy in COPIES), "state/crash"]
    return list(device.ask(ERASE, paths=["/" + path for path in paths]))
