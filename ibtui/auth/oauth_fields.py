"""The values of an OAuth 1.0a registration: each checked as it comes, all as one `oauth1.json` (oauth.md §4).

Nothing here sends anything. Errors say what a value is and what to do, never the value.
"""

from __future__ import annotations

import base64
import re
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from ibtui.auth import keys
from ibtui.errors import IbtuiError, UsageError
from ibtui.secret import Secret

TEST_CONSUMER = "TESTCONS"
"""IBKR's own consumer key for trying things; needs another realm and the third-party flow."""
REALM, TEST_REALM = "limited_poa", "test_realm"
SECRET_CHARS = 344
"""Base64 of the 256 bytes that RSA with 2048 bits gives."""
NAMES = {
    "realm": "realm",
    "dh_prime": "dhPrime",
    "consumer_key": "consumerKey",
    "access_token": "accessToken",
    "access_token_secret": "accessTokenSecret",
    "signature": "signature",
    "encryption": "encryption",
}
"""Our names and those of `oauth1.json`, in the order in which the published client writes them."""
_OTHER_NAMES = {"signaturePrivateKey": "signature", "encryptionPrivateKey": "encryption"}
_PORTAL = "Copy it from IBKR's page again."


def make_consumer_key() -> str:
    """Nine random letters A to Z, for a new registration."""
    return "".join(secrets.choice(string.ascii_uppercase) for _ in range(9))


def consumer_key(text: str) -> str:
    """The consumer key in capitals, as IBKR's page stores it (oauth.md §2: in lower case it is never found).

    Raises:
        UsageError: not nine letters (digits are taken: an older source allows them) and not TESTCONS.
    """
    key = _packed(text).upper()
    if key == TEST_CONSUMER or re.fullmatch(r"[A-Z0-9]{9}", key):
        return key
    if re.fullmatch(r"[0-9A-F]{20}", key):
        raise UsageError(
            "That is an access token (20 digits); the consumer key is the nine letters you chose.",
            "IBKR's page shows them under Consumer Key.",
        )
    if re.fullmatch(r"[A-Z0-9]+", key):
        raise UsageError(
            f"The consumer key has nine letters; this has {len(key)}.",
            "IBKR's page shows it under Consumer Key.",
        )
    what = "There is no consumer key." if not key else "A consumer key is letters only, A to Z."
    raise UsageError(what, "Type the nine letters that IBKR's page shows under Consumer Key.")


def access_token(text: str) -> Secret:
    """The access token, unchanged but for blanks around it.

    Raises:
        UsageError: not 20 hexadecimal digits.
    """
    token = _packed(text)
    if re.fullmatch(r"[0-9a-fA-F]{20}", token):
        return Secret(token)
    if len(token) > 40:
        what = "That is too long for an access token; is it the access token secret?"
    elif re.fullmatch(r"[0-9a-fA-F]+", token):
        what = f"The access token has 20 digits; this has {len(token)}."
    elif not token:
        what = "There is no access token."
    else:
        what = "An access token is 20 digits 0 to 9 and a to f; this has other characters in it."
    raise UsageError(what, _PORTAL)


def access_token_secret(text: str) -> Secret:
    """The access token secret as one line; whether it opens is for `open_secret`.

    Raises:
        UsageError: not base64 of 256 bytes, or cut off in copying.
    """
    found = _packed(text)
    if not found:
        raise UsageError("There is no access token secret.", _PORTAL)
    if not re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", found):
        raise UsageError("The access token secret has characters that do not belong into it.", _PORTAL)
    if len(found) == SECRET_CHARS - 2 and not found.endswith("="):
        found += "=="  # lost where a double click stops at the sign
    if len(found) != SECRET_CHARS:
        how = "cut off" if len(found) < SECRET_CHARS else "too long: was it pasted twice?"
        raise UsageError(
            f"The access token secret has {len(found)} characters, it should have {SECRET_CHARS}: {how}"
            + ("." if len(found) < SECRET_CHARS else ""),
            "Copy all of it from IBKR's page; if it is gone there, press Generate Token for a new one.",
        )
    if not found.endswith("=="):
        raise UsageError("The access token secret does not end in ==: it is not the whole text.", _PORTAL)
    return Secret(found)


def open_secret(secret: Secret, encryption: rsa.RSAPrivateKey) -> bytes | None:
    """The secret's plain bytes; None when this key does not open it.

    The block is looked at by hand: `decrypt` of a wrong key returns meaningless bytes instead of
    failing (oauth.md §5.1).
    """
    numbers = encryption.private_numbers()
    n = numbers.public_numbers.n
    size = (n.bit_length() + 7) // 8
    cipher = int.from_bytes(base64.b64decode(secret.reveal()))
    if cipher >= n:
        return None
    first, second = pow(cipher, numbers.dmp1, numbers.p), pow(cipher, numbers.dmq1, numbers.q)
    plain = second + (first - second) * numbers.iqmp % numbers.p * numbers.q
    block = plain.to_bytes(size)
    end = block.find(b"\0", 2)
    return block[end + 1 :] if block[:2] == b"\0\2" and end >= 10 else None


def check_opens(secret: Secret, encryption: rsa.RSAPrivateKey, signature: rsa.RSAPrivateKey | None) -> None:
    """Does the encryption key open the secret? With the signing key at hand, tells swapped keys apart.

    Raises:
        UsageError: it does not.
    """
    if open_secret(secret, encryption) is not None:
        return
    if signature is not None and open_secret(secret, signature) is not None:
        raise UsageError(
            "The two keys are swapped: the signing key opens the access token secret.",
            "On IBKR's page put each public file where it belongs and press Generate Token again, or give"
            " the two private files the other way round.",
        )
    raise UsageError(
        "The access token secret does not belong to this encryption key.",
        "It belongs to the public encryption key that was at IBKR when Generate Token was pressed: upload"
        " this one's public file and generate a new token, or import the key that was used then.",
    )


