"""The files that make a unit this unit, checked here and packed for the device: its product and its config.

The config is JSON, or a part of it: what is missing is asked for (passwords unseen) or comes from the fleet's list.
Paths in it (`ca`, `client_cert`, `client_key` of the broker) are files in PEM here; the device gets what is in them, in
DER, inside its config, so that they survive whatever the config survives.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tools.provision import pack
from tools.setup import boards

ROOT = Path(__file__).resolve().parents[2]
PRODUCTS = ROOT / "firmware" / "products"
CERTIFICATES = ("ca", "client_cert", "client_key")


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


def product(name: str, board: str) -> pack.Product:
    """A product by its name in firmware/products, or from a file; checked against the board's pins."""
    path = PRODUCTS / f"{name}.json"
    if not path.exists():
        path = Path(name)
    try:
        return pack.read_product(read_json(path), str(path), boards.pins(board))
    except (pack.FileError, boards.BoardError) as error:
        raise ProvisionError(str(error)) from None


def _content(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProvisionError(f"{what}: {path}: {error.strerror}") from None


def _certificate(path: Path, what: str, now: datetime) -> x509.Certificate:
    try:
        found = x509.load_pem_x509_certificates(_content(path, what))
    except ValueError:
        raise ProvisionError(f"{what}: {path}: not a certificate in PEM") from None
    if len(found) > 1:
        raise ProvisionError(f"{what}: {path}: {len(found)} certificates, allowed: one")
    ends = found[0].not_valid_after_utc
    if ends < now:
        raise ProvisionError(f"{what}: {path}: expired on {ends:%Y-%m-%d}")
    return found[0]


def _key(path: Path, what: str, certificate: x509.Certificate | None) -> bytes:
    _outside_the_repository(path)
    try:
        key: Any = serialization.load_pem_private_key(_content(path, what), None)
    except (ValueError, TypeError):
        raise ProvisionError(f"{what}: {path}: not a private key in PEM without a password") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate and key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise ProvisionError(f"{what}: {path}: is not the key of client_cert")
    return bytes(key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))


def config(data: dict[str, Any], where: str, base: Path, now: datetime | None = None) -> bytes:
    """The packed config of a JSON object; the files it names lie below `base`.

    Raises ProvisionError naming file, field, value (never a secret's) and what is allowed.
    """
    now = now or datetime.now(timezone.utc)
    data = json.loads(json.dumps(data))
    broker = data.get("broker")
    if isinstance(broker, dict):
        certificate = None
        for field in CERTIFICATES:
            named = broker.get(field)
            if not isinstance(named, str):
                continue
            what = f"{where}: broker: {field}"
            if field == "client_key":
                broker[field] = _key(base / named, what, certificate)
            else:
                certificate = _certificate(base / named, what, now)
                broker[field] = certificate.public_bytes(Encoding.DER)
        if broker.get("transport", "tls") == "tls" and not broker.get("ca"):
            raise ProvisionError(f"{where}: broker: ca is missing, allowed: the file of the broker's CA, in PEM")
    try:
        return pack.pack_config(pack.read_config(data, where))
    except pack.FileError as error:
        raise ProvisionError(str(error)) from None
