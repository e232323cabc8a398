"""The real mpremote deploys to the virtual board on a pseudo-terminal: the old firmware or the new one, never half."""

from __future__ import annotations

import binascii
import hashlib
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host_tests.unit_for_tests import PRODUCT, ROOT, config
from tools.deploy import calibrate, crash, inspect, slots
from tools.deploy.device import Device, DeviceError
from tools.setup import firmware
from tools.simulator import counts, flash_image
from tools.simulator.real_board import PASSWORD, SSID, RealBoard
from tools.simulator.vacuum import packed_files

PORT = "/dev/does-not-exist"
NEW_MARK = b"mark = 1\n"


def bare(folder: Path) -> RealBoard:
    """Bare MicroPython with a product and a config."""
    files = packed_files(json.loads(PRODUCT.read_text()), config(wifi={"ssid": SSID, "password": PASSWORD}))
    flash_image.make(folder / "flash.bin", files, 1024 * 1024)
    return RealBoard(folder / "flash.bin", folder / "tty")


@pytest.fixture(scope="module")
def deployed_flash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flash of a board that has been deployed to once: /fw_a runs."""
    with bare(tmp_path_factory.mktemp("deployed")) as board:
        time.sleep(0.5)
        assert deploy(board).slot == "fw_a"
    return board.flash


@pytest.fixture
def board(tmp_path: Path, deployed_flash: Path) -> Iterator[RealBoard]:
    """A board of its own with that flash, plugged in, the firmware running."""
    shutil.copy(deployed_flash, tmp_path / "flash.bin")
    with RealBoard(tmp_path / "flash.bin", tmp_path / "tty") as plugged:
        assert plugged.wait_for("wm boot", 20)
        yield plugged


def run(board: RealBoard, *arguments: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.deploy", arguments[0], "--port", str(board.link), *arguments[1:]]
    return subprocess.run(command, cwd=ROOT, input=typed, capture_output=True, text=True, timeout=120, check=False)


def deploy(board: RealBoard) -> slots.Deployed:
    return slots.deploy(Device(str(board.link)), "virtual", lambda line: None)


def slot_of(board: RealBoard) -> str:
    return (flash_image.read_file(board.flash, "slot") or b" ").split()[0].decode()


def altered(monkeypatch: pytest.MonkeyPatch, name: str, content: bytes) -> None:
    """From here on the firmware to deploy has this file, too."""
    real = slots.image
    monkeypatch.setattr(slots, "image", lambda board: firmware.with_sums({**real(board), name: content}))


def test_from_bare_micropython_to_counting(tmp_path: Path) -> None:
    with bare(tmp_path) as board:
        time.sleep(0.5)
        done = run(board, "deploy", "--board", "virtual")
    assert done.returncode == 0, done.stderr
    assert "read back and compared" in done.stdout and "deployed: /fw_a counts" in done.stdout
    assert "wm boot version=" in done.stdout


def test_only_what_changed_is_copied_and_counters_and_config_stay(
    board: RealBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = deploy(board)
    assert (again.slot, again.copied, again.cloned) == ("fw_a", 0, 0)

    before = inspect.status(Device(str(board.link)))
    altered(monkeypatch, "note.py", NEW_MARK)
    changed = deploy(board)
    assert changed.slot == "fw_b" and changed.copied == 2, "the file and sums"
    after = inspect.status(Device(str(board.link)))
    assert after["epoch"] == before["epoch"], "the counters were lost"
    assert b"SN-1" in (flash_image.read_file(board.flash, "unit/a/config") or b"")


def test_status_monitor_and_erase_counters(board: RealBoard) -> None:
    status = run(board, "status")
    assert status.returncode == 0, status.stderr
    for word in (
        "firmware 0.",
        "epoch ",
        "part 1: used 0.000 h, generation 1",
        "queue: ",
        "in /fw_a",
        "safe mode: no",
        "a power cut costs at most ",
        "link: offline",
        "faults: none",
        "heap: ",
    ):
        assert word in status.stdout, status.stdout
    assert PASSWORD not in status.stdout
    # The monitor sends nothing, and finds a port again that went away.
    command = [sys.executable, "-m", "tools.deploy", "monitor", "--port", str(board.link), "--seconds", "30"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert " wm " in watching.stdout.readline()
        board.unplug()
        board.plug_in()
        assert any(" wm " in line for line in watching.stdout)
        watching.kill()

    assert counts.read(board.flash, [1, 2]) is not None
    refused = run(board, "erase-counters", typed="yes\n")
    assert refused.returncode == 1 and "nothing was erased" in refused.stderr
    epoch = inspect.status(Device(str(board.link)))["epoch"]
    erased = run(board, "erase-counters", typed="ERASE\n")
    assert erased.returncode == 0 and "nvs:counts" in erased.stdout
    assert inspect.status(Device(str(board.link)))["epoch"] not in (None, epoch)
    assert flash_image.read_file(board.flash, "unit/a/product") is not None


def test_asking_for_the_status_restarts_nothing_and_the_link_goes_on(board: RealBoard) -> None:
    device = Device(str(board.link))
    first = inspect.status(device)
    time.sleep(2)
    second = inspect.status(device)
    assert board.boots == 1 and second["uptime_s"] > first["uptime_s"]
    assert second["link"][2] >= first["link"][2] and second["epoch"] == first["epoch"]
    before = len(board.console)
    assert board.wait_for("wm link state=", 20, since=before), "the loop does not go on"


def test_the_status_comes_over_a_socket_too(board: RealBoard) -> None:
    with Bridge(board.port) as bridge:
        assert inspect.status(Device(bridge.url))["parts"] == [[1, 0, 0, 1], [2, 0, 0, 1]]


class Bridge:
    """A terminal as socket://, as a serial server on the network gives it."""

    def __init__(self, port: str) -> None:
        self._terminal = os.open(port, os.O_RDWR | os.O_NOCTTY)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._server.getsockname()[1]}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Bridge:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._server.close()
        os.close(self._terminal)

    def _serve(self) -> None:
        client: socket.socket | None = None
        while not self._over.is_set():
            watched: list[Any] = [client or self._server, self._terminal]
            ready, _, _ = select.select(watched, [], [], 0.05)
            if self._server in ready:
                client, _ = self._server.accept()
            if self._terminal in ready:
                data = os.read(self._terminal, 4096)
                if client:
                    client.sendall(data)
            if client and client in ready:
                data = client.recv(4096)
                if data:
                    os.write(self._terminal, data)
                else:
                    client.close()
                    client = None


