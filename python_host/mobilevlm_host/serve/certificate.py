"""A certificate that this machine signs for itself: cameras work on pages from elsewhere only by HTTPS."""

from __future__ import annotations

import ipaddress
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mobilevlm_export.files.cache import cache_folder

_VALID = timedelta(days=365)  # Safari refuses more than 825
_RENEWED = timedelta(days=7)  # before its end


def own_certificate(host: str) -> tuple[Path, Path]:
    """The files of a certificate and its key for this machine's names and addresses, and ``host``. They are kept in the kit's cache, so
    that a phone which has accepted the certificate accepts it again; a new pair is made when it ends, or doesn't have all names.
    """
    folder = cache_folder("serve")
    names, certificate, key = _names(host), folder / "certificate.pem", folder / "key.pem"
    if not (key.is_file() and _covers(certificate, names)):
        folder.mkdir(parents=True, exist_ok=True)
        _make(names, certificate, key)
    return certificate, key


def fingerprint(certificate: Path) -> str:
    """SHA-256 of the certificate, as browsers show it."""
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    return loaded.fingerprint(hashes.SHA256()).hex(":").upper()


def lan_address() -> str | None:
    """This machine's address in the local network, None without one. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation: only the route is looked up
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _names(host: str) -> set[str]:
    own = socket.gethostname().lower()
    names = {"localhost", "127.0.0.1", "::1", own, f"{own}.local", host, lan_address() or "127.0.0.1"}
    return names - {"0.0.0.0", "::", ""}


def _covers(certificate: Path, names: set[str]) -> bool:
    try:
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
        covered = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return loaded.not_valid_after_utc - _RENEWED > datetime.now(UTC) and {str(name.value) for name in covered} >= names


def _make(names: set[str], certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mvlm serve")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in sorted(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _replace(key, pem)
    _replace(certificate, made.public_bytes(serialization.Encoding.PEM))


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _replace(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` for this user's eyes only, whole or not at all."""
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    temporary.rename(path)
