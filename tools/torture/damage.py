"""Damage to the flash: each kind of it to each file, and flipped bits all over; on_device/damage.py does the work.

A replay id is STRIDE.OFFSET: each STRIDE-th bit of the flash in use is flipped, from OFFSET on; 0.0 is the files.
"""

from __future__ import annotations

import random
import time

from tools.torture import power
from tools.torture.report import Report

STRIDE = 101


def run(report: Report, seconds: float, seed: int) -> None:
    """First the files, then flipped bits at offsets drawn from `seed`, each once."""
    ends = time.monotonic() + seconds
    offsets = random.Random(seed).sample(range(STRIDE), STRIDE)
    _damage(report, 0, 0)
    for offset in offsets:
        if time.monotonic() > ends:
            return
        report.say(f"each {STRIDE}th bit from {offset}")
        _damage(report, STRIDE, offset)


def replay(report: Report, name: str) -> None:
    """Replay one id."""
    stride, offset = name.split(".")
    _damage(report, int(stride), int(offset))


def _damage(report: Report, stride: int, offset: int) -> None:
    for told in power.lines(power.plan([], stride=stride, offset=offset), "damage.py"):
        if isinstance(told, str):
            report.print(told.rstrip())
        elif "why" in told:
            report.fail(f"damage/{stride}.{offset}", f"{told['failed']}: {told['why']}")
        elif "done" in told:
            report.count("damaged starts", told["starts"])
