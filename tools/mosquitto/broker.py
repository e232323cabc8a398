"""Makes a folder for mosquitto and runs it there.

with Mosquitto(folder, authority, {"vacuum1": "its password", "relay": "..."}) as broker:
    ... broker.password_port, broker.certificate_port, broker.psk_port ...
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tools.mosquitto.certificates import Authority, Pair
from tools.setup import system_packages

HERE = Path(__file__).resolve().parent
START_S = 10.0
PBKDF2_ROUNDS = 101  # mosquitto's own default


class MosquittoError(Exception):
    """The broker did not start; one line."""


def password_line(user: str, password: str) -> str:
    """A line of mosquitto's password file: PBKDF2-HMAC-SHA512, salted."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, PBKDF2_ROUNDS)
    shown = [base64.b64encode(part).decode() for part in (salt, digest)]
    return f"{user}:$7${PBKDF2_ROUNDS}${shown[0]}${shown[1]}\n"


def _write_secret(path: Path, lines: list[str]) -> None:
    path.touch(mode=0o600)
    path.write_text("".join(lines))


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _run(directory: Path, log: Path, ports: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """Start mosquitto with `directory`'s configuration; returns once it listens."""
    program = system_packages.where("mosquitto")
    if program is None:
        raise MosquittoError("mosquitto is not installed")
    config = directory / "mosquitto.conf"
    if os.geteuid() == 0:  # it would become the user mosquitto, who cannot read this folder
        (directory / "as-root.conf").write_text(config.read_text() + "\nuser root\n")
        config = directory / "as-root.conf"
    with open(log, "ab") as file:
        command = [program, "-v", "-c", str(config)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    deadline = time.monotonic() + START_S
    while not all(_listens(port) for port in ports):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise MosquittoError(f"mosquitto did not start: {' '.join(last)}")
        time.sleep(0.02)
    return process


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class PlainMosquitto:
    """A mosquitto for tests, open to all on loopback, without TLS: `port`, `stop` and `start`; it remembers nothing."""

    def __init__(self, directory: Path) -> None:
        (self.port,) = free_ports(1)
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "mosquitto.conf").write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> PlainMosquitto:
        self._process = _run(self.directory, self.directory / "mosquitto.log", (self.port,))
        return self

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


class Mosquitto:
    """One mosquitto with tools/mosquitto's configuration, on loopback, in `directory`. Its log is `log`.

    `keys` are those of TLS-PSK: identity, which is the device's id, to 16 to 32 bytes.
    `start` and `stop` again: the same ports, and nothing remembered. Raises MosquittoError.
    """

    def __init__(
        self,
        directory: Path,
        authority: Authority,
        passwords: dict[str, str],
        root: str = "wearmeter",
        hosts: tuple[str, ...] = ("broker.example", "127.0.0.1"),
        certificate: Pair | None = None,
        keys: dict[str, bytes] | None = None,
    ) -> None:
        self.directory = directory
        self.log = directory / "mosquitto.log"
        self.password_port, self.certificate_port, self.psk_port = free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "ca.pem").write_bytes(authority.pem)
        (certificate or authority.broker(list(hosts))).write(directory, "broker")
        _write_secret(directory / "passwords", [password_line(user, password) for user, password in passwords.items()])
        _write_secret(directory / "keys", [f"{identity}:{key.hex()}\n" for identity, key in (keys or {}).items()])
        places = {
            "@directory": str(directory),
            "@address": "127.0.0.1",
            "@password_port": str(self.password_port),
            "@certificate_port": str(self.certificate_port),
            "@psk_port": str(self.psk_port),
            "@root": root,
        }
        for name in ("mosquitto.conf", "acl"):
            text = (HERE / name).read_text()
            for place, value in places.items():
                text = text.replace(place, value)
            (directory / name).write_text(text)

    def start(self) -> Mosquitto:
        self._process = _run(self.directory, self.log, (self.password_port, self.certificate_port, self.psk_port))
        return self

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def __enter__(self) -> Mosquitto:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
