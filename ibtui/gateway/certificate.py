"""The gateway's own key and certificate, kept in its run folder (login.md §9.7).

Apart from `conf`, because a look at a gateway needs no cryptography and that is slow to import.
"""

from __future__ import annotations

import ipaddress
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ibtui.errors import GatewayFault
from ibtui.paths import write_private

if TYPE_CHECKING:
    from ibtui.gateway.conf import RunFolder

LIFETIME = timedelta(days=800)
"""Under the 825 days that browsers accept."""
RENEW_BEFORE = timedelta(days=30)


def make_certificate(now: datetime) -> tuple[bytes, bytes]:
    """A new key and self-signed certificate for this machine, both PEM.

    Not a CA, so that whoever trusts it trusts this one certificate and nothing it could sign.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ibtui gateway")])
    public = key.public_key()
    alternatives: list[x509.GeneralName] = [x509.DNSName("localhost")]
    alternatives += [x509.IPAddress(ipaddress.ip_address(a)) for a in ("127.0.0.1", "::1")]
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, certificate.public_bytes(Encoding.PEM)


def key_store(folder: RunFolder, now: datetime) -> str:
    """Write the PKCS#12 from the kept key, with a new password, which is returned."""
    pair = _kept(folder, now)
    if pair is None:
        pair = make_certificate(now)
        write_private(folder.key, pair[0])
        write_private(folder.certificate, pair[1])
    key = load_pem_private_key(pair[0], None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise GatewayFault(f"{folder.key} is not our key.", f"Delete {folder.key} and start again.")
    password = secrets.token_urlsafe(24)
    # Java 8 before u301 reads no other encryption than this one; what protects the key
    # is the folder (0700), for the password stands in conf.yaml beside it.
    weak = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(10_000)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(password.encode())
    )
    certificate = x509.load_pem_x509_certificate(pair[1])
    blob = pkcs12.serialize_key_and_certificates(b"gateway", key, certificate, None, weak)
    write_private(folder.store, blob)
    return password


def _kept(folder: RunFolder, now: datetime) -> tuple[bytes, bytes] | None:
    """Key and certificate of an earlier run, unless missing, damaged, not a pair or soon to expire."""
    try:
        pair = folder.key.read_bytes(), folder.certificate.read_bytes()
        key = load_pem_private_key(pair[0], None)
        certificate = x509.load_pem_x509_certificate(pair[1])
    except (OSError, ValueError, TypeError):
        return None
    if key.public_key() != certificate.public_key():
        return None
    return pair if certificate.not_valid_after_utc > now + RENEW_BEFORE else None
