"""The embedded broker: up at once, on a port of its own, and wiped by a restart."""

from __future__ import annotations

import queue
import socket

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tools.demo.broker import BrokerError, EmbeddedBroker


def retained(port: int, publish: bytes | None = None) -> bytes | None:
    """What a new subscriber gets from the topic within half a second; first publishes something, retained."""
    got: queue.Queue[bytes] = queue.Queue()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda client, userdata, message: got.put(bytes(message.payload))
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        if publish is not None:
            client.publish("a/topic", publish, qos=1, retain=True).wait_for_publish(5)
        client.subscribe("a/topic", 1)
        return got.get(timeout=0.5)
    except queue.Empty:
        return None
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_retained_message_reaches_a_later_subscriber(broker: EmbeddedBroker) -> None:
    assert retained(broker.port, b"here") == b"here"
    assert retained(broker.port) == b"here"


def test_started_again_it_has_the_same_port_and_remembers_nothing(broker: EmbeddedBroker) -> None:
    port = broker.port
    assert retained(port, b"here") == b"here"
    broker.stop()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 1)
    broker.start()
    assert broker.port == port
    assert retained(port) is None


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BrokerError) as caught:
            EmbeddedBroker(taken.getsockname()[1]).start()
    assert "\n" not in str(caught.value)


def test_stopping_twice_does_nothing() -> None:
    broker = EmbeddedBroker().start()
    broker.stop()
    broker.stop()
