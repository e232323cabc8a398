"""Many devices on one connection, each as the firmware: a message, its acknowledgment, then the next.

One raw socket and no thread, so that what is measured is the relay and not this. Loopback only.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import cbor2

from tools.relay.core import wire

EPOCH = 549852673
ROOT = "wearmeter"


@dataclass
class Device:
    """`sequence` is that of the message on its way, or of the last one acknowledged; `due_at` that of the next.

    `begun_at` is when it was said first, `sent_at` when last.
    """

    name: str
    nonce: int = 0
    sequence: int = 0
    payload: bytes = b""
    begun_at: float = 0.0
    sent_at: float = 0.0
    waits: bool = False
    due_at: float = 0.0
    welcomed: bool = False
    latencies_s: list[float] = field(default_factory=list)


class Swarm:
    """`message(device, sequence)` makes each payload.

    A device that has waited `patience_s` for its acknowledgment comes online anew and says the same again.
    """

    def __init__(
        self, port: int, names: list[str], message: Callable[[Device, int], bytes], patience_s: float = 2.0,
        name: str = "swarm",
    ) -> None:  # fmt: skip
        self.name = name
        self.devices = {name: Device(name) for name in names}
        self.resent = 0
        self._message = message
        self._patience_s = patience_s
        self._nonce = 0
        self._packet = 0
        self._in = bytearray()
        self._out = bytearray()
        self._connect(port)
        self._turn(0.2)

    def _connect(self, port: int) -> None:
        """Connect and subscribe to what the relays say. Raises OSError."""
        self._in.clear()
        self._out.clear()
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._put(0x10, b"\x00\x04MQTT\x04\x02\x00\x00" + _text(self.name))
        self._put(0x82, b"\x00\x01" + _text(f"{ROOT}/+/down") + b"\x00")

    def close(self) -> None:
        self._socket.close()

    def come_online(self, timeout_s: float = 20.0) -> None:
        """Every device says its status and waits to be welcomed. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while not all(device.welcomed for device in self.devices.values()):
            if time.monotonic() > deadline:
                raise TimeoutError("not every device was welcomed")
            for device in self.devices.values():
                if not device.welcomed and device.sent_at < time.monotonic() - self._patience_s:
                    self._say_status(device)
                    device.sent_at = time.monotonic()
            self._turn(0.05)

    def come_back(self, about: bytes, timeout_s: float = 60.0) -> float:
        """Every device says its status, its description and a report at once, as after an outage.

        Returns the seconds until each is welcomed and its report acknowledged. Raises TimeoutError.
        """
        began = time.monotonic()
        for device in self.devices.values():
            self._say_status(device)
            self._publish(device, "about", about)
            device.sequence = 1
            device.payload = self._message(device, 1)
            device.waits, device.sent_at = True, time.monotonic()
            self._publish(device, "up", device.payload)
            self._turn(0.0)
        while any(device.waits or not device.welcomed for device in self.devices.values()):
            if time.monotonic() - began > timeout_s:
                raise TimeoutError("not every device has come back")
            self._turn(0.01)
        return time.monotonic() - began

    def run(self, until: Callable[[], bool], gap_s: float = 0.0) -> None:
        """Each device sends every `gap_s`, but not before the last is acknowledged, until `until()`."""
        now = time.monotonic()
        for number, device in enumerate(self.devices.values()):
            device.due_at = now + gap_s * number / len(self.devices)
        while not until():
            now = time.monotonic()
            for device in self.devices.values():
                if device.waits:
                    if now - device.sent_at > self._patience_s:
                        self._again(device)
                elif now >= device.due_at:
                    device.sequence += 1
                    device.payload = self._message(device, device.sequence)
                    device.waits, device.due_at = True, now + gap_s
                    device.begun_at = device.sent_at = now
                    self._publish(device, "up", device.payload)
            self._turn(0.002)

    def settle(self, timeout_s: float) -> bool:
        """Send nothing new; returns whether all that is on its way was acknowledged in time."""
        deadline = time.monotonic() + timeout_s
        while any(device.waits for device in self.devices.values()):
            now = time.monotonic()
            if now > deadline:
                return False
            for device in self.devices.values():
                if device.waits and now - device.sent_at > self._patience_s:
                    self._again(device)
            self._turn(0.01)
        return True

    def latencies_s(self) -> list[float]:
        """Return what was measured since the last call, from publish to acknowledgment."""
        found = [latency for device in self.devices.values() for latency in device.latencies_s]
        for device in self.devices.values():
            device.latencies_s = []
        return found

    def _again(self, device: Device) -> None:
        self.resent += 1
        self._say_status(device)
        self._publish(device, "up", device.payload)
        device.sent_at = time.monotonic()

    def _say_status(self, device: Device) -> None:
        self._nonce += 1
        device.nonce = self._nonce
        self._publish(device, "status", wire.encode([wire.VERSION, 1, device.nonce, EPOCH, 0, 0, 1, 1, "0.1.0", 1, 0]))

    def _publish(self, device: Device, kind: str, payload: bytes) -> None:
        self._packet = self._packet % 65535 + 1
        self._put(0x32, _text(f"{ROOT}/{device.name}/{kind}") + self._packet.to_bytes(2, "big") + payload)

    def _put(self, kind: int, body: bytes) -> None:
        self._out.append(kind)
        length = len(body)
        while True:
            length, low = divmod(length, 128)
            self._out.append(low | (0x80 if length else 0))
            if not length:
                break
        self._out += body

    def _turn(self, wait_s: float) -> None:
        """Write what is to be written, take what has come."""
        if self._out:
            self._socket.sendall(self._out)
            self._out.clear()
        if select.select([self._socket], [], [], wait_s)[0]:
            received = self._socket.recv(1 << 18)
            if not received:
                raise ConnectionError("the broker has closed the connection")
            self._in += received
            now = time.monotonic()
            at = 0
            while (end := self._packet_end(at)) is not None:
                if self._in[at] & 0xF0 == 0x30:
                    self._take(bytes(self._in[at:end]), now)
                at = end
            del self._in[:at]

    def _packet_end(self, at: int) -> int | None:
        length = shift = 0
        for place in range(at + 1, min(at + 5, len(self._in))):
            length |= (self._in[place] & 0x7F) << shift
            shift += 7
            if not self._in[place] & 0x80:
                end = place + 1 + length
                return end if end <= len(self._in) else None
        return None

    def _take(self, packet: bytes, now: float) -> None:
        at = 2 if packet[1] < 0x80 else 3
        size = int.from_bytes(packet[at : at + 2], "big")
        device = self.devices.get(packet[at + 2 : at + 2 + size].decode().split("/")[1])
        fields = cbor2.loads(packet[at + 2 + size :])
        if device is None or fields[2] not in (device.nonce, 0):  # 0: of a bare consumer, which knows none
            return
        if fields[1] == wire.WELCOME:
            device.welcomed = True
        elif fields[1] == wire.ACK and device.waits and fields[5] == device.sequence:
            device.waits = False
            device.latencies_s.append(now - device.begun_at)


def _text(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()
