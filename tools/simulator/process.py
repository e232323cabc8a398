"""One process of the virtual board: from power-on, or a reset, to the end of the power.

MicroPython may hang in C, where no virtual time passes (a truncated .mpy does that to its loader). Then the host does
what the chip's watchdog would do at its time.
"""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.simulator.scenario import ROOT

BOOT = ROOT / "boards" / "virtual" / "boot.py"
HUNG_CPU_S = 5.0  # computing for so long without the board's time moving, by a second of it
HUNG_S = 60.0  # the same, in real time, where what a process computes cannot be read
LOOK_S = 0.5


class SimulatorError(Exception):
    """The run cannot go on; one line."""


class DroppedCallbacks(SimulatorError):
    """MicroPython's scheduler dropped callbacks, in a session that does not say `"storm": true`."""


class BoardProcess:
    """Starts the board with a session (boards/virtual/README.md), which needs the files of the host."""

    def __init__(self, session: dict[str, Any], session_path: Path, micropython: str, heap_kib: int = 1024) -> None:
        self.session = session
        self.hung = False
        Path(session["end_file"]).write_text("")
        Path(session["watchdog_file"]).write_bytes(bytes(16))
        session_path.write_text(json.dumps(session))
        command = [micropython, "-X", f"heapsize={heap_kib}k", str(BOOT), str(session_path.resolve())]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=session_path.parent
        )

    def kill(self) -> None:
        self.process.kill()

    def lines(self) -> Iterator[str]:
        """The console's lines, until the board dies or hangs. The process has ended afterwards, whatever happens."""
        assert self.process.stdout is not None
        try:
            yield from self._lines(self.process.stdout.fileno())
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

    def _lines(self, descriptor: int) -> Iterator[str]:
        rest = b""
        seen_ms, seen_s = -1, 0.0
        while True:
            ready, _, _ = select.select([descriptor], [], [], LOOK_S)
            if ready:
                data = os.read(descriptor, 65536)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    yield line.decode("utf-8", "replace").rstrip("\r")
                continue
            now_ms = self._clock_ms()
            if now_ms != seen_ms:
                seen_ms, seen_s = now_ms, self._used_s()
            elif self._used_s() - seen_s > HUNG_CPU_S:
                self.hung = True
                break
        if rest:
            yield rest.decode("utf-8", "replace")

    def _clock_ms(self) -> int:
        return int(struct.unpack("<Q", Path(self.session["clock_file"]).read_bytes()[:8])[0])

    def _used_s(self) -> float:
        """Seconds the process has computed; elsewhere than on Linux real seconds, scaled to what they stand for."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return time.monotonic() * HUNG_CPU_S / HUNG_S
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> dict[str, Any] | None:
        """How it ended, as in the end file. None when it ended by itself, or was killed.

        Raises DroppedCallbacks.
        """
        text = Path(self.session["end_file"]).read_text()
        end = dict(json.loads(text)) if text else self._end_of_a_hang() if self.hung else None
        if end and end["dropped_callbacks"] and not self.session.get("storm"):
            raise DroppedCallbacks(f"the scheduler's queue was full: {end['dropped_callbacks']} callbacks were dropped")
        return end

    def _end_of_a_hang(self) -> dict[str, Any]:
        """The watchdog bites at its time, if it was armed; else the unit hangs until the power goes."""
        bite_ms, rtc_us = struct.unpack("<Qq", Path(self.session["watchdog_file"]).read_bytes()[:16])
        end_ms = self.session.get("end_ms")
        now_ms = bite_ms - self.session["start_utc_ms"]
        reason = "watchdog"
        if not bite_ms:
            reason = "hung"
            now_ms = self._clock_ms() - self.session["start_utc_ms"] if end_ms is None else end_ms
        elif end_ms is not None and now_ms >= end_ms:
            reason, now_ms = "cut", end_ms
        return {
            "reason": reason,
            "now_us": now_ms * 1000,
            "rtc_us": now_ms * 1000 + rtc_us,
            "heap_peak": 0,
            "paced_ms": 0,
            "dropped_callbacks": 0,
            "flash_operations": 0,
            "flash_reads": 0,
            "main_us": None,
            "first_sample_us": None,
        }
