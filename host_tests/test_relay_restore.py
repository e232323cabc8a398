"""Backup and restore: a copy made under load is of one moment; what a device says after a restore heals the rest."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from tools.relay.__main__ import cli
from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, EPOCH, NOW_S, Clock, replacement, report
from tools.setup.system_packages import where

pytest_plugins = ["tools.relay.store.stores_for_tests"]
DAY_S = 86400


def relay(url: str, *arguments: Any) -> Result:
    programs = os.pathsep.join([str(Path(where("initdb") or "/").parent), os.environ["PATH"]])
    return CliRunner().invoke(cli, list(map(str, arguments)), env={"RELAY_STORE": url, "PATH": programs})


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, store_url: str, tmp_path: Path) -> str:
    """The URL of a database of the same kind that is empty."""
    if store_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path}/new/relay.sqlite3"
    cluster: Any = request.getfixturevalue("postgresql")
    url: str = cluster.url()
    store = Store(url, Clock())
    with store.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    store.close()
    return url


def say(store: Store, *payloads: bytes) -> list[str]:
    return [found.verdict for found in store.accept([("vacuum1", each, wire.decode_up(each)) for each in payloads])]


def contents(store: Store) -> dict[str, list[Any]]:
    tables = [table for table in schema.metadata.sorted_tables if table.name != "audit"]
    return {table.name: [tuple(row) for row in store.rows(table)] for table in tables}


def test_everything_is_there_again(store_url: str, elsewhere: str, tmp_path: Path) -> None:
    store = Store(store_url, Clock())
    Fleet(store).about("vacuum1", wire.encode(ABOUT))
    say(store, report(1, 100, 1, 100, 50, 1, 50), replacement(2, 1, 2, 100, 100), report(3, 90, 2, 0))
    store.add_command("vacuum1", wire.REPORT_NOW, [])
    held = contents(store)
    store.close()
    file = tmp_path / "relay.backup"
    assert relay(store_url, "backup", file).exit_code == 0
    assert relay(elsewhere, "restore", file).output == f"restored from {file}\n"
    restored = Store(elsewhere, Clock())
    assert contents(restored) == held and held["messages"] and held["quarantine"] and held["queue"]
    (line,) = restored.rows(schema.audit)
    assert line.who.startswith("cli:") and (line.action, line.detail) == ("restore", str(file))
    restored.close()


def test_a_copy_made_under_load_is_of_one_moment(store_url: str, elsewhere: str, tmp_path: Path) -> None:
    store = Store(store_url, Clock())
    stop, said = threading.Event(), threading.Event()

    def load() -> None:
        for sequence in range(1, 20000):
            if stop.is_set():
                return
            say(store, report(sequence, sequence, 1, sequence))
            if sequence == 50:
                said.set()

    thread = threading.Thread(target=load)
    thread.start()
    try:
        assert said.wait(30)
        assert relay(store_url, "backup", tmp_path / "relay.backup").exit_code == 0
        during = store.count(schema.messages)
    finally:
        stop.set()
        thread.join(30)
        store.close()
    assert relay(elsewhere, "restore", tmp_path / "relay.backup").exit_code == 0
    restored = Store(elsewhere, Clock())
    newest = restored.rows(schema.messages)[-1].sequence
    assert 50 <= newest <= during and restored.count(schema.messages) == newest == restored.count(schema.queue)
    assert [row.used_s for row in restored.rows(schema.usage)] == [newest]
    assert restored.counts()["accepted"] == newest
    restored.close()


def test_a_device_that_went_on_after_the_backup_is_heard_and_nothing_is_told_twice(
    store_url: str, elsewhere: str, tmp_path: Path
) -> None:
    """Sequences 2 and 3 were acknowledged by the relay that was lost; the device has let go of them."""
    clock = Clock()
    store = Store(store_url, clock)
    say(store, report(1, 100, 1, 100))
    assert relay(store_url, "backup", tmp_path / "relay.backup").exit_code == 0
    say(store, report(2, 200, 1, 200, at=NOW_S + 1), report(3, 300, 1, 300, at=NOW_S + 2))
    store.close()
    assert relay(elsewhere, "restore", tmp_path / "relay.backup").exit_code == 0
    clock.now_s = NOW_S + DAY_S
    restored = Store(elsewhere, clock)
    welcome = restored.status("vacuum1", wire.Online(5, EPOCH, 0, 0, 3, True, "0.1.0", 4, 0))
    assert welcome is not None and welcome.have_sequence == 1
    assert say(restored, report(1, 100, 1, 100), report(4, 400, 1, 400, at=NOW_S + DAY_S)) == ["duplicate", "accepted"]
    assert [row.usage_s for row in restored.rows(schema.queue)] == [100, 400]
    assert [row.used_s for row in restored.rows(schema.usage)] == [400]
    restored.close()


def test_nothing_is_written_over(store_url: str, tmp_path: Path) -> None:
    file = tmp_path / "relay.backup"
    assert relay(store_url, "backup", file).exit_code == 0
    before = file.read_bytes()
    again = relay(store_url, "backup", file)
    assert again.exit_code == 1 and "is there already" in again.output and file.read_bytes() == before
    onto = relay(store_url, "restore", file)
    assert onto.exit_code == 1 and ("is there already" in onto.output or "is not empty" in onto.output)


@pytest.mark.parametrize("damage", [b"", b"not a database", None])
def test_a_damaged_backup_is_refused_and_leaves_nothing(tmp_path: Path, damage: bytes | None) -> None:
    file = tmp_path / "relay.backup"
    Store(f"sqlite:///{file}", Clock()).close()
    if damage is None:
        raw = bytearray(file.read_bytes())
        raw[4096:8192] = b"\xff" * 4096
        damage = bytes(raw)
    file.write_bytes(damage)
    result = relay(f"sqlite:///{tmp_path}/new.sqlite3", "restore", file)
    assert result.exit_code == 1 and "relay.backup" in result.output
    assert not (tmp_path / "new.sqlite3").exists()


def test_a_password_is_in_no_error(tmp_path: Path) -> None:
    result = relay("postgresql://relay:hidden@127.0.0.1:1/none", "backup", tmp_path / "relay.backup")
    assert result.exit_code == 1 and "hidden" not in result.output and result.output.startswith("Error: ")
    assert not list(tmp_path.iterdir())
