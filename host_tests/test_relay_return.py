"""A relay new to a broker gets what that has kept of every device, under the limits as configured here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import func, select

from tools.mosquitto.broker import Mosquitto, MosquittoError
from tools.mosquitto.certificates import Authority
from tools.relay.core import wire
from tools.relay.service import Relay
from tools.relay.settings import Settings
from tools.relay.store.schema import devices
from tools.relay.testing import ABOUT, EPOCH, wait_until

DEVICES = 5000
PASSWORDS = {"relay": "the relay's password", "loader": "the loader's password"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path / "broker", Authority(), PASSWORDS)
    with (made.directory / "acl").open("a") as acl:
        acl.write("\nuser loader\ntopic write wearmeter/#\n")
    try:
        made.start()
    except MosquittoError as error:
        pytest.skip(str(error))
    yield made
    made.stop()


def keep(broker: Mosquitto) -> None:
    """Have the broker keep a status and an about of each device."""
    loader = paho.Client(CallbackAPIVersion.VERSION2)
    loader.username_pw_set("loader", PASSWORDS["loader"])
    loader.tls_set(str(broker.directory / "ca.pem"))
    loader.connect("127.0.0.1", broker.password_port)
    loader.loop_start()
    about = wire.encode(ABOUT)
    for number in range(DEVICES):
        status = wire.encode([wire.VERSION, 1, number + 1, EPOCH, 0, 0, 3, 1, "0.1.0", 1, 0])
        loader.publish(f"wearmeter/unit{number}/status", status, qos=1, retain=True)  # QoS 1, as devices do
        last = loader.publish(f"wearmeter/unit{number}/about", about, qos=1, retain=True)
        if number % 20 == 19:  # what a client has on its way is limited, too
            last.wait_for_publish(30)
    loader.disconnect()
    loader.loop_stop()


def test_every_retained_status_and_about_arrives_at_a_new_relay(broker: Mosquitto, tmp_path: Path) -> None:
    keep(broker)
    settings = Settings(
        broker=f"127.0.0.1:{broker.password_port}", broker_user="relay", broker_password=PASSWORDS["relay"],
        broker_ca=str(broker.directory / "ca.pem"), store=f"sqlite:///{tmp_path}/relay.sqlite3",
    )  # fmt: skip
    relay = Relay(settings, time.time)
    relay.start()

    def held() -> tuple[int, int]:
        with relay.store.begin() as connection:
            counted = select(func.count(devices.c.nonce), func.count(devices.c.about))
            online, described = connection.execute(counted).one()
            return online, described

    try:
        wait_until(lambda: held() == (DEVICES, DEVICES), 60)
        assert held() == (DEVICES, DEVICES)
    finally:
        relay.stop()
