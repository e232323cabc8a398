"""The tests of host_tests/device run on CPython by pytest itself; here they run on MicroPython, in a small heap."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

DEVICE = Path(__file__).parent / "device"
FILES = sorted(path.stem for path in DEVICE.glob("test_*.py"))


@pytest.mark.parametrize("name", FILES)
def test_behaves_the_same_on_micropython_from_compiled_modules(
    name: str, micropython: str, firmware: Path, tmp_path: Path
) -> None:
    paths = f"{DEVICE}:{firmware}"
    # 64-bit objects are twice the size of the ESP32's: this heap is its 145 KB and the tests' own code.
    done = subprocess.run(
        [micropython, "-X", "heapsize=512K", str(DEVICE / "run.py"), paths, name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "ok test_" in done.stdout
