"""Keys and Diffie-Hellman parameters: everything a person can hand over is read or named (oauth.md §3)."""

from __future__ import annotations

import base64
import shutil
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ibtui.auth import keys
from ibtui.errors import UsageError
from tests.unit.auth.oauth_tools import DHPARAM, ENCRYPTION, KEYS, SIGNATURE, other_key, vector

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")


def numbers(pem: str | bytes) -> int:
    return keys.read_private_key(pem).private_numbers().public_numbers.n


MANGLED = {
    "as it is": lambda pem: pem,
    "CRLF": lambda pem: pem.replace("\n", "\r\n"),
    "BOM": lambda pem: "\ufeff" + pem,
    "BOM in bytes": lambda pem: b"\xef\xbb\xbf" + pem.encode(),
    "UTF-16 of a Windows editor": lambda pem: pem.encode("utf-16"),
    "blanks around it": lambda pem: f"\n\n   {pem}  \n\t\n",
    "blanks before each line": lambda pem: "\n".join(f"    {row}" for row in pem.splitlines()),
    "one line": lambda pem: pem.replace("\n", " "),
    "backslash n, as in variables": lambda pem: pem.replace("\n", "\\n"),
    "a text before it": lambda pem: f"Key in use since May:\n{pem}",
}


@pytest.mark.parametrize("how", MANGLED)
@pytest.mark.parametrize("pem", [SIGNATURE, ENCRYPTION], ids=["PKCS#1", "PKCS#8"])
def test_a_private_key_is_read_however_it_came(how: str, pem: str) -> None:
    assert numbers(MANGLED[how](pem)) == numbers(pem)


@pytest.mark.parametrize("how", MANGLED)
def test_dh_parameters_are_read_however_they_came(how: str) -> None:
    assert keys.read_dh(MANGLED[how](DHPARAM)) == (int(KEYS["dh_prime_hex"], 16), 2)


def test_what_is_written_is_what_was_there() -> None:
    private = keys.read_private_key(ENCRYPTION)
    assert keys.private_pem(private) == ENCRYPTION
    assert keys.public_pem(private) == KEYS["encryption_public_pem"]
    prime, generator = keys.read_dh(DHPARAM)
    assert keys.dh_pem(prime, generator) == DHPARAM
    wanted = vector("dhparam-pem")["expected"]
    assert (f"{prime:x}", generator) == (wanted["prime_hex"].removeprefix("00"), wanted["generator"])


def test_new_keys_are_read_again_and_differ() -> None:
    one, two = keys.make_key(), keys.make_key()
    assert one.key_size == 2048
    assert numbers(keys.private_pem(one)) == one.private_numbers().public_numbers.n
    keys.check_pair(one, keys.read_public_key(keys.public_pem(one)), "signing")
    keys.check_differ(one, two)
    assert keys.fingerprint(one) != keys.fingerprint(two)
    assert keys.fingerprint(one) == keys.fingerprint(one.public_key())
    assert len(keys.fingerprint(one)) == len(keys.prime_fingerprint(23)) == 39


