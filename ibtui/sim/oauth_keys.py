"""Who may come without a gateway: consumers, access tokens, OAuth 2.0 clients (oauth.md §2, §4, §11, §12).

The keys of the built-in registrations are TEST-ONLY, published with this program, and always the
same ones: to make them would cost every start some seconds. Names, tokens and secrets come from
the seed.
"""

from __future__ import annotations

import base64
import json
import math
import random
import secrets
import string
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ibtui.errors import UsageError
from ibtui.sim.seam import User
from ibtui.sim.sessions import Life
from ibtui.sim.tls import write_private

REALM = "limited_poa"
TEST_CONSUMER, TEST_REALM = "TESTCONS", "test_realm"
_DATA = Path(__file__).with_name("oauth_test_keys.json")


Nonces = dict[tuple[int, str], None]
"""Pairs of timestamp and nonce that were used, oldest first."""


@dataclass(slots=True)
class Lst:
    """A live session token as the server keeps it."""

    key: bytes
    """Its 20 bytes."""
    expires: float
    """Simulated clock."""


@dataclass(slots=True)
class Token:
    """An access token: permanent, belongs to one consumer and one user (oauth.md §2)."""

    value: str
    user: User
    secret: bytes | None
    """The plain secret; None when the server has lost it (oauth.md §9 'No access secret key found')."""
    cipher: str
    """The secret encrypted with the public encryption key, base64: what the portal shows."""
    lsts: deque[Lst] = field(default_factory=lambda: deque(maxlen=2))
    life: Life | None = None
    nonces: Nonces = field(default_factory=dict)


@dataclass(slots=True)
class Consumer:
    """A registration of the self-service portal."""

    key: str
    user: User
    signature: rsa.RSAPublicKey
    encryption: rsa.RSAPublicKey
    prime: int
    realm: str = REALM
    generator: int = 2
    active_from: float = 0.0
    """Simulated clock; until then `invalid consumer`. Infinity: not before it is told so."""
    enabled: bool = True
    tokens: dict[str, Token] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    """Request tokens of the third-party flow and their verifiers, empty until authorized (oauth.md §10)."""
    authorized: dict[str, User] = field(default_factory=dict)
    """Who said yes to a request token."""
    nonces: Nonces = field(default_factory=dict)
    """Of requests without a token."""

    def generate_token(self, user: User, rng: random.Random) -> Token:
        """The portal's *Generate Token*: a lasting name, each time another secret (oauth.md §2 step 5)."""
        name = next((one.value for one in self.tokens.values() if one.user is user), "")
        secret = rng.randbytes(32)
        token = Token(name or rng.randbytes(10).hex(), user, secret, _encrypt(secret, self.encryption, rng))
        self.tokens[token.value] = token
        return token


@dataclass(slots=True)
class Client:
    """An OAuth 2.0 registration (oauth.md §11)."""

    client_id: str
    keys: dict[str, rsa.RSAPublicKey]
    """Public keys by key id."""
    users: dict[str, User]
    """Who may be acted for, by user name in lower case."""


@dataclass(slots=True)
class Registry:
    """All registrations of one simulator."""

    consumers: dict[str, Consumer] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)

    def token(self, value: str) -> tuple[Consumer, Token] | None:
        """The access token of this name and its consumer."""
        for consumer in self.consumers.values():
            if value in consumer.tokens:
                return consumer, consumer.tokens[value]
        return None


def default_registry(users: list[User], seed: int) -> Registry:
    """One consumer for the first user; one client for the second, or the first if there is but one."""
    registry = Registry()
    if not users:
        return registry
    data, rng = _data(), random.Random(f"oauth {seed}")
    consumer = Consumer(
        key="".join(rng.choices(string.ascii_uppercase, k=9)),
        user=users[0],
        signature=_public(data["public_signature"]),
        encryption=_public(data["public_encryption"]),
        prime=read_dh(data["dhparam"])[0],
    )
    consumer.generate_token(users[0], rng)
    registry.consumers[consumer.key] = consumer
    acted_for = users[1] if len(users) > 1 else users[0]
    client = Client(
        client_id=f"sim-{rng.randbytes(6).hex()}",
        keys={"main": _public(data["public_oauth2"])},
        users={acted_for.username.lower(): acted_for},
    )
    registry.clients[client.client_id] = client
    return registry


