"""Which MicroPython runs the virtual board and the device-side tests."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

PROBE = "import sys, vfs; vfs.VfsLfs2; print(sys.implementation.name, sys.implementation._mpy & 255)"
ANSWER = "micropython 6"  # .mpy version 6 is what mpy-cross writes


class NoMicroPython(Exception):
    """No usable MicroPython; the message is one line."""


def works(executable: str) -> bool:
    """True if it is a MicroPython with VfsLfs2 that loads .mpy version 6; waits at most 10 s for its answer."""
    try:
        result = subprocess.run(
            [executable, "-c", PROBE], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0 and result.stdout.strip() == ANSWER


@functools.cache
def find() -> str:
    """Path of the MicroPython to use: the one named in MICROPYTHON, else on the PATH, else the wheel's.

    One named in MICROPYTHON must work; one on the PATH that is too old is passed over. Raises NoMicroPython.
    """
    named = os.environ.get("MICROPYTHON")
    if named:
        path = shutil.which(named)
        if path is None or not works(path):
            raise NoMicroPython(f"MICROPYTHON={named} is not a MicroPython with VfsLfs2 and .mpy version 6")
        return path
    on_path = shutil.which("micropython")
    of_the_wheel = str(Path(sys.executable).parent / "micropython")
    for path in (on_path, of_the_wheel):
        if path is not None and works(path):
            return path
    raise NoMicroPython("no MicroPython works here: name one with MICROPYTHON=/path/to/micropython")


if __name__ == "__main__":
    try:
        print(find())
    except NoMicroPython as error:
        sys.exit(f"wearmeter: {error}")
