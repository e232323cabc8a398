"""The tests of host_tests/device run on CPython by pytest itself; here they run on MicroPython, in a small heap.

They import the sources of firmware/, whose modules they take apart; that the bundles of build/ are the same code is
shown by the tests that run whole units.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEVICE = ROOT / "host_tests" / "device"
FILES = sorted(path.stem for path in DEVICE.glob("test_*.py"))


@pytest.mark.parametrize("name", FILES)
def test_behaves_the_same_on_micropython(name: str, micropython: str, firmware: Path, tmp_path: Path) -> None:
    """`firmware` has seen to umqtt.simple in build/umqtt."""
    paths = f"{DEVICE}:{ROOT / 'firmware'}:{ROOT / 'build' / 'umqtt'}"
    # 64-bit objects are twice the size of the ESP32's, and the sources are compiled here: the firmware's own need of
    # memory is measured by `make bench`.
    done = subprocess.run(
        [micropython, "-X", "heapsize=1M", str(DEVICE / "run.py"), paths, name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "ok test_" in done.stdout
