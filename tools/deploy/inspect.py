"""`make status`, `make crash` and `make erase-counters`: what the board holds, asked at its prompt.

The tick goes on at the prompt, and after a status the loop goes on, too: asking costs no count and no restart.
"""

from __future__ import annotations

from typing import Any

from tools.deploy import crash, prompt
from tools.deploy.device import Device
from tools.relay.core import names


def status(device: Device) -> dict[str, Any]:
    """What the running firmware knows of itself; it goes on when this returns. Raises DeviceError."""
    found = dict(device.ask(prompt.STATUS))
    if "device" in found:
        device.resume()
    else:
        device.reset()
    return found


def show(found: dict[str, Any]) -> list[str]:
    """The status as lines for people."""
    lines = [f"firmware {found['version'] or 'none'}"]
    slot, *given_up = found["slots"] or [""]
    lines[0] += f" in /{slot}" if slot else ""
    lines[0] += f", given up: /{given_up[0]}" if given_up else ""
    if "device" not in found:
        lines.append("it was not running")
    else:
        lines[0] += f", device {found['device']}, epoch {found['epoch']}, up {found['uptime_s']} s"
        lines.append(f"clock: {'not known yet' if found['utc_s'] is None else str(found['utc_s']) + ' UTC s'}")
        for part, lifetime_ms, used_ms, generation in found["parts"]:
            lines.append(
                f"part {part}: used {used_ms / 3600000:.3f} h, generation {generation}, "
                f"{lifetime_ms / 3600000:.3f} h in its life"
            )
        waiting, sequence = found["queue"]
        lines.append(f"queue: {waiting} waiting, next sequence {sequence}")
        if "link" in found:
            online, reason, losses = found["link"]
            state = "online" if online else "offline"
            lines.append(f"link: {state}, last loss {names.link_reason(reason)}, {losses} losses")
        else:
            lines.append("link: none, there is no config")
        lines.append(f"faults: {', '.join(names.faults(found['faults'])) or 'none'}")
        lines.append(f"safe mode: {'yes: what crashes is left out' if found['safe'] else 'no'}")
        seen = f"a save at most {found['save_ms']}" if found["save_ms"] else "as long as no save was seen that erases"
        lines.append(f"a power cut costs at most {found['bound_ms']} ms ({seen})")
    lines.append(f"heap: {found['heap_used']:,} used, {found['heap_free']:,} free")
    lines.append(f"flash: {found['flash_free']:,} of {found['flash_size']:,} bytes free")
    told = crash.text(found["crash"])
    if told:
        *_, last = crash.located(told, found["sums"]).splitlines()
        lines.append(f"latest crash: {last} (make crash shows all of it)")
    return lines


def erase(device: Device) -> list[str]:
    """Erases counts, queue and crash record, here and in NVS; config and product stay. The board waits at its prompt.

    Returns what was erased."""
    return list(device.ask(prompt.ERASE))
