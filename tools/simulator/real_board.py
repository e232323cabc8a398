"""The virtual board in real time, on a pseudo-terminal as if it hung on a USB port: for mpremote.

    with RealBoard(flash=Path("unit.bin"), link=Path("/tmp/vacuum")) as board:
        subprocess.run(["mpremote", "connect", str(board.link), "resume", "fs", "ls"])
        board.unplug()      # the power cut; the link is gone
        board.plug_in()

Ctrl-C stops main.py and gives the prompt; Ctrl-D there is a soft reset, which runs main.py again (not from the raw
prompt, as on any MicroPython board); machine.reset() and a watchdog that is not fed start the board anew. What differs
from a chip: at the prompt timers run only while Python code sleeps or looks at the clock.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios
import threading
import time
import tty
from pathlib import Path
from typing import Any

from tools.simulator import flash_image
from tools.simulator.vacuum import BOARD, PASSWORD, SSID, board_files, find_micropython

FLASH_BYTES = 2048 * 1024
CTRL_A, CTRL_B = b"\x01", b"\x02"


class RealBoard:
    """flash: image file; made with only the board's modules if it is not there. link: symlink to the terminal, there
    while the board is plugged in. console: bytes the board printed, the newest 1 MiB."""

    def __init__(
        self,
        flash: Path,
        link: Path | None = None,
        micropython: str | None = None,
        unique_id: str = "246f28a1b2c3",
        hosts: dict[str, str] | None = None,
        heap_kib: int = 1024,
        session: dict[str, Any] | None = None,
    ) -> None:
        self.flash = flash.resolve()
        self.link = link
        self.micropython = micropython or find_micropython()
        self.heap_kib = heap_kib
        self.overrides = {"unique_id": unique_id, "hosts": hosts or {}, **(session or {})}
        self.console = bytearray()
        self.boots = 0
        self.port = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._unplugged = threading.Event()
        self._raw = False
        if not self.flash.exists():
            flash_image.make(self.flash, board_files(), FLASH_BYTES)

    def __enter__(self) -> RealBoard:
        return self.plug_in()

    def __exit__(self, *_: object) -> None:
        self.unplug()

    def _beside(self, ending: str) -> Path:
        return self.flash.with_name(self.flash.name + ending)

    @property
    def plugged_in(self) -> bool:
        return self._thread is not None

    # --- power ------------------------------------------------------------------------------------------------------

    def plug_in(self) -> RealBoard:
        """Power-on. `port` is then the terminal's path, and the link, if any, leads there."""
        if self._thread is not None:
            return self
        self._unplugged.clear()
        self._outside, outer = pty.openpty()  # mpremote's side
        self._outer = outer
        tty.setraw(outer)
        self.port = os.ttyname(outer)
        if self.link is not None:
            if self.link.is_symlink():
                self.link.unlink()
            self.link.symlink_to(self.port)
        self._raw = False
        self._start("power", run_main=True)
        self._thread = threading.Thread(target=self._serve, name="virtual board", daemon=True)
        self._thread.start()
        return self

    def unplug(self) -> None:
        """The power cut: the process is killed at whatever it does, and the terminal goes away."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._unplugged.set()
        process = self._process
        if process is not None:
            process.kill()
        thread.join()
        for descriptor in (self._outside, self._outer):
            os.close(descriptor)
        if self.link is not None and self.link.is_symlink():
            self.link.unlink()

    def wait_for(self, text: str, timeout_s: float = 10.0, since: int = 0) -> bool:
        """Whether the console (from byte `since` on) shows the text within the time."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if text.encode() in self.console[since:]:
                return True
            time.sleep(0.02)
        return False

    # --- the process ------------------------------------------------------------------------------------------------

    def _start(self, cause: str, run_main: bool) -> None:
        for ending in (".wear", ".nvs", ".end", ".clock", ".watchdog"):
            self._beside(ending).touch()
        self._beside(".end").write_text("")
        self._beside(".watchdog").write_bytes(bytes(8))
        self._beside(".clock").write_bytes(bytes(8))
        session = {
            "mode": "real",
            "flash_file": str(self.flash),
            "stats_file": str(self._beside(".wear")),
            "nvs_file": str(self._beside(".nvs")),
            "end_file": str(self._beside(".end")),
            "clock_file": str(self._beside(".clock")),
            "watchdog_file": str(self._beside(".watchdog")),
            "start_utc_ms": time.time_ns() // 1_000_000,
            "wifi": {"ssid": SSID, "password": PASSWORD},
            "events": [],
            "run_main": run_main,
            "reset_cause": cause,
            **self.overrides,
        }
        session_path = self._beside(".session.json")
        session_path.write_text(json.dumps(session))
        self._inside, inner = pty.openpty()  # the board's side
        mode = termios.tcgetattr(inner)
        mode[3] &= ~(termios.ICANON | termios.ECHO)  # Ctrl-C stays a signal
        mode[0] &= ~(termios.ICRNL | termios.IXON)
        mode[1] &= ~termios.OPOST  # MicroPython itself ends lines with CR LF
        termios.tcsetattr(inner, termios.TCSANOW, mode)
        self._process = subprocess.Popen(
            [
                self.micropython,
                "-i",
                "-X",
                f"heapsize={self.heap_kib}k",
                str(BOARD / "boot.py"),
                str(session_path),
            ],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inner)
        self.boots += 1
        if not run_main:
            os.write(self._inside, CTRL_A)

    def _serve(self) -> None:
        """Passes bytes on between the two terminals; starts the board anew when it was reset."""
        while not self._unplugged.is_set():
            ready, _, _ = select.select([self._inside, self._outside], [], [], 0.05)
            if self._outside in ready:
                self._type(os.read(self._outside, 4096))
            gone = self._inside in ready and not self._show()
            if self._unplugged.is_set():
                break
            if gone:
                self._restart()
            elif self._bitten():
                assert self._process is not None
                self._process.kill()
                self._restart("watchdog")
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        os.close(self._inside)

    def _type(self, data: bytes) -> None:
        entered, left = data.rfind(CTRL_A), data.rfind(CTRL_B)
        if entered != left:
            self._raw = entered > left
        os.write(self._inside, data)

    def _show(self) -> bool:
        """False when the board's process has gone."""
        try:
            data = os.read(self._inside, 65536)
        except OSError:
            return False
        if not data:
            return False
        self.console += data
        del self.console[: -(1 << 20)]
        self._tell(data)
        return True

    def _tell(self, data: bytes) -> None:
        """To whoever listens: nobody must not stop the board, as with a USB port that nobody reads."""
        _, writable, _ = select.select([], [self._outside], [], 0.2)
        if writable:
            os.write(self._outside, data)

    def _bitten(self) -> bool:
        deadline = int(struct.unpack("<Q", self._beside(".watchdog").read_bytes()[:8])[0])
        return bool(deadline) and time.time_ns() // 1_000_000 > deadline

    def _restart(self, cause: str | None = None) -> None:
        assert self._process is not None
        self._process.wait()
        os.close(self._inside)
        if cause is None:
            end = self._beside(".end").read_text()
            cause = json.loads(end)["reason"] if end else "soft"  # Ctrl-D at the prompt just leaves the program
        raw = cause == "soft" and self._raw
        if not raw:
            self._raw = False
        if cause == "soft":
            self._tell(b"MPY: soft reboot\r\n")
        self._start(cause if cause in ("soft", "hard", "watchdog") else "power", run_main=not raw)
