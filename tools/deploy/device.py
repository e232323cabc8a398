"""A MicroPython board on a serial port, over mpremote. Secrets travel as files: `ps` shows arguments."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.deploy import prompt

MPREMOTE = [sys.executable, "-m", "mpremote"]
CALL_S = 120
ANSWER_S = 5.0  # so long a sealed unit has to answer what is typed
LOOK_S = 15.0  # so long a restarted unit has to say that it is sealed
NO_PROMPT = "could not enter raw repl"
SEALED = "this unit is sealed (make seal): hold any of its buttons while you power it on, and try again"


class DeviceError(Exception):
    """The board does not do what it should; one line."""


class Device:
    """`port`: of the board, e.g. /dev/ttyUSB0, or socket://HOST:PORT. Whatever is asked of it stops the firmware's loop
    until `resume` or `reset`; its tick goes on."""

    def __init__(self, port: str) -> None:
        self.port = port

    def mpremote(self, *arguments: str, timeout_s: float = CALL_S) -> str:
        """Runs mpremote on the board as it stands, without a soft reset; returns its output. Raises DeviceError."""
        if not Path(self.port).exists() and not self.port.upper().startswith("COM") and ":" not in self.port:
            raise DeviceError(f"{self.port}: no such port (is the board plugged in?)")
        command = [*MPREMOTE, "connect", self.port, "resume", *arguments]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise DeviceError(f"{self.port}: no answer within {timeout_s:.0f} s") from None
        if done.returncode:
            lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            if any(NO_PROMPT in line for line in lines):
                raise DeviceError(f"{self.port}: {self._why_no_prompt()}")
            raise DeviceError(f"{self.port}: {lines[-1].strip() if lines else 'mpremote failed'}")
        return done.stdout

    def _why_no_prompt(self) -> str:
        """Types something, which a sealed unit answers. Where it does not (it may be busy, or hang), restarts it, if
        its board has a reset line, and looks at what it says of itself."""
        for line in self.lines(ANSWER_S, typed=b"\r"):
            if "wm sealed=1" in line:
                return SEALED
        for line in self.lines(LOOK_S, reset=True):
            if "wm boot " in line:
                return SEALED if "sealed=1" in line else "no answer at the prompt; try again"
        return f"no answer at the prompt, and no boot seen in {LOOK_S:.0f} s: power it off and on meanwhile"

    def ask(self, script: str, **values: Any) -> Any:
        """Runs a script on the board, with the variables `values` (plain data, no secrets); it answers by printing
        one line of JSON, the last of its output."""
        head = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        out = self.mpremote("exec", head + script)
        try:
            return json.loads(out.strip().splitlines()[-1])
        except (IndexError, ValueError):
            raise DeviceError(f"{self.port}: unexpected answer: {out.strip()[-200:]!r}") from None

    def copy(self, files: dict[str, Path]) -> None:
        """Copies files to the board, path on the board -> file here, in one call."""
        arguments: list[str] = []
        for target, source in files.items():
            arguments += ["+"] if arguments else []
            arguments += ["fs", "cp", "-f", str(source), f":{target}"]
        if arguments:
            self.mpremote(*arguments, timeout_s=CALL_S + 5 * len(files))

    def restarted(self, timeout_s: float) -> Iterator[str]:
        """Starts the board, at its prompt, anew, and yields the lines of the console from there on: the port is open
        before the reset, so no line is missed."""
        return self.lines(timeout_s, b"\r\x03\r\nimport machine; machine.reset()\r\n")

    def resume(self) -> None:
        """Lets the loop of a firmware that stands at its prompt go on."""
        self.mpremote("exec", "--no-follow", prompt.RESUME)

    def reset(self) -> None:
        """Starts the board, and its firmware, anew."""
        self.mpremote("exec", "--no-follow", prompt.RESET)

    def lines(self, timeout_s: float | None = None, typed: bytes = b"", reset: bool = False) -> Iterator[str]:
        """Yields the lines of the console, for so long (for ever if None). Sends nothing but `typed`, once: without it
        the firmware runs on. With `reset` it pulls the reset line first, where the port has one.

        The port may go and come back: a board with USB of its own does that at each reset.
        """
        import serial  # type: ignore[import-untyped]

        end = None if timeout_s is None else time.monotonic() + timeout_s
        rest = b""
        port = None
        try:
            while end is None or time.monotonic() < end:
                try:
                    if port is None:
                        port = serial.serial_for_url(self.port, 115200, timeout=0.2, do_not_open=True)
                        port.dtr = port.rts = False  # on many boards these two lines are the reset button
                        port.open()
                        if reset:
                            with contextlib.suppress(OSError):  # a pseudo-terminal has none
                                port.rts = True
                                time.sleep(0.1)
                                port.rts = False
                            reset = False
                        port.write(typed)
                        typed = b""
                    data = port.read(max(1, port.in_waiting))
                except (OSError, serial.SerialException):
                    if port is not None:
                        port.close()
                    port = None
                    time.sleep(0.2)
                    continue
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    yield line.decode("utf-8", "replace").rstrip("\r")
        finally:
            if port is not None:
                port.close()
