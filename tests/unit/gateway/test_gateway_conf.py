from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from ibtui.errors import GatewayFault, UsageError
from ibtui.gateway.conf import RunFolder, logback_text, write, write_log_settings
from tests.unit.gateway.gateway_tools import mode

NOW = datetime(2026, 4, 24, tzinfo=UTC)


def lines(folder: RunFolder) -> dict[str, str]:
    pairs = (line.partition(": ") for line in folder.conf.read_text().splitlines())
    return {key.strip(): value for key, _, value in pairs}


def test_everything_is_private(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert write(folder, 5001, now=NOW) == folder.certificate
    assert mode(folder.path) == 0o700
    names = {path.name: mode(path) for path in folder.path.iterdir()}
    assert names == dict.fromkeys(
        ("conf.yaml", "logback.xml", "gateway.key", "gateway.pem", "gateway.p12"), 0o600
    )


def test_configuration(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    write(
        folder,
        5001,
        proxy_host="http://127.0.0.1:6000",
        proxy_ssl=False,
        allow=("127.0.0.1", "172.17.*"),
    )
    text = folder.conf.read_text()
    got = lines(folder)
    assert got["listenPort"] == "5001" and got["listenSsl"] == "true"
    assert got["sslCert"] == f'"{folder.store}"'
    assert got["proxyRemoteHost"] == '"http://127.0.0.1:6000"' and got["proxyRemoteSsl"] == "false"
    assert got["portalBaseURL"] == '""'
    # Both lists, or every address passes (login.md 9.7).
    assert 'ips:\n  allow:\n    - "127.0.0.1"\n    - "172.17.*"\n  deny: []\n' in text
    assert 'ip2loc: "US"\nauthDelay: 3000\n' in text
    assert 'origin.allowed: "https://(localhost|127\\\\.0\\\\.0\\\\.1):' in text and "webApps" not in text


def test_plain_http(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert write(folder, 5001, tls=False) is None
    assert lines(folder)["listenSsl"] == "false" and not folder.key.exists()


def test_key_is_kept_and_password_is_new(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    write(folder, 5001, now=NOW)
    first = folder.certificate.read_bytes(), lines(folder)["sslPwd"]
    write(folder, 5001, now=NOW + timedelta(days=700))
    assert folder.certificate.read_bytes() == first[0]
    assert lines(folder)["sslPwd"] != first[1]
    password = lines(folder)["sslPwd"].strip('"').encode()
    key, certificate, _ = pkcs12.load_key_and_certificates(folder.store.read_bytes(), password)
    assert key is not None and certificate == x509.load_pem_x509_certificate(first[0])


@pytest.mark.parametrize("damage", ["expiry", "rubbish", "other key", "missing"])
def test_certificate_is_renewed_when_it_must_be(tmp_path: Path, damage: str) -> None:
    folder, other = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "other")
    write(folder, 5001, now=NOW)
    write(other, 5001, now=NOW)
    before, later = folder.certificate.read_bytes(), NOW
    if damage == "expiry":
        later = NOW + timedelta(days=771)
    elif damage == "rubbish":
        folder.key.write_text("rubbish")
    elif damage == "other key":
        folder.key.write_bytes(other.key.read_bytes())
    else:
        folder.certificate.unlink()
    write(folder, 5001, now=later)
    assert folder.certificate.read_bytes() != before


def test_certificate_is_for_this_machine_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    write(folder, 5001, now=NOW)
    certificate = x509.load_pem_x509_certificate(folder.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert {str(ip) for ip in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1"}
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert timedelta(days=795) < certificate.not_valid_after_utc - NOW < timedelta(days=825)


def test_foreign_key_kind_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    folder = RunFolder(tmp_path / "run")
    write(folder, 5001, now=NOW)
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=900))
    pem = serialization.Encoding.PEM
    folder.certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    folder.key.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with pytest.raises(GatewayFault, match="not our key"):
        write(folder, 5001, now=NOW)


def test_log_settings(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / 'a & "b" <c>')
    tree = ET.fromstring(logback_text(folder))
    assert tree.find("root").get("level") == "WARN"  # type: ignore[union-attr]
    assert tree.findtext("appender/file") == str(folder.log)
    off = {x.get("name"): x.get("level") for x in tree.findall("logger")}
    assert off == {
        "HttpMessageLogger": "OFF",
        "ibgroup.web.core.clientportal.gw.core.CookieManager": "OFF",
    }


def test_leftovers_of_a_killed_gateway_go(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    (folder.path / ".vertx" / "file-cache-1").mkdir(parents=True)
    write(folder, 5001)
    assert not (folder.path / ".vertx").exists()


def test_wrong_words(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(UsageError, match="70000 is not a port"):
        write(folder, 70000)
    with pytest.raises(UsageError, match="'everybody' is not an IPv4 address"):
        write(folder, 5001, allow=("everybody",))


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = RunFolder(tmp_path / "file" / "run")
    with pytest.raises(GatewayFault, match="cannot be written"):
        write(folder, 5001)
    with pytest.raises(GatewayFault, match="cannot be written"):
        write_log_settings(folder)
