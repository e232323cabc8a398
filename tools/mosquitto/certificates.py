"""Certificates for tests and trials: a CA, the broker's, and devices'. All keys are ECDSA P-256: small certificates,
so that what a handshake costs in bytes and in the device's heap stays small, too."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FROM = datetime(2026, 1, 1, tzinfo=timezone.utc)
UNTIL = datetime(2046, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str) -> None:
        """As NAME.pem and NAME.key, the key for its owner only."""
        (directory / f"{name}.pem").write_bytes(self.certificate)
        (directory / f"{name}.key").touch(mode=0o600)
        (directory / f"{name}.key").write_bytes(self.key)


class Authority:
    """Signs certificates. `pem` is what a unit's config names as its broker's `ca`."""

    def __init__(self, name: str = "Wearmeter trial CA", begins: datetime = FROM, ends: datetime = UNTIL) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key.public_key(), begins, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.pem = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def broker(self, hosts: list[str], begins: datetime = FROM, ends: datetime = UNTIL) -> Pair:
        """A certificate for a broker that is reached under each of `hosts`, names or IPv4 addresses."""
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        return self._pair(hosts[0], ExtendedKeyUsageOID.SERVER_AUTH, begins, ends, x509.SubjectAlternativeName(names))

    def device(self, device: str, begins: datetime = FROM, ends: datetime = UNTIL) -> Pair:
        """A certificate that says: this is the device with this id."""
        return self._pair(device, ExtendedKeyUsageOID.CLIENT_AUTH, begins, ends, None)

    def _pair(
        self,
        common_name: str,
        usage: x509.ObjectIdentifier,
        begins: datetime,
        ends: datetime,
        names: x509.SubjectAlternativeName | None,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = self._builder(subject, key.public_key(), begins, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return Pair(
            builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )
