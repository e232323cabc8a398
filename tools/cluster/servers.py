"""Three nats-servers of one cluster on loopback: JetStream for the relays, MQTT for the devices.

with Servers(folder) as servers:
    servers.url, servers.mqtt_ports
    servers.kill(0); servers.start(0)
"""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tools.mosquitto.broker import free_ports
from tools.setup.system_packages import where

COUNT = 3
READY_S = 30.0
_CONFIGURATION = """server_name: s{number}
listen: 127.0.0.1:{client}
jetstream {{ store_dir: "{folder}/store{number}" }}
mqtt {{ listen: "127.0.0.1:{mqtt}", stream_replicas: {count} }}
cluster {{ name: wearmeter, listen: "127.0.0.1:{route}", routes: [{routes}] }}
"""


class Missing(Exception):
    """nats-server is not on this machine or did not start; one line."""


class Servers:
    """`url` is what `--broker` takes; `mqtt_ports` are for the devices. Raises Missing."""

    def __init__(self, folder: Path) -> None:
        program = where("nats-server")
        if program is None:
            raise Missing("nats-server is not on this machine (Debian: apt-get install nats-server)")
        self._program = program
        self._folder = folder
        ports = free_ports(3 * COUNT)
        clients, self.mqtt_ports, routes = ports[:COUNT], ports[COUNT : 2 * COUNT], ports[2 * COUNT :]
        self.url = "nats://" + ",".join(f"127.0.0.1:{port}" for port in clients)
        others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        for number in range(COUNT):
            text = _CONFIGURATION.format(
                number=number, client=clients[number], mqtt=self.mqtt_ports[number], route=routes[number],
                routes=others, folder=folder, count=COUNT,
            )  # fmt: skip
            (folder / f"s{number}.conf").write_text(text)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, number: int) -> None:
        """Start a server, with what it had stored."""
        with (self._folder / f"s{number}.log").open("ab") as file:
            self._processes[number] = subprocess.Popen(
                [self._program, "-c", str(self._folder / f"s{number}.conf")],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip

    def kill(self, number: int) -> None:
        """End a server as a power cut would."""
        process = self._processes.pop(number)
        process.kill()
        process.wait()

    def wait_ready(self) -> None:
        """Return once a device is let in on every server: its session needs the replicated streams. Raises Missing."""
        deadline = time.monotonic() + READY_S
        for number, port in enumerate(self.mqtt_ports):
            while not _lets_in(port):
                if time.monotonic() > deadline:
                    raise Missing(f"nats-server {number} was not ready in {READY_S:.0f} s")
                time.sleep(0.1)

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes.values()]

    def __enter__(self) -> Servers:
        for number in range(COUNT):
            self.start(number)
        try:
            self.wait_ready()
        except Missing:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number in list(self._processes):
            self.kill(number)


def _lets_in(port: int) -> bool:
    """Return whether a server answers a CONNECT, MQTT 3.1.1 with a clean session, with a CONNACK of code 0."""
    body = b"\x00\x04MQTT\x04\x02\x00\x00\x00\x05ready"
    try:
        with socket.create_connection(("127.0.0.1", port), 3) as connection:
            connection.settimeout(5)
            connection.sendall(bytes([0x10, len(body)]) + body)
            return connection.recv(4) == b"\x20\x02\x00\x00"
    except OSError:
        return False