def realm_of(consumer: str) -> str:
    """`test_realm` for TESTCONS alone."""
    return TEST_REALM if consumer == TEST_CONSUMER else REALM


@dataclass(frozen=True, slots=True)
class OAuth1Fields:
    """The seven fields of `oauth1.json` (oauth.md §4.1); what they say when printed gives nothing away."""

    consumer_key: str
    access_token: Secret
    access_token_secret: Secret
    signature: Secret
    """The private signing key, PEM."""
    encryption: Secret
    """The private encryption key, PEM."""
    dh_prime: str
    """Hex without `0x`."""
    realm: str = REALM

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], where: str = "these OAuth settings") -> OAuth1Fields:
        """From the object of an `oauth1.json`, or the seven fields passed directly; each one is checked by
        itself, and the keys are normalised. Whether they fit together: `problems`.

        Raises:
            UsageError: a field is missing or cannot be what its name says.
        """
        given = {_OTHER_NAMES.get(name, name): value for name, value in data.items()}
        texts: dict[str, str] = {}
        for field, name in NAMES.items():
            value = given.get(name, given.get(field, ""))
            texts[field] = value.reveal() if isinstance(value, Secret) else value
            if not isinstance(texts[field], str):
                raise UsageError(f"In {where}, {name} is not a text.", "It holds text for each field.")
            if not texts[field].strip() and field != "realm":
                raise UsageError(f"In {where}, {name} is missing.", "Make it anew: ibtui oauth configure")
        consumer = consumer_key(texts["consumer_key"])
        return cls(
            consumer_key=consumer,
            access_token=access_token(texts["access_token"]),
            access_token_secret=access_token_secret(texts["access_token_secret"]),
            signature=_normal(texts["signature"], "private signing key"),
            encryption=_normal(texts["encryption"], "private encryption key"),
            dh_prime=prime_text(keys.parse_prime(texts["dh_prime"])),
            realm=_realm(texts["realm"].strip(), consumer),
        )

    @classmethod
    def parse(cls, content: bytes | str, where: str = "oauth1.json") -> OAuth1Fields:
        """From the content of an `oauth1.json`.

        Raises:
            UsageError: no JSON object, or as `from_mapping`.
        """
        raw = content.encode() if isinstance(content, str) else content
        try:
            data = msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"))
        except (msgspec.DecodeError, UnicodeDecodeError):
            data = None
        if not isinstance(data, dict):
            raise UsageError(f"{where} is not a JSON object.", "Make it anew: ibtui oauth configure")
        return cls.from_mapping(data, where)

    def mapping(self) -> dict[str, str]:
        """The fields under the names of `oauth1.json`, in clear: for a file (0600), or for a client."""
        values = {field: getattr(self, field) for field in NAMES}
        return {
            NAMES[field]: value.reveal() if isinstance(value, Secret) else value
            for field, value in values.items()
        }

    def json(self) -> bytes:
        """What the published clients read: one flat object, unindented."""
        return msgspec.json.encode(self.mapping())

    @property
    def prime(self) -> int:
        """The Diffie-Hellman prime."""
        return int(self.dh_prime, 16)

    def signature_key(self) -> rsa.RSAPrivateKey:
        """The signing key, loaded."""
        return keys.read_private_key(self.signature.reveal(), "private signing key")

    def encryption_key(self) -> rsa.RSAPrivateKey:
        """The encryption key, loaded."""
        return keys.read_private_key(self.encryption.reveal(), "private encryption key")


def problems(given: OAuth1Fields) -> list[IbtuiError]:
    """What is wrong with the fields taken together; empty when all fits. Takes some 0.3 s."""
    signature, encryption = given.signature_key(), given.encryption_key()
    checks: tuple[Callable[[], None], ...] = (
        lambda: keys.check_differ(signature, encryption),
        lambda: check_opens(given.access_token_secret, encryption, signature),
        lambda: keys.check_prime(given.prime),
    )
    found: list[IbtuiError] = []
    for check in checks:
        try:
            check()
        except IbtuiError as error:
            found.append(error)
    return found


def prime_text(prime: int) -> str:
    """As `oauth1.json` has it: hex, with the sign byte that openssl prints (514 digits)."""
    return f"00{prime:x}"


def _normal(pem: str, what: str) -> Secret:
    """A private key as we write it; one that is fine stays as it is."""
    key = keys.read_private_key(pem, what)
    clean = pem.strip().replace("\r\n", "\n") + "\n"
    return Secret(clean if clean.isascii() and clean == pem else keys.private_pem(key))


def _realm(given: str, consumer: str) -> str:
    wanted = realm_of(consumer)
    if given and given != wanted:
        raise UsageError(
            f"The realm of the consumer key {consumer} is {wanted}, not what is written there.",
            "test_realm belongs to TESTCONS alone, limited_poa to all others.",
        )
    return wanted


def _packed(text: str) -> str:
    """Without blanks, line ends, quotes around it and what cannot be seen."""
    return re.sub(r"[\s\ufeff\u200b]", "", text).strip("\"'`")


assert {field.name for field in fields(OAuth1Fields)} == set(NAMES)