def refused(call: object, *words: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        call()  # type: ignore[operator]
    text = str(caught.value)
    assert all(word in text for word in words), text
    assert "BEGIN RSA" not in text
    assert not any(line in text for line in (SIGNATURE + ENCRYPTION + DHPARAM).splitlines() if len(line) > 40)
    assert caught.value.fix
    return caught.value


def ec_key() -> str:
    form = serialization.PrivateFormat.PKCS8
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def locked(form: serialization.PrivateFormat) -> str:
    key = keys.read_private_key(SIGNATURE)
    seal = serialization.BestAvailableEncryption(b"pass")
    return key.private_bytes(serialization.Encoding.PEM, form, seal).decode()


WRONG_PRIVATE = {
    "the public one": (lambda: KEYS["signature_public_pem"], "a public key", "private file"),
    "parameters": (lambda: DHPARAM, "Diffie-Hellman parameters"),
    "1024 bits": (lambda: other_key(1024), "1024 bits", "2048"),
    "empty": (lambda: " \r\n", "is empty"),
    "no PEM": (lambda: "hello", "no PEM file"),
    "DER": (lambda: b"\x30\x82\x04\xa4\x02\x01\x00\x02\x82\x01\x01\x00\xd8", "no text"),
    "cut off": (lambda: SIGNATURE[:900], "cut off"),
    "a lost line": (
        lambda: "\n".join(row for n, row in enumerate(SIGNATURE.split("\n")) if n != 5),
        "damaged",
    ),
    "a lost character": (lambda: SIGNATURE.replace("A", "", 1).replace("A", "", 2), "PEM"),
    "no base64": (lambda: SIGNATURE.replace("Q", "*"), "damaged"),
    "elliptic": (ec_key, "no RSA key"),
    "locked": (lambda: locked(serialization.PrivateFormat.PKCS8), "passphrase", "openssl pkey"),
    "locked, old form": (lambda: locked(serialization.PrivateFormat.TraditionalOpenSSL), "passphrase"),
    "for ssh": (lambda: "ssh-rsa AAAAB3NzaC1yc2E me@home", "a key for SSH"),
    "certificate": (lambda: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "a certificate"),
}


@pytest.mark.parametrize("what", WRONG_PRIVATE)
def test_what_is_no_private_key_is_named(what: str) -> None:
    make, *words = WRONG_PRIVATE[what]
    refused(lambda: keys.read_private_key(make(), "private signing key"), "private signing key", *words[:0])
    if what != "a lost character":
        refused(lambda: keys.read_private_key(make(), "private signing key"), *words)


def test_a_changed_digit_inside_a_key_is_seen() -> None:
    der = bytearray(base64.b64decode("".join(ENCRYPTION.splitlines()[1:-1])))
    for at in range(60, len(der) - 4, 97):
        spoilt = bytes(it ^ (at == place) for place, it in enumerate(der))
        text = base64.b64encode(spoilt).decode()
        with pytest.raises(UsageError):
            keys.read_private_key(f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")


def test_a_private_file_where_the_public_is_wanted_is_the_classic_mistake() -> None:
    for pem in (SIGNATURE, ENCRYPTION):
        refused(lambda pem=pem: keys.read_public_key(pem), "a private key", "Never upload it")
    refused(lambda: keys.read_public_key(DHPARAM), "Diffie-Hellman")
    refused(lambda: keys.read_public_key(KEYS["signature_public_pem"].replace("M", "")), "damaged")
    assert keys.read_public_key(KEYS["signature_public_pem"].replace("\n", "\r\n")).key_size == 2048


def test_a_public_key_of_another_kind_or_size_is_named() -> None:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    refused(
        lambda: keys.read_public_key(elliptic.public_bytes(serialization.Encoding.PEM, form)), "no RSA key"
    )
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    refused(lambda: keys.read_public_key(keys.public_pem(small)), "1024 bits")


def test_keys_that_do_not_belong_together() -> None:
    signature, encryption = keys.read_private_key(SIGNATURE), keys.read_private_key(ENCRYPTION)
    keys.check_differ(signature, encryption)
    refused(lambda: keys.check_differ(signature, keys.read_private_key(SIGNATURE)), "the same key")
    public = keys.read_public_key(KEYS["encryption_public_pem"])
    keys.check_pair(encryption, public, "encryption")
    refused(lambda: keys.check_pair(signature, public, "signing"), "does not belong")


def der(*integers: bytes) -> str:
    body = b"".join(b"\x02\x82" + len(it).to_bytes(2) + it for it in integers)
    whole = b"\x30\x82" + len(body).to_bytes(2) + body
    return f"-----BEGIN DH PARAMETERS-----\n{base64.b64encode(whole).decode()}\n-----END DH PARAMETERS-----\n"


PRIME = int(KEYS["dh_prime_hex"], 16)


def test_a_prime_without_its_sign_byte_is_caught() -> None:
    refused(lambda: keys.read_dh(der(PRIME.to_bytes(256), b"\2")), "negative", "sign byte")
    refused(lambda: keys.parse_prime(f"-{PRIME:x}"), "negative")


def test_a_third_integer_is_passed_over_and_other_generators_refused() -> None:
    whole = PRIME.to_bytes(257)
    assert keys.read_dh(der(whole, b"\2", b"\1\0")) == (PRIME, 2)
    refused(lambda: keys.read_dh(der(whole, b"\5")), "generator is 5")
    refused(lambda: keys.read_dh(der(whole[:200], b"\2")), "1592 bits")
    refused(lambda: keys.read_dh(der(whole)), "damaged")
    refused(lambda: keys.read_dh(der()), "damaged")
    refused(lambda: keys.read_dh(SIGNATURE), "a private key", "dhparam.pem")
    refused(lambda: keys.read_dh(DHPARAM.replace("DH PARAM", "X9.42 DH PARAM")), "X9.42")


@pytest.mark.parametrize("form", ["{}", "0x{}", " 00{}\n", "{upper}", "{colons}", "\ufeff{}"])
def test_a_prime_in_hex_is_read_in_every_form(form: str) -> None:
    hexed = f"{PRIME:x}"
    colons = ":".join(hexed[at : at + 2] for at in range(0, 512, 2))
    assert keys.parse_prime(form.format(hexed, upper=hexed.upper(), colons=colons)) == PRIME


def test_a_prime_that_is_none_is_named() -> None:
    hexed = f"{PRIME:x}"
    refused(lambda: keys.parse_prime("prime"), "hexadecimal")
    refused(lambda: keys.parse_prime(""), "hexadecimal")
    refused(lambda: keys.parse_prime(hexed[2:]), "2039 bits", "lost in copying")
    refused(lambda: keys.parse_prime(hexed[:256]), "1024 bits")
    refused(lambda: keys.check_prime(int(hexed[:-1] + "d", 16)), "not a safe prime")
    refused(lambda: keys.check_prime(PRIME - 1), "not a safe prime")


def test_the_check_of_a_prime_is_quick_enough_for_typing() -> None:
    began = time.monotonic()
    keys.check_prime(PRIME)
    assert time.monotonic() - began < 3


def test_miller_and_rabin_know_primes_from_others() -> None:
    primes = (101, 65537, 2**127 - 1)
    others = (561 * 1, 10**6, 341, 2**128 + 1, 1373653)
    assert all(keys.probably_prime(it) for it in primes)
    assert not any(keys.probably_prime(it) for it in others)


@needs_openssl
def test_files_of_openssl_are_read_and_ours_are_read_by_it() -> None:
    def openssl(*words: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            ["openssl", *words], input=stdin, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    new = openssl("genrsa", "2048")
    old = openssl("rsa", "-traditional", stdin=new)
    assert "BEGIN RSA PRIVATE KEY" in old
    assert numbers(new) == numbers(old)
    assert keys.public_pem(keys.read_private_key(new)) == openssl("rsa", "-pubout", stdin=new)
    text = openssl("dhparam", "-noout", "-text", stdin=keys.dh_pem(PRIME))
    assert "2048 bit" in text
