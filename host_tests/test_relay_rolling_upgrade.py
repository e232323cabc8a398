"""Two versions of the relay at once, under load: the newer migrates with data and writes states that the older leaves.

The newer one is this relay with what a next version might bring: a state with one more field, and one more migration.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from tools.bench_relay.processes import ROOT, Missing, Mosquitto, RelayProcess
from tools.bench_relay.swarm import EPOCH, Device, Swarm
from tools.relay.core import state
from tools.relay.store import migrations, schema
from tools.relay.store.store import Store
from tools.relay.testing import report

if TYPE_CHECKING:
    from tools.relay.store.stores_for_tests import Cluster

pytest_plugins = ["tools.relay.store.stores_for_tests"]

DEVICES = 41  # odd: a broker that deals messages out in turn then gives each device to both relays

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "9999_next"
down_revision = "{head}"


def upgrade() -> None:
    op.add_column("devices", sa.Column("messages", sa.BigInteger(), nullable=True))
    op.execute("UPDATE devices SET messages = (SELECT count(*) FROM messages m WHERE m.device = devices.device)")
"""

NEWER = """
import json, signal, sys
from alembic.script import ScriptDirectory
from tools.relay.core import state
from tools.relay.store import migrations
dump, load = state.dump, state.load
def newer_dump(epoch):
    fields = json.loads(dump(epoch))
    return json.dumps([state.VERSION + 1, *fields[1:], "a field of the next version"])
def newer_load(stored):
    fields = json.loads(stored)
    return load(json.dumps([state.VERSION, *fields[1:-1]]) if fields[0] > state.VERSION else stored)
state.dump, state.load = newer_dump, newer_load
config, head, known = migrations._scripts()
config.set_main_option("path_separator", "os")
config.set_main_option("version_locations", sys.argv[1])
migrations._scripts = lambda: (config, "9999_next", known)
from tools.relay import logs
from tools.relay.service import Relay
from tools.relay.settings import load as settings
logs.configure()
relay = Relay(settings())
relay.start()
signal.sigwait([signal.SIGTERM])
relay.stop()
"""


class Newer(RelayProcess):
    """A relay of the next version, with the migration in `folder`."""

    def __init__(self, log: Path, folder: Path, **settings: object) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
        environment |= {f"RELAY_{name.upper()}": str(value) for name, value in settings.items()}
        versions = Path(migrations.__file__).parent / "versions"
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", NEWER, f"{versions}{os.pathsep}{folder}"], cwd=ROOT, env=environment,
                stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    try:
        running = Mosquitto(tmp_path)
    except Missing as error:
        pytest.skip(str(error))
    yield running
    running.stop()


def message(device: Device, sequence: int) -> bytes:
    return report(sequence, sequence, 1, sequence, at=int(time.time()), epoch=EPOCH)


def test_a_rolling_upgrade_under_load_loses_nothing_and_carries_its_data(
    broker: Mosquitto, postgresql: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "next").mkdir()
    (tmp_path / "next" / "9999_next.py").write_text(MIGRATION.format(head=migrations._scripts()[1]))
    url = postgresql.url()
    settings: dict[str, Any] = {"broker": f"127.0.0.1:{broker.port}", "store": url, "shared_group": "relays"}
    older = RelayProcess(tmp_path / "older.log", **settings)
    older.wait_connected()
    swarm = Swarm(broker.port, [f"unit{number:02}" for number in range(DEVICES)], message, patience_s=1.0)
    newer = None
    try:
        swarm.come_online()
        run(swarm, 2)
        newer = Newer(tmp_path / "newer.log", tmp_path / "next", **settings)
        swarm.run(newer.connected, 0.1)
        run(swarm, 4)
        assert older.process.poll() is None, (tmp_path / "older.log").read_text()[-2000:]
        older.kill()
        run(swarm, 2)
        assert swarm.settle(30)
    finally:
        swarm.close()
        for relay in (older, newer):
            if relay is not None:
                relay.kill()
    sent = {name: device.sequence for name, device in swarm.devices.items()}
    store = Store(url, time.time)
    held = {name: store.count(schema.messages, device=name) for name in sent}
    versions = {json.loads(row.state)[0] for row in store.rows(schema.epochs)}
    asides = store.rows(schema.quarantine)
    with store.begin() as connection:
        carried = connection.execute(text("SELECT min(messages), count(messages) FROM devices")).one()
    store.close()
    assert (held, versions, asides) == (sent, {state.VERSION + 1}, [])
    assert carried[0] > 0 and carried[1] == len(sent)
    assert "left to a newer relay" in (tmp_path / "older.log").read_text()


def run(swarm: Swarm, seconds: float) -> None:
    until = time.monotonic() + seconds
    swarm.run(lambda: time.monotonic() >= until, 0.1)
