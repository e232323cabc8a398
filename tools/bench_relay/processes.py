"""The processes of a measurement or a test, each on a free loopback port: a mosquitto, and relays."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from tools.setup.system_packages import where

ROOT = Path(__file__).parents[2]
_BARE = """
import signal, cbor2
from tools.relay.core import wire
from tools.relay.intake.edge import open_edge
from tools.relay import logs
from tools.relay.settings import load
def on_arrival(arrival):
    fields = cbor2.loads(arrival.payload)
    if arrival.kind == "status":
        edge.send(arrival.device, wire.encode_welcome(fields[2], 0, fields[3], 0, None))
    elif arrival.kind == "up":
        edge.send(arrival.device, wire.encode_ack(0, 0, fields[2], fields[3]))
    arrival.done()
logs.configure()
edge = open_edge(load(), on_arrival)
edge.start()
signal.sigwait([signal.SIGTERM, signal.SIGINT])
edge.stop()
"""


class Missing(Exception):
    """A program that is needed is not on this machine; the text says how to get it."""


class Mosquitto:
    """A broker with room for many messages on their way (`max_inflight_messages`). Raises Missing."""

    def __init__(self, folder: Path) -> None:
        program = where("mosquitto")
        if program is None:
            raise Missing("mosquitto is not on this machine (Debian: apt-get install mosquitto)")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "set_tcp_nodelay true"]
        lines += ["max_inflight_messages 1000", "max_queued_messages 100000"]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self.process = subprocess.Popen(
            [program, "-c", str(folder / "mosquitto.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise Missing("mosquitto did not start") from None
                time.sleep(0.02)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class RelayProcess:
    """A relay of its own process; `bare`: one that decodes and answers, and stores nothing."""

    def __init__(self, log: Path, bare: bool = False, **settings: object) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
        environment |= {f"RELAY_{name.upper()}": str(value) for name, value in settings.items()}
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *(("-c", _BARE) if bare else ("-m", "tools.relay", "run"))], cwd=ROOT, env=environment,
                stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip

    def connected(self) -> bool:
        """Return whether it has said that it is connected to the broker. Raises RuntimeError if it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"a relay has ended: {self._log.read_text()[-500:]}")
        return "connected to the broker" in self._log.read_text()

    def wait_connected(self, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not self.connected():
            if time.monotonic() > deadline:
                raise RuntimeError("a relay does not connect to the broker")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