def test_a_deploy_ends_safe_mode(board: RealBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    board.unplug()
    record, guard = counts.pure("flash.record"), counts.pure("device.guard")
    payload = struct.pack(guard._HEAD, 1, 1, 0, 3) + b"loop: an old crash"
    frame = struct.pack("<BBI", 0x57, record.FORMAT, 1) + payload
    flash_image.write_file(board.flash, "state/a/crash", frame + struct.pack("<I", binascii.crc32(frame)))
    board.plug_in()
    assert board.wait_for("safe=1", 20)
    altered(monkeypatch, "note.py", NEW_MARK)
    assert "safe=0" in deploy(board).line


def test_a_crash_is_told_by_the_sources_file_and_line() -> None:
    bundle = "wm_count"
    lines = json.loads((firmware.BUILD / "bundles" / "lines.json").read_text())[bundle]
    number, (path, line, _) = next((at, there) for at, there in lines.items() if there[2] == "apply")
    source = (firmware.ROOT / "firmware" / path).read_text().splitlines()
    assert "def apply(self, event)" in source[line - 1]
    told = f'File "{bundle}.py", line {number}, in acosh\nValueError: x'
    sums = firmware.slot_files("virtual")["sums"].decode()
    assert crash.located(told, sums).splitlines()[0] == f'File "firmware/{path}", line {line}, in apply'
    assert "another build" in crash.located(told, "")


@pytest.mark.parametrize("moment", ["asked", "copying", "copied", "read back"])
def test_a_cable_pulled_at_any_moment_leaves_the_old_firmware_or_the_new(
    board: RealBoard, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    old = slots_on(board)["fw_a"]
    # A new version with one big file more.
    altered(monkeypatch, "big.bin", os.urandom(60_000))
    pulled = threading.Event()

    def pull(after_s: float) -> None:
        def later() -> None:
            time.sleep(after_s)
            board.unplug()
            pulled.set()

        threading.Thread(target=later, daemon=True).start()

    def tell(line: str) -> None:
        if (
            moment == "asked"
            and line.startswith("MicroPython")
            or moment in ("copying", "copied")
            and "to copy" in line
            or moment == "read back"
            and "compared" in line
        ):
            pull({"asked": 0.05, "copying": 1.0, "copied": 2.5, "read back": 0.15}[moment])

    try:
        slots.deploy(Device(str(board.link)), "virtual", tell)
    except DeviceError:
        pass
    assert pulled.wait(10)
    board.plug_in()
    assert board.wait_for("wm boot", 20)
    chosen = slot_of(board)
    assert chosen in ("fw_a", "fw_b")
    if chosen == "fw_a":
        assert slots_on(board)["fw_a"] == old
    else:
        assert "big.bin" in slots_on(board)["fw_b"]
    # And the next try goes through.
    time.sleep(0.5)
    assert deploy(board).line.startswith("wm boot")
    assert slot_of(board) == "fw_b"


def slots_on(board: RealBoard) -> dict[str, dict[str, str]]:
    """What is in each slot, read from the image."""
    found: dict[str, dict[str, str]] = {}
    for slot in ("fw_a", "fw_b"):
        found[slot] = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in flash_image.read_tree(board.flash, slot).items()
        }
    return found


def test_a_new_firmware_that_does_not_count_is_taken_back(board: RealBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "BOOT_S", 6.0)
    real = slots.image
    broken = b"def start(*arguments):\n    print('wm stopped broken')\n"

    def image(board: str) -> dict[str, bytes]:
        kept = {name: data for name, data in real(board).items() if name != "wm_start.mpy"}
        return firmware.with_sums({**kept, "wm_start.py": broken})

    monkeypatch.setattr(slots, "image", image)
    with pytest.raises(DeviceError, match="does not count.*/fw_a, the firmware before, runs again"):
        deploy(board)
    assert slot_of(board) == "fw_a"
    assert inspect.status(Device(str(board.link)))["parts"]


def test_what_could_not_run_is_refused_before_anything_is_written(board: RealBoard) -> None:
    wrong = run(board, "deploy", "--board", "esp32_s3")
    assert wrong.returncode == 1 and "BOARD=esp32_s3 is made for ESP32S3" in wrong.stderr
    unknown = run(board, "deploy", "--board", "toaster")
    assert unknown.returncode == 1 and "there is no such board" in unknown.stderr
    assert slots_on(board)["fw_b"] == slots_on(board)["fw_a"]
    for about, words in (
        (["micropython", [1, 24, 1], 6, "esp32", "x with ESP32"], "1.25 or newer"),
        (["micropython", [1, 25, 0], 5, "esp32", "x with ESP32"], "version 5"),
        (["circuitpython", [9, 0, 0], 6, "esp32", "x with ESP32"], "circuitpython"),
        (["micropython", [1, 28, 0], 6, "esp32", "x with ESP32C3"], "made for ESP32;"),
        (["micropython", [1, 28, 0], 6, "rp2", "Pico"], "made for ESP32;"),
    ):
        with pytest.raises(DeviceError, match=words):
            slots.check("esp32_generic", list(about))
    slots.check("esp32_generic", ["micropython", [1, 25, 0], 6, "esp32", "Generic ESP32 module with ESP32"])


@pytest.mark.parametrize(("driver", "quiet", "loud"), [("mains", 0, 400), ("current", 400, 30000)])
def test_calibration_measures_at_rest_and_running(
    tmp_path: Path, deployed_flash: Path, driver: str, quiet: int, loud: int
) -> None:
    shutil.copy(deployed_flash, tmp_path / "flash.bin")
    kind, more = ("mains", [50]) if driver == "mains" else ("adc", [])
    session = {"events": [[0, kind, 34, quiet, *more]]}
    with RealBoard(tmp_path / "flash.bin", tmp_path / "tty", session=session) as board:
        assert board.wait_for("wm boot", 20)
        device = Device(str(board.link))

        def answer(question: str) -> str:
            if "on" in question.split(",")[0].split():
                board.unplug()
                board.overrides["events"] = [[0, kind, 34, loud, *more]]
                board.plug_in()
                assert board.wait_for("wm boot", 20, since=0)
                time.sleep(1)
            return ""

        said: list[str] = []
        found = calibrate.calibrate(device, "motor_current", driver, said.append, answer)
    on, off = found.values()
    assert quiet < off < on < loud
    assert 0.35 * loud < on < 0.45 * loud, (found, said)
    with pytest.raises(DeviceError, match="too close to rest"):
        calibrate.thresholds(30, 50, driver)


def test_without_a_board_one_line_says_so() -> None:
    with pytest.raises(DeviceError, match="no such port"):
        Device(PORT).ask("print(1)")
