"""The edge to the broker: topics in, topics out, and a connection that is made again for ever, with growing pauses.

An arriving message is acknowledged to the broker only when its `done` is called, that is after the commit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tools.relay import logs
from tools.relay.intake.edge import KINDS, Arrival, arrival
from tools.relay.settings import Settings

log = logs.logger(__name__)


class MqttEdge:
    """An edge (see edge.py) on an MQTT broker. Raises ValueError for an address that is not HOST:PORT."""

    def __init__(self, settings: Settings, on_arrival: Callable[[Arrival], None]) -> None:
        self.root = settings.topic_root
        self.address = settings.broker
        host, _, port = settings.broker.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"broker {settings.broker!r} is not HOST:PORT")
        self._host, self._port = host.strip("[]"), int(port)
        self.on_arrival = on_arrival
        self.connected = False
        shared = settings.shared_group
        self._prefix = f"$share/{shared}/" if shared else ""
        self._complained = False
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            protocol=paho.MQTTv5 if shared else paho.MQTTv311,
            manual_ack=True,
            reconnect_on_failure=True,
        )
        if settings.broker_user is not None:
            self._client.username_pw_set(settings.broker_user, settings.broker_password)
        if settings.broker_ca is not None:
            self._client.tls_set(ca_certs=settings.broker_ca)
        self._client.reconnect_delay_set(min_delay=1, max_delay=60)
        self._client.max_inflight_messages_set(1000)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Connect in the background."""
        self._client.connect_async(self._host, self._port, keepalive=30)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect; returns when the network's thread has ended."""
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, device: str, payload: bytes) -> None:
        """Publish on the device's down topic. A device that is away does not get it: its next status asks again.

        At QoS 0: what is lost with a connection to the broker is said again, as what a device did not get is.
        """
        self._client.publish(f"{self.root}/{device}/down", payload, qos=0)

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._complain(str(reason))
            return
        self._complained = False
        self.connected = True
        log.info("connected to the broker", broker=self.address)
        client.subscribe([(f"{self._prefix}{self.root}/+/{kind}", 1) for kind in KINDS])

    def _on_connect_fail(self, client: Any, userdata: Any) -> None:
        self._complain("no answer")

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self.connected and reason.is_failure:
            log.warning("lost the broker, connecting again", broker=self.address, reason=str(reason))
        self.connected = False

    def _complain(self, why: str) -> None:
        if not self._complained:
            log.warning("no broker, trying again with growing pauses up to a minute", broker=self.address, reason=why)
        self._complained = True

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        def done() -> None:
            client.ack(message.mid, message.qos)

        self.on_arrival(arrival(self.root, message.topic, message.payload, done))
