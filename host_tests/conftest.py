"""Fixtures every test may use: free ports, a broker, the compiled firmware, MicroPython."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tools.demo.broker import EmbeddedBroker
from tools.setup import firmware as firmware_build
from tools.setup import micropython as micropython_setup
from tools.setup import umqtt

ROOT = Path(__file__).resolve().parents[1]

# A failing example is printed with what replays it; a slow machine is no failure.
hypothesis.settings.register_profile("wearmeter", print_blob=True, deadline=None)
hypothesis.settings.load_profile("wearmeter")


def pytest_report_header(config: pytest.Config) -> str:
    seed = config.getoption("hypothesis_seed", None)
    return f"hypothesis seed: {'drawn by each test' if seed is None else f'{seed} (make test HYPOTHESIS_SEED={seed})'}"


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the repository."""
    return ROOT


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that returns a loopback TCP port nobody listens on, another one at each call."""
    given: set[int] = set()

    def find() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
            if port not in given:
                given.add(port)
                return port

    return find


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A running MQTT broker of this test's own: `broker.port` on 127.0.0.1."""
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture(scope="session")
def firmware() -> Path:
    """build/mpy, up to date: what the device's file system holds besides the unit's own files."""
    umqtt.fetch()
    firmware_build.build()
    return firmware_build.OUT


@pytest.fixture(scope="session")
def micropython() -> str:
    """Path of the MicroPython that runs device code on this machine."""
    return micropython_setup.find()
