"""A TCP proxy in front of a broker that does to one packet of a connection what networks do.

with Proxy(broker_port) as proxy:
    proxy.plan = [Fault("reset", 5), Fault("half_open", 9)]      # for the next two connections; then none
    ... connect to proxy.port ...

Packets are counted from 1 over both directions, as they pass: CONNECT is 1, CONNACK 2. Over TLS a record is a packet.
"""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType

KINDS = ("delay", "lose", "twice", "half_open", "close", "reset", "reset_after", "trickle", "garbage")
# The virtual board gives the host 20 ms for each 100 ms of its own time while an answer is due: this is a second.
SECOND_S = 0.2


@dataclass(frozen=True)
class Fault:
    """What happens at packet `at` (from 1).

    delay: it comes 5 s late. lose: it alone is swallowed. twice: it comes twice. half_open: from it on nothing passes,
    and nobody is told. close: instead of it the connection ends. reset: instead of it comes a reset; reset_after: after
    it. trickle: from it on a byte a second. garbage: random bytes of the same number instead of it.
    """

    kind: str
    at: int

    def __str__(self) -> str:
        return f"{self.kind}@{self.at}"


NONE = Fault("none", 0)


class _Framer:
    """Cuts one direction's bytes into packets."""

    def __init__(self) -> None:
        self.held = b""
        self.is_tls: bool | None = None

    def feed(self, data: bytes) -> list[bytes]:
        self.held += data
        if self.is_tls is None:
            self.is_tls = self.held[0] in (20, 21, 22, 23) and len(self.held) > 1 and self.held[1] == 3
        found = []
        while (size := self._size()) is not None and len(self.held) >= size:
            found.append(self.held[:size])
            self.held = self.held[size:]
        return found

    def _size(self) -> int | None:
        data = self.held
        if self.is_tls:
            return 5 + int(struct.unpack(">H", data[3:5])[0]) if len(data) >= 5 else None
        length = 0
        for at in range(1, min(len(data), 5)):
            length |= (data[at] & 127) << 7 * (at - 1)
            if data[at] < 128:
                return 1 + at + length
        return None


class _Connection:
    def __init__(self, proxy: Proxy, near: socket.socket, fault: Fault) -> None:
        self.proxy = proxy
        self.near = near
        self.fault = fault
        self.count = 0
        self.silent = False
        self.dice = random.Random(f"{proxy.seed} {fault}")
        self.thread = threading.Thread(target=self._run, name=f"proxy {fault}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with self.near, socket.socket() as far:
            try:
                far.connect(("127.0.0.1", self.proxy.target))
                far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._serve(far)
            except OSError:
                pass  # One side is gone; so is the other, now.
        self.proxy.packets.append(self.count)

    def _serve(self, far: socket.socket) -> None:
        framers = {self.near: _Framer(), far: _Framer()}
        others = {self.near: far, far: self.near}
        while not self.proxy.stopping:
            ready, _, _ = select.select(list(others), [], [], 0.2)
            for side in ready:
                data = side.recv(65536)
                if not data:
                    return
                if side is self.near:
                    self.proxy.bytes_up += len(data)
                else:
                    self.proxy.bytes_down += len(data)
                for packet in framers[side].feed(data):
                    self.count += 1
                    if not self._pass(packet, others[side]):
                        return

    def _pass(self, packet: bytes, to: socket.socket) -> bool:
        """Let the packet through, or not. False: the connection ends."""
        kind = self.fault.kind if self.count == self.fault.at else ""
        if self.fault.kind == "trickle" and self.count >= self.fault.at:
            kind = "trickle"
        if kind == "half_open":
            self.silent = True
        if self.silent or kind == "lose":
            return True
        if kind == "delay":
            time.sleep(5 * SECOND_S)
        if kind == "close":
            return False
        if kind == "reset":
            self._reset()
            return False
        if kind == "garbage":
            packet = self.dice.randbytes(len(packet))
        if kind == "trickle":
            for at in range(len(packet)):
                to.sendall(packet[at : at + 1])
                time.sleep(SECOND_S)
        else:
            to.sendall(packet * 2 if kind == "twice" else packet)
        if kind == "reset_after":
            self._reset()
            return False
        return True

    def _reset(self) -> None:
        self.near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes on to `target`. `packets` holds how many each past connection saw."""

    def __init__(self, target: int, seed: int = 1) -> None:
        self.target = target
        self.seed = seed
        self.plan: list[Fault] = []
        self.packets: list[int] = []
        self.connections = 0
        self.bytes_up = self.bytes_down = 0
        self.stopping = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.2)
        self.port = int(self._listener.getsockname()[1])
        self._open: list[_Connection] = []
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self.stopping:
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.connections += 1
            self._open = [connection for connection in self._open if connection.thread.is_alive()]
            self._open.append(_Connection(self, near, self.plan.pop(0) if self.plan else NONE))

    def close(self) -> None:
        self.stopping = True
        self._thread.join(2)
        self._listener.close()
        for connection in self._open:
            connection.thread.join(2)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
