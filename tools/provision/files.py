"""The files that make a unit this unit, checked with the device's own code before anything is written.

The config is JSON as /config.json on the device, or a part of it: what is missing is asked for (passwords unseen) or
comes from the fleet's list. Paths in it (`ca`, `client_cert`, `client_key` of the broker) are files here; on the device
they become /ca.pem, /client.pem and /client.key.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tools.deploy import on_host
from tools.simulator import timeline
from tools.simulator.scenario import ROOT

PRODUCTS = ROOT / "firmware" / "products"
PLACES = {"ca": "ca.pem", "client_cert": "client.pem", "client_key": "client.key"}


class ProvisionError(Exception):
    """A unit cannot be provisioned; one line, without secrets."""


def _outside_the_repository(path: Path) -> None:
    resolved = path.resolve()
    if resolved.is_relative_to(ROOT) and not resolved.is_relative_to(ROOT / "build"):
        raise ProvisionError(f"{path}: holds secrets, and lies in the repository; keep it elsewhere")


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file. Raises ProvisionError, which shows nothing of what is in it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProvisionError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise ProvisionError(f"{path}: not valid JSON") from None
    if not isinstance(data, dict):
        raise ProvisionError(f"{path}: not a JSON object")
    return data


def read_config(path: Path) -> dict[str, Any]:
    """A config, from a file that must not lie in the repository."""
    _outside_the_repository(path)
    return read_json(path)


def product(name: str, board: str) -> dict[str, Any]:
    """A product by its name in firmware/products, or from a file; checked against the board's pins."""
    path = PRODUCTS / f"{name}.json"
    if not path.exists():
        path = Path(name)
    data = read_json(path)
    signals = timeline.pins(ROOT / "boards" / board / "board.py")
    try:
        on_host.module("product").Product(data, str(path), signals)
    except on_host.module("checked").FileError as error:
        raise ProvisionError(str(error)) from None
    return data


def _certificate(path: Path, what: str, now: datetime) -> tuple[bytes, x509.Certificate]:
    try:
        text = path.read_bytes()
        found = x509.load_pem_x509_certificates(text)
    except OSError as error:
        raise ProvisionError(f"{what}: {path}: {error.strerror}") from None
    except ValueError:
        raise ProvisionError(f"{what}: {path}: not a certificate in PEM") from None
    ends = found[0].not_valid_after_utc
    if ends < now:
        raise ProvisionError(f"{what}: {path}: expired on {ends:%Y-%m-%d}")
    return text, found[0]


def files(config: dict[str, Any], where: str, base: Path, now: datetime | None = None) -> dict[str, bytes]:
    """The device's files for a config: config.json and the certificates it names, by their path on the device.

    Raises ProvisionError naming file, field, value (never a secret's) and what is allowed.
    """
    now = now or datetime.now(timezone.utc)
    config = json.loads(json.dumps(config))
    broker = config.get("broker")
    found: dict[str, bytes] = {}
    if isinstance(broker, dict):
        certificate = None
        for field, place in PLACES.items():
            named = broker.get(field)
            if not isinstance(named, str):
                continue
            path = base / named
            if field == "client_key":
                _outside_the_repository(path)
                try:
                    text = path.read_bytes()
                    key: Any = serialization.load_pem_private_key(text, None)
                except OSError as error:
                    raise ProvisionError(f"{where}: broker: {field}: {path}: {error.strerror}") from None
                except (ValueError, TypeError):
                    raise ProvisionError(
                        f"{where}: broker: {field}: {path}: not a private key in PEM without a password"
                    ) from None
                form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                if certificate and key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
                    raise ProvisionError(f"{where}: broker: {field}: {path}: is not the key of client_cert")
            else:
                text, certificate = _certificate(path, f"{where}: broker: {field}", now)
            found[place] = text
            broker[field] = "/" + place
        if broker.get("transport", "tls") == "tls" and "ca.pem" not in found:
            raise ProvisionError(f"{where}: broker: ca is missing, allowed: the file of the broker's CA, in PEM")
    try:
        on_host.module("config").Config(config, where)
    except on_host.module("checked").FileError as error:
        raise ProvisionError(str(error)) from None
    found["config.json"] = compact(config)
    return found


def compact(data: dict[str, Any]) -> bytes:
    """JSON as it goes to the device."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
