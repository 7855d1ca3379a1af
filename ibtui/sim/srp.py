"""The server's side of the password proof (login.md §2), written from the notes alone.

Numbers are `int`; digests are `bytes` of 20; hex is lower case. The client's side lives
elsewhere and shares nothing with this file, so that neither can hide the other's mistake.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import padding, rsa

DEFAULT_N = int(
    "d4c7f8a2b32c11b8fba9581ec4ba4f1b04215642ef7355e37c0fc0443ef756ea"
    "2c6b8eeb755a1c723027663caa265ef785b8ff6a9b35227a52d86633dbdfca43",
    16,
)
DEFAULT_G = 2
# A 768-bit group (RFC 2409 'first Oakley group'), so that a client must initialise twice.
OTHER_N = int(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74"
    "020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437"
    "4fe1356d6d51c245e485b576625e7ec6f44c42e9a63a3620ffffffffffffffff",
    16,
)
OTHER_G = 5


def mb(number: int) -> bytes:
    """Big-endian bytes without leading zero bytes; zero is empty."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def sha1(*parts: bytes) -> bytes:
    """SHA-1 of the parts put together."""
    return hashlib.sha1(b"".join(parts), usedforsecurity=False).digest()


def cut(data: bytes) -> bytes:
    """Without its first byte if that is zero: one byte at most."""
    return data[1:] if data[:1] == b"\0" else data


def number(data: bytes) -> int:
    """Big-endian bytes as a number."""
    return int.from_bytes(data, "big")


@dataclass(frozen=True, slots=True)
class Group:
    """What the server tells about its arithmetic; `short` is `lp` = false (8 characters count)."""

    n: int = DEFAULT_N
    g: int = DEFAULT_G
    proto: str = "6"
    short: bool = False

    def pad(self, value: int) -> bytes:
        """Bytes of `value`, filled on the left to the length of N."""
        return value.to_bytes(len(mb(self.n)), "big")

    def k(self) -> int:
        """The multiplier; raises ValueError for a `proto` the notes do not know."""
        if self.proto == "3":
            return 1
        if self.proto == "6":
            return 3
        if self.proto == "6a":
            return number(sha1(mb(self.n), self.pad(self.g))) % self.n
        raise ValueError(f"unknown proto {self.proto!r}")

    def x(self, salt: int, user: str, password: str) -> int:
        """The password's exponent."""
        if self.short:
            # 8 UTF-16 units, as a browser counts; half a pair becomes the replacement sign.
            password = password.encode("utf-16-le")[:16].decode("utf-16-le", "replace")
        inner = sha1(f"{user.lower()}:{password}".encode())
        return self._below(number(sha1(mb(salt), inner)))

    def u(self, a_public: int, b_public: int) -> int:
        """The scrambling exponent."""
        if self.proto == "3":
            return self._below(number(sha1(mb(b_public))[:4]))
        if self.proto == "6a":
            return self._below(number(sha1(self.pad(a_public), self.pad(b_public))))
        return self._below(number(sha1(mb(a_public), mb(b_public))))

    def _below(self, value: int) -> int:
        return value if value < self.n else value % (self.n - 1)

    def m1(self, user: str, salt: int, a_public: int, b_public: int, key: bytes) -> bytes:
        """The client's proof as it travels: cut, so 19 or 20 bytes."""
        mixed = number(sha1(mb(self.n))) ^ number(sha1(mb(self.g)))
        return cut(
            sha1(
                mb(mixed),
                sha1(user.lower().encode()),
                mb(salt),
                mb(a_public),
                mb(b_public),
                cut(key),
            )
        )


def m2(a_public: int, proof: bytes, key: bytes) -> bytes:
    """The server's proof, 20 bytes; `proof` is M1 as it travelled and is cut once more."""
    return sha1(mb(a_public), cut(proof), cut(key))


def session_key(b_public: int, key: bytes) -> bytes:
    """What the client puts into the cookie `XYZAB_AM.LOGIN`, 20 bytes."""
    return sha1(mb(b_public), cut(key))


@dataclass(slots=True)
class Proof:
    """One INIT and what follows from it. `password` None: a user nobody knows, never proved."""

    group: Group
    user: str
    password: str | None
    a_public: int
    salt: int = field(default_factory=lambda: secrets.randbits(32) | 1)
    b: int = field(default_factory=lambda: secrets.randbits(256) | (1 << 255))
    b_public: int = field(init=False)
    key: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compute B and K. Raises ValueError for A = 0 mod N (login.md §2, last line)."""
        group = self.group
        if self.a_public % group.n == 0:
            raise ValueError("A is 0 mod N")
        secret = secrets.token_hex(16) if self.password is None else self.password
        verifier = pow(group.g, group.x(self.salt, self.user, secret), group.n)
        self.b_public = (group.k() * verifier + pow(group.g, self.b, group.n)) % group.n
        u = group.u(self.a_public, self.b_public)
        shared = pow(self.a_public * pow(verifier, u, group.n), self.b, group.n)
        self.key = sha1(mb(shared))

    @property
    def m1(self) -> str:
        """The M1 that is expected, as hex (38 or 40 digits)."""
        return self.group.m1(self.user, self.salt, self.a_public, self.b_public, self.key).hex()

    def proves(self, proof: str) -> bool:
        """Whether the client's M1 is right."""
        return self.password is not None and hmac.compare_digest(self.m1.encode(), proof.lower().encode())

    @property
    def m2(self) -> str:
        """The server's proof as 40 hex digits."""
        return m2(self.a_public, bytes.fromhex(self.m1), self.key).hex()

    @property
    def session_key(self) -> str:
        """The cookie's value as 40 hex digits."""
        return session_key(self.b_public, self.key).hex()


class KeyBox:
    """The RSA key that EKX is encrypted for (1024 bits), made when first needed."""

    def __init__(self, exponent: int = 3) -> None:
        self._exponent = exponent
        self._key: rsa.RSAPrivateKey | None = None

    def _private(self) -> rsa.RSAPrivateKey:
        if self._key is None:
            # Weak by today's measure, and exactly what the notes describe.
            self._key = rsa.generate_private_key(public_exponent=self._exponent, key_size=1024)
        return self._key

    @property
    def modulus(self) -> str:
        """`rsapub`: hex without leading zeros."""
        return f"{self._private().public_key().public_numbers().n:x}"

    def open(self, cipher: str) -> str:
        """The text inside EKX. Raises ValueError when it does not decrypt."""
        raw = mb(int(cipher, 16))
        size = self._private().key_size // 8
        if len(raw) > size:
            raise ValueError("longer than the modulus")
        return self._private().decrypt(raw.rjust(size, b"\0"), padding.PKCS1v15()).decode("ascii")