def write_ready(registry: Registry, folder: Path) -> dict[str, Any]:
    """Write what a client of the built-in registrations needs.

    Gives `oauth1` and `oauth2` of the ready object.
    Beside `oauth1.json` (oauth.md §4.1) lie the five files that a person makes for the portal, under
    their usual names, and the key of OAuth 2.0. All 0600. Raises OSError.
    """
    if not registry.consumers:
        return {"oauth1": None, "oauth2": None}
    data = _data()
    for name in ("private_signature", "public_signature", "private_encryption", "public_encryption"):
        write_private(folder / f"{name}.pem", data[name].encode())
    write_private(folder / "dhparam.pem", data["dhparam"].encode())
    consumer = next(iter(registry.consumers.values()))
    token = next(iter(consumer.tokens.values()))
    file = {
        "realm": consumer.realm,
        "dhPrime": f"{consumer.prime:x}",
        "consumerKey": consumer.key,
        "accessToken": token.value,
        "accessTokenSecret": token.cipher,
        "signature": data["private_signature"],
        "encryption": data["private_encryption"],
    }
    write_private(folder / "oauth1.json", json.dumps(file).encode())
    key_file = folder / "private_oauth2.pem"
    write_private(key_file, data["private_oauth2"].encode())
    client = next(iter(registry.clients.values()))
    return {
        "oauth1": str(folder / "oauth1.json"),
        "oauth2": {
            "client_id": client.client_id,
            "key_id": next(iter(client.keys)),
            "credential": next(iter(client.users.values())).username,
            "private_key": str(key_file),
        },
    }


def uploaded_key(pem: str, what: str, bits: int = 2048) -> rsa.RSAPublicKey:
    """A public key as the portal takes it: PEM, public, RSA of `bits` bits, lines ending in LF (oauth.md §3).

    Raises UsageError in the portal's words.
    """
    if "\r" in pem or "PRIVATE" in pem:
        raise _failed_to_set(what)
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except ValueError:
        raise _failed_to_set(what) from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < bits:
        raise _failed_to_set(what)
    return key


def uploaded_dh(pem: str) -> int:
    """The prime of Diffie-Hellman parameters as the portal takes them. Raises UsageError."""
    if "\r" in pem:
        raise _failed_to_set("Diffie-Hellman parameters")
    try:
        prime, generator = read_dh(pem)
    except (ValueError, IndexError):
        raise _failed_to_set("Diffie-Hellman parameters") from None
    if prime.bit_length() != 2048 or generator != 2:
        raise _failed_to_set("Diffie-Hellman parameters")
    return prime


def read_dh(pem: str) -> tuple[int, int]:
    """p and g of `BEGIN DH PARAMETERS`: DER, `SEQUENCE { INTEGER p, INTEGER g }` (oauth.md §3).

    Integers are signed there: a prime without its 00 in front comes out negative. Raises ValueError or
    IndexError.
    """
    begin, end = "-----BEGIN DH PARAMETERS-----", "-----END DH PARAMETERS-----"
    if begin not in pem or end not in pem:
        raise ValueError("no DH parameters")
    der = base64.b64decode("".join(pem.partition(begin)[2].partition(end)[0].split()), validate=True)
    inside, _ = _element(der, 0x30)
    prime, rest = _element(inside, 0x02)
    generator, _ = _element(rest, 0x02)
    return int.from_bytes(prime, "big", signed=True), int.from_bytes(generator, "big", signed=True)


def _element(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first element, which must have this tag, and what follows it."""
    if der[0] != tag:
        raise ValueError("another element was expected")
    size, at = der[1], 2
    if size >= 0x80:
        at += size & 0x7F
        size = int.from_bytes(der[2:at], "big")
    if at + size > len(der):
        raise ValueError("cut off")
    return der[at : at + size], der[at + size :]


def fresh_name(letters: int = 20) -> str:
    """A request token or a verifier: hex."""
    return secrets.token_hex(letters // 2)


NEVER = math.inf


def _failed_to_set(what: str) -> UsageError:
    return UsageError(
        f"Failed to set {what} - failed to put consumer info - Request failed with status code 403"
    )


def _public(pem: str) -> rsa.RSAPublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError("the test keys are RSA keys")
    return key


def _encrypt(secret: bytes, key: rsa.RSAPublicKey, rng: random.Random) -> str:
    """RSAES-PKCS1-v1_5, base64; by hand, so that the same seed gives the same text."""
    numbers, size = key.public_numbers(), (key.key_size + 7) // 8
    filler = bytes(rng.randrange(1, 256) for _ in range(size - 3 - len(secret)))
    block = int.from_bytes(b"\0\2" + filler + b"\0" + secret, "big")
    return base64.b64encode(pow(block, numbers.e, numbers.n).to_bytes(size, "big")).decode()


def _data() -> dict[str, str]:
    data: dict[str, str] = json.loads(_DATA.read_text(encoding="ascii"))
    return data
