"""Power cuts at every flash operation of whole histories: on_device/ does the work, one MicroPython for each worker."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.setup import firmware, micropython
from tools.simulator.vacuum import packed_files
from tools.torture.report import Report

HERE = Path(__file__).parent / "on_device"
PRODUCTS = firmware.ROOT / "firmware" / "products"
NAMED = (
    "first_boot", "count", "report", "replacement", "undo", "both_buttons", "commands", "full_queue", "lossy",
    "forgetful_relay", "wrong_clock", "no_clock", "grown_product",
)  # fmt: skip
CONFIG = {
    "schema": 2,
    "wifi": {"ssid": "home", "password": "long enough"},
    "broker": {"host": "127.0.0.1", "transport": "plain"},
    "serial": "SN-1",
    "ntp_host": "pool.ntp.org",
}
# Of a block: typical, and the slowest at which a cut costs no more than a second.
ERASE_MS, SLOW_ERASE_MS = 45, 150
# Two levels deep, every cut of the named histories would take hours: strides that share no factor with the tears.
DEEP_STRIDE, DEEPER_STRIDE = 7, 29


def plan(histories: list[str], depth: int = 1, erase_ms: int = ERASE_MS, **more: Any) -> dict[str, Any]:
    """Return a plan for on_device/cuts.py, whose docstring describes the keys."""
    product = json.loads((PRODUCTS / "vacuum.json").read_text())
    files = packed_files(product, CONFIG)
    single = packed_files({**product, "consumables": product["consumables"][:1]}, None)
    return {
        "path": [str(firmware.ROOT / "firmware")],
        "files": {f"/{path}": content.hex() for path, content in files.items()},
        "products": [found["unit/a/product"].hex() for found in (files, single)],
        "erase_ms": erase_ms,
        "histories": histories,
        "depth": depth,
        **more,
    }


@contextmanager
def started(wanted: dict[str, Any], program: str = "cuts.py") -> Iterator[subprocess.Popen[str]]:
    """Start MicroPython on a plan; it is killed at the end if it still runs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        path.write_text(json.dumps(wanted))
        process = subprocess.Popen(
            [micropython.find(), "-X", "heapsize=48M", str(HERE / program), str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def lines(wanted: dict[str, Any], program: str = "cuts.py") -> Iterator[dict[str, Any] | str]:
    """Yield what the run says: objects, and plain text between them. Raises RuntimeError where it ends early."""
    done = False
    said: list[str] = []
    with started(wanted, program) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                told = json.loads(line)
                done = done or "done" in told
                yield told
            else:
                said.append(line)
                yield line
    if not done:
        raise RuntimeError("the run ended early: " + "".join(said[-5:]))


def run(report: Report, seconds: float, seed: int) -> None:
    """Cut for `seconds`: linear over every named history, then two levels deep, then in histories drawn from `seed`."""
    ends = time.monotonic() + seconds
    workers = [threading.Thread(target=_work, args=(report, ends, seed, at), daemon=True) for at in range(report.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _work(report: Report, ends: float, seed: int, at: int) -> None:
    share = list(NAMED[at :: report.jobs])
    _cut(report, plan(share, seconds=_left(ends)))
    # Then the other workers' share, at other depths and other offsets each round.
    rounds = 0
    while _left(ends) > 0:
        offset = (seed + at + rounds * report.jobs) % DEEP_STRIDE
        every: dict[str, Any] = {"every": [DEEP_STRIDE, offset], "every_deep": DEEPER_STRIDE}
        drawn = [f"drawn-{seed * 100000 + rounds * 100 + at * 10 + n}" for n in range(3)]
        names = [NAMED[(at + rounds * report.jobs) % len(NAMED)], *drawn]
        _cut(report, plan(names, 2, seconds=_left(ends), **every))
        rounds += 1


def _left(ends: float) -> float:
    return max(0.0, ends - time.monotonic())


def _cut(report: Report, wanted: dict[str, Any]) -> None:
    counted = 0
    for told in lines(wanted):
        if isinstance(told, str):
            continue
        if "failed" in told and "why" in told:
            report.fail(f"power/{told['failed']}", told["why"])
        elif "cuts" in told:
            report.count("power cuts", told["cuts"] - counted)
            counted = told["cuts"]
            if "history" in told:
                report.say(f"{told['history']} {told['at']}/{told['of']}")


def replay(report: Report, name: str) -> None:
    """Replay one cut, by its id without the leading `power/`, with the unit's console."""
    for told in lines(plan([], replay=name, verbose=True)):
        if isinstance(told, str):
            report.print(told.rstrip())
        elif "failed" in told and "why" in told:
            report.fail(f"power/{told['failed']}", told["why"])
        elif "done" in told:
            report.count("power cuts", told["cuts"])
