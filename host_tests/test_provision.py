"""A unit gets its files checked and written without a secret being seen; a fleet becomes images that boot."""

from __future__ import annotations

import base64
import csv
import json
import struct
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from host_tests.unit_for_tests import PRODUCT, ROOT, Unit, clean
from tools.deploy import inspect, slots
from tools.deploy.device import Device, DeviceError
from tools.provision import factory, files, unit
from tools.provision.files import ProvisionError
from tools.setup import boards
from tools.simulator import counts, flash_image
from tools.simulator.real_board import PASSWORD, SSID, RealBoard
from tools.simulator.testing import WIFI

SECRET = "correct horse battery"
NOW = datetime.now(timezone.utc)


def certificate(folder: Path, name: str, days: int = 30) -> None:
    """name.pem and name.key, self-signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=60))
        .not_valid_after(NOW + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def tls_config(**broker: Any) -> dict[str, Any]:
    return {
        "schema": 2,
        "wifi": {"ssid": "Home", "password": SECRET},
        "broker": {"host": "mqtt.example", "ca": "ca.pem", "user": "unit", "password": SECRET, **broker},
        "serial": "SN-1",
    }


def test_certificates_and_key_become_der_in_the_config(tmp_path: Path) -> None:
    for name in ("ca", "unit", "other"):
        certificate(tmp_path, name)
    config = tls_config(client_cert="unit.pem", client_key="unit.key")
    ca, client_cert, client_key = cbor2.loads(files.config(config, "unit.json", tmp_path))[6]
    for name, found in (("ca", ca), ("unit", client_cert)):
        pem = (tmp_path / f"{name}.pem").read_bytes()
        assert found == x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    key = serialization.load_der_private_key(client_key, None)
    assert key.public_key() == x509.load_der_x509_certificate(client_cert).public_key()
    with pytest.raises(ProvisionError, match="client_key: .*is not the key of client_cert"):
        files.config(tls_config(client_cert="unit.pem", client_key="other.key"), "unit.json", tmp_path)


def test_each_mistake_is_named_with_file_field_value_and_what_is_allowed(tmp_path: Path) -> None:
    certificate(tmp_path, "ca")
    certificate(tmp_path, "old", days=-1)
    (tmp_path / "no.pem").write_text("hello")

    def refused(config: dict[str, Any]) -> str:
        with pytest.raises(ProvisionError) as caught:
            files.config(config, "unit.json", tmp_path)
        line = str(caught.value)
        assert "unit.json" in line and "\n" not in line and SECRET not in line, line
        return line

    assert "no.pem: not a certificate" in refused(tls_config(ca="no.pem"))
    assert "expired on" in refused(tls_config(ca="old.pem"))
    assert "No such file" in refused(tls_config(ca="nowhere.pem"))
    assert "port is 0, allowed: a whole number from 1 to 65535" in refused(tls_config(port=0))
    without_ca = tls_config()
    del without_ca["broker"]["ca"]
    assert "ca is missing" in refused(without_ca)
    assert "transport is \"none\", allowed: 'tls', 'psk' or 'plain'" in refused(tls_config(transport="none"))
    short = {**tls_config(), "wifi": {"ssid": "Home", "password": "short"}}
    assert "(secret)" in refused(short) and "short" not in refused(short)
    assert "passwort is unknown" in refused({**tls_config(), "passwort": SECRET})
    assert "wifi is missing" in refused({key: value for key, value in tls_config().items() if key != "wifi"})


def test_a_psk_is_an_identity_and_16_to_32_bytes_and_needs_no_ca(tmp_path: Path) -> None:
    broker = {"host": "mqtt.example", "transport": "psk", "psk_identity": "unit-1", "psk_key": "0f" * 32}
    config = {"schema": 2, "wifi": {"ssid": "Home", "password": SECRET}, "broker": broker, "serial": "SN-1"}
    made = cbor2.loads(files.config(config, "unit.json", tmp_path))
    assert made[5][1:3] == [8883, "psk"] and made[7] == ["unit-1", b"\x0f" * 32]
    for wrong in ({"psk_key": "0f" * 8}, {"psk_key": "keykeykeykeykeykeykeykeykeykeykey!"}, {"psk_key": None}):
        with pytest.raises(ProvisionError) as caught:
            files.config({**config, "broker": {**broker, **wrong}}, "unit.json", tmp_path)
        assert "psk_" in str(caught.value) and "keykey" not in str(caught.value)


def test_what_the_trial_broker_prints_is_what_provisioning_takes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.mosquitto", str(tmp_path / "broker"), "--device", "unit-1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    entries = [line for line in done.stdout.splitlines() if line.startswith('  "broker": ')]
    assert len(entries) == 3, done.stdout
    for entry in entries:
        config = {"schema": 2, "wifi": {"ssid": "Home", "password": SECRET}, **json.loads("{" + entry + "}")}
        made = cbor2.loads(files.config({**config, "serial": "SN-1"}, "unit.json", tmp_path))
        assert made[2] == "unit-1"
    ports = [json.loads("{" + entry + "}")["broker"]["port"] for entry in entries]
    conf = (tmp_path / "broker" / "mosquitto.conf").read_text()
    assert all(f"listener {port} " in conf for port in ports) and "@" not in conf.replace("@...", "")


def test_a_product_is_checked_against_the_boards_pins(tmp_path: Path) -> None:
    for board in boards.names():
        for name in ("vacuum", "vacuum_current"):
            files.product(name, board)
    data = json.loads(PRODUCT.read_text())
    data["inputs"][0]["signal"] = "turbine"
    (tmp_path / "p.json").write_text(json.dumps(data))
    with pytest.raises(ProvisionError, match='inputs.0.: signal is "turbine", allowed: .*suction_motor'):
        files.product(str(tmp_path / "p.json"), "esp32_c3")


def test_secrets_in_the_repository_are_refused() -> None:
    with pytest.raises(ProvisionError, match="lies in the repository"):
        files.read_config(ROOT / "firmware" / "products" / "vacuum.json")
    with pytest.raises(ProvisionError, match="lies in the repository"):
        factory.units(ROOT / "units.csv")


def test_what_a_config_lacks_is_asked_for_and_passwords_unseen() -> None:
    seen: list[str] = []
    secret: list[str] = []

    def ask(question: str) -> str:
        seen.append(question)
        return "answer"

    def ask_secret(question: str) -> str:
        secret.append(question)
        return SECRET

    made = unit.complete({"broker": {"user": "u", "transport": "plain"}}, ask, ask_secret)
    assert made["wifi"] == {"ssid": "answer", "password": SECRET} and made["broker"]["password"] == SECRET
    assert len(secret) == 2 and len(seen) == 3
    assert unit.complete(json.loads(json.dumps(made)), ask, ask_secret) == made and len(secret) == 2


def test_one_unit_from_bare_board_to_sealed_without_a_secret_in_ps_or_output(tmp_path: Path) -> None:
    flash_image.make(tmp_path / "flash.bin", {}, 1024 * 1024)
    config = {
        "schema": 2,
        "wifi": {"ssid": SSID, "password": PASSWORD},
        "broker": {"host": "127.0.0.1", "port": 9, "transport": "plain", "user": "unit", "password": SECRET},
        "serial": "SN-7",
        "device": "unit-7",
    }
    (tmp_path / "unit.json").write_text(json.dumps(config))
    # The factory's test run: both motors for the first five seconds.
    session = {"events": [[0, "pin", 4, 1], [0, "pin", 5, 1], [6000, "pin", 4, 0], [6000, "pin", 5, 0]]}
    arguments: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    arguments.add(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
                except OSError:
                    pass  # It has ended.
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with RealBoard(tmp_path / "flash.bin", tmp_path / "tty", session=session) as board:
            time.sleep(0.5)
            command = [sys.executable, "-m", "tools.provision", "unit", "--port", str(board.link)]
            done = subprocess.run(
                [*command, "--board", "virtual", "--config", str(tmp_path / "unit.json")],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert "written: " in done.stdout and "make deploy" in done.stdout
            slots.deploy(Device(str(board.link)), "virtual", lambda line: None)
            time.sleep(7)
            device = Device(str(board.link))
            told: list[str] = []
            board.overrides["events"] = []  # the motors rest from the next start on
            report = unit.seal(device, told.append)
            assert report["device"] == "unit-7" and "sealed: unit-7" in told[0]
            assert all(4000 <= ms <= 7000 for ms in report["tested_ms"].values()), report
            # From here on the prompt answers nobody, until a button is held while the power comes on.
            before, boots = len(board.console), board.boots
            for ask in (inspect.status, lambda port: slots.deploy(port, "virtual", told.append)):
                with pytest.raises(DeviceError, match="this unit is sealed .*hold any of its buttons while you power"):
                    ask(device)
            seen = bytes(board.console[before:])
            assert b"wm sealed=1 version=" in seen and b">>>" not in seen and b"raw REPL" not in seen, seen
            assert board.boots == boots and b"Traceback" not in seen, "it went on all the while"
            board.unplug()
            board.overrides["events"] = [[0, "pin", 18, 0]]
            board.plug_in()
            time.sleep(3)
            assert inspect.status(device)["parts"] == [[1, 0, 0, 1], [2, 0, 0, 1]]
            console = bytes(board.console)
    finally:
        over.set()
        watcher.join()
    counted = counts.read(tmp_path / "flash.bin", [1, 2])
    assert counted is not None and counted[0].lifetime_ms == 0
    assert SECRET.encode() in (flash_image.read_file(tmp_path / "flash.bin", "unit/a/config") or b"")
    for secret in (SECRET, PASSWORD):
        assert secret not in done.stdout + done.stderr
        assert not [line for line in arguments if secret in line]
    # mpremote sends the file through the terminal; what the board prints must not echo it.
    assert SECRET.encode() not in console


def nvs_entries(image: bytes) -> dict[str, list[str]]:
    """The blobs of an NVS partition (ESP-IDF: pages of 4 KiB, 126 entries of 32 bytes), as the virtual board's file."""
    names: dict[int, str] = {}
    blobs: dict[tuple[int, str], dict[int, bytes]] = {}
    for page in range(0, len(image), 4096):
        if image[page : page + 4] == b"\xff" * 4:
            continue
        at = 0
        while at < 126:
            start = page + 64 + 32 * at
            state = image[page + 32 + at // 4] >> (at % 4 * 2) & 3
            space, kind, span, chunk = image[start : start + 4]
            if state != 2:
                at += 1
                continue
            key = image[start + 8 : start + 24].rstrip(b"\0").decode()
            if space == 0:
                names[image[start + 24]] = key
            elif kind == 0x42:
                size = struct.unpack_from("<H", image, start + 24)[0]
                blobs.setdefault((space, key), {})[chunk] = image[start + 32 : start + 32 + size]
            at += max(1, span)
    return {
        f"{names[space]}/{key}": ["blob", base64.b64encode(b"".join(parts[n] for n in sorted(parts))).decode()]
        for (space, key), parts in blobs.items()
    }


def test_a_fleet_becomes_images_that_boot_with_their_own_identity(tmp_path: Path) -> None:
    common = {"wifi": WIFI, "broker": {"host": "127.0.0.1", "port": 9, "transport": "plain"}, "topic_root": "maker"}
    (tmp_path / "common.json").write_text(json.dumps(common))
    (tmp_path / "units.csv").write_text(
        f"serial,device,broker_user,broker_password\nVPM1-0001,unit-1,u1,{SECRET}1\nVPM1-0002,,u2,{SECRET}2\n"
    )
    out = tmp_path / "out"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tools.provision", "factory", "--board", "virtual", "--out", str(out)),
            *("--fleet", str(tmp_path / "units.csv"), "--config", str(tmp_path / "common.json")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 units in" in done.stdout
    with open(out / "report.csv") as file:
        report = list(csv.DictReader(file))
    assert [(row["serial"], row["device"]) for row in report] == [
        ("VPM1-0001", "unit-1"),
        ("VPM1-0002", "VPM1-0002"),
    ]
    script = (out / "flash.sh").read_text()
    for text in (done.stdout, script, (out / "report.csv").read_text(), (out / "VPM1-0001" / "label.svg").read_text()):
        assert SECRET not in text
    assert "<svg" in (out / "VPM1-0001" / "label.svg").read_text()
    assert (out / "VPM1-0001" / "vfs.bin").stat().st_mode & 0o077 == 0
    for row in report:
        booted = Unit(tmp_path / row["serial"])
        image = out / row["serial"]
        booted.board.flash.write_bytes((image / "vfs.bin").read_bytes())
        entries = nvs_entries((image / "nvs.bin").read_bytes())
        assert sorted(entries) == ["wearmeter/config", "wearmeter/product"]
        (booted.directory / "nvs.json").write_text(json.dumps(entries))
        run = booted.power(40_000, clean(10_000, 30_000))[0]
        assert "wm slot=fw_a" in run.text
        assert row["device"].encode() in (booted.read("unit/a/config") or b"")
        assert 19_000 <= booted.counted()[0].lifetime_ms <= 20_000
        # Both also stand in NVS: the unit counts and goes online when its files are gone.
        for path in ("unit/a/config", "unit/b/config", "unit/a/product", "unit/b/product"):
            booted.write(path, b"")
        run = booted.power(60_000, clean(10_000, 30_000))[0]
        assert "wm link state=" in run.text
        assert 38_000 <= booted.counted()[0].lifetime_ms <= 40_000


def test_mistakes_in_a_fleets_list_are_named_before_anything_is_written(tmp_path: Path) -> None:
    def refused(text: str) -> str:
        (tmp_path / "units.csv").write_text(text)
        with pytest.raises(ProvisionError) as caught:
            factory.units(tmp_path / "units.csv")
        return str(caught.value)

    assert "line 1: colour is unknown" in refused("serial,colour\n")
    assert "line 1: serial is missing" in refused("device\n")
    assert "has no units" in refused("serial\n")
    assert "line 3: serial is 'a b', allowed" in refused("serial\nA1\na b\n")
    assert "line 3: serial A1 is that of line 2" in refused("serial\nA1\nA1\n")
    assert "line 2: has not as many columns" in refused("serial,device\nA1\n")


def test_a_label_carries_serial_device_and_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    real = factory.segno.make

    def make(text: str, **options: Any) -> Any:
        said.append(text)
        return real(text, **options)

    monkeypatch.setattr(factory.segno, "make", make)
    factory.label({"serial": "SN-1", "device": "unit-1"}, "VPM1", tmp_path / "label.svg")
    assert said == ["WEARMETER:VPM1;SN:SN-1;ID:unit-1"]
