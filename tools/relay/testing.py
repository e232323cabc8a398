"""Fakes for tests of the relay: a clock that is set, and a device that says on a real broker what it is told to."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

import cbor2
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tools.relay.core import wire

NOW_S = 1782900000  # 2026-07-01T10:00:00Z
EPOCH = 549852673
DUST_FILTER = [
    1,
    "Sensor.DustFilter",
    "suction",
    150,
    None,
    [["en-US", "Dust filter"], ["fr-FR", "Filtre à poussière"]],
]
BRUSH = [2, "Sensor.Brush", "brush", 300, None, [["en-US", "Brush"]]]
ABOUT: list[Any] = [
    wire.VERSION,
    "VPM1",
    "Vacuum Plus",
    "Smart vacuum cleaner",
    "SN-0001",
    "0.1.0",
    [DUST_FILTER, BRUSH],
]


class Clock:
    """Says `now_s` until told otherwise."""

    def __init__(self, now_s: float = NOW_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def report(sequence: int, *totals: int, at: Any = NOW_S, epoch: int = EPOCH, faults: int = 0, merged: int = 0) -> bytes:
    """Return the payload of a report; `totals` are lifetime_s, generation, used_s of consumables 1, 2 and so on."""
    more = [merged] if merged else []
    quads: list[int] = []
    for start in range(0, len(totals), 3):
        quads += [1 + start // 3, *totals[start : start + 3]]
    return wire.encode([wire.VERSION, wire.REPORT, epoch, sequence, at, faults, quads, *more])


def replacement(
    sequence: int, consumable: int, generation: int, lifetime_s: int, used_s: int, at: Any = NOW_S, epoch: int = EPOCH
) -> bytes:
    """Return the payload of a replacement by button."""
    return wire.encode(
        [wire.VERSION, wire.REPLACEMENT, epoch, sequence, at, 0, consumable, generation, lifetime_s, used_s, 0]
    )


class FakeDevice:
    """A device on the broker at 127.0.0.1:`port`. `down` collects what the relay sends it, decoded."""

    def __init__(self, port: int, name: str = "vacuum1", root: str = "wearmeter") -> None:
        self.name = name
        self.root = root
        self.down: list[list[Any]] = []
        self._port = port
        self._changed = threading.Condition()

    def connect(self, nonce: int = 1, epoch: int = EPOCH) -> FakeDevice:
        """Come online as the firmware does: subscribe to down, then say a status whose will is its end."""
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.will_set(self._topic("status"), wire.encode([wire.VERSION, 0, nonce]), qos=1, retain=True)
        subscribed = threading.Event()
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe(self._topic("down"), qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert subscribed.wait(20), "no broker"
        status = [wire.VERSION, 1, nonce, epoch, 0, 0, 3, 1, "0.1.0", 1, 0]
        self.publish("status", wire.encode(status), retain=True)
        return self

    def publish(self, kind: str, payload: bytes, retain: bool = False) -> None:
        """Publish at QoS 1; returns when the broker has it."""
        self._client.publish(self._topic(kind), payload, qos=1, retain=retain).wait_for_publish(20)

    def wait(self, kind: int, count: int = 1, timeout_s: float = 20.0) -> list[list[Any]]:
        """Return the down messages of one kind, once there are `count` of them. Raises AssertionError."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._of(kind)) >= count, timeout_s)
            assert len(self._of(kind)) >= count, f"{count} of kind {kind} expected: {self.down}"
            return self._of(kind)

    def vanish(self) -> None:
        """Lose the connection without a word: the broker publishes the last will."""
        connection: Any = self._client._sock
        connection.shutdown(2)
        self._client.loop_stop()

    def __enter__(self) -> FakeDevice:
        return self.connect()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _of(self, kind: int) -> list[list[Any]]:
        return [message for message in self.down if message[1] == kind]

    def _topic(self, kind: str) -> str:
        return f"{self.root}/{self.name}/{kind}"

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        with self._changed:
            self.down.append(cbor2.loads(message.payload))
            self._changed.notify_all()


def wait_until(condition: Any, timeout_s: float = 20.0) -> bool:
    """Return whether `condition()` comes true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
