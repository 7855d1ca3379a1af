"""The password proof: IBKR's SRP-6 variant, client side (login.md §1, §2).

Pure arithmetic. Hex conventions are where implementations go wrong; the three helpers
`mb`, `cut` and `hexn` are the notes' own signs.
"""

from __future__ import annotations

import hashlib
import secrets

import msgspec

from ibtui.auth.shy import Shy
from ibtui.errors import UnknownReply
from ibtui.secret import Secret

PROTOS = ("3", "6", "6a")


def H(*parts: bytes) -> bytes:
    """SHA-1 over the parts; the protocol's hash, not a choice of ours."""
    return hashlib.sha1(b"".join(parts), usedforsecurity=False).digest()


def mb(n: int) -> bytes:
    """Big-endian bytes without leading zero bytes; `mb(0)` is empty."""
    return n.to_bytes((n.bit_length() + 7) // 8, "big")


def cut(digest: bytes) -> bytes:
    """Without its first byte if that is zero: one byte at most."""
    return digest[1:] if digest[:1] == b"\0" else digest


def pad(n: int, like: int) -> bytes:
    """Big-endian bytes of `n`, left-filled with zeros to the length of `like`."""
    return n.to_bytes(len(mb(like)), "big")


def hexn(n: int) -> str:
    """Lower-case hex without leading zeros, as numbers travel."""
    return f"{n:x}"


class Group(msgspec.Struct, frozen=True):
    """Modulus and generator."""

    N: int
    g: int


DEFAULT_GROUP = Group(
    int(
        "d4c7f8a2b32c11b8fba9581ec4ba4f1b04215642ef7355e37c0fc0443ef756ea"
        "2c6b8eeb755a1c723027663caa265ef785b8ff6a9b35227a52d86633dbdfca43",
        16,
    ),
    2,
)


class Params(msgspec.Struct, frozen=True):
    """The server's reply to INIT (login.md §3, reply 2)."""

    group: Group
    proto: str
    s: int
    B: int
    long_password: bool = True
    """`lp`: false means only the first 8 characters of the password count."""
    rsa_modulus: int | None = None
    paper: bool | None = None
    """Whether the server calls the user name a paper one; None when it does not say."""


class Proof(Shy, frozen=True):
    """What the client sends and expects. Its repr shows nothing: all of it opens sessions."""

    M1: str
    """As it travels: 40 hex digits, or 38 when the digest began with a zero byte."""
    M2: str
    session_key: str
    K: bytes


def draw_a(group: Group, raw: int | None = None) -> int:
    """The client's secret exponent: 256 random bits, brought into range (login.md §2)."""
    a = secrets.randbits(256) if raw is None else raw
    if a >= group.N:
        a %= group.N - 1
    return max(a, 2)


def public(group: Group, a: int) -> int:
    """A = g^a mod N."""
    return pow(group.g, a, group.N)


def shorten(password: str) -> str:
    """The first 8 UTF-16 units, where `lp` = false; half a pair becomes the replacement sign."""
    return password.encode("utf-16-le")[:16].decode("utf-16-le", "replace")


def prove(username: str, password: Secret, params: Params, a: int, A: int) -> Proof:
    """Compute the proof of knowing the password (login.md §2, the table).

    Raises:
        UnknownReply: another protocol number, or a B that would give the password away.
    """
    N = params.group.N
    if params.proto not in PROTOS:
        raise UnknownReply(f"IBKR asks for the unknown password protocol {params.proto[:8]!r}.", _BROWSER)
    if params.B % N == 0 or N < 3:
        raise UnknownReply("IBKR's login reply makes no sense (B is 0); nothing was sent.", _BROWSER)
    text = password.reveal() if params.long_password else shorten(password.reveal())
    x = _below(secret_x(username, text, params.s), N)
    k, u = k_and_u(params.proto, params.group, A, params.B)
    K = H(mb(shared_s(params.group, params.B, k, x, a, _below(u, N))))
    m1 = cut(proof_m1(params.group, username, params.s, A, params.B, K))
    return Proof(m1.hex(), proof_m2(A, m1, K).hex(), H(mb(params.B), cut(K)).hex(), K)


def secret_x(username: str, text: str, s: int) -> int:
    """x of a password, before it is reduced."""
    return int.from_bytes(H(mb(s), H(f"{username.lower()}:{text}".encode())), "big")


def shared_s(group: Group, B: int, k: int, x: int, a: int, u: int) -> int:
    """S as the client finds it."""
    # k N keeps the difference positive; the result is the same modulo N.
    return pow((B + k * group.N - k * pow(group.g, x, group.N)) % group.N, a + u * x, group.N)


def proof_m1(group: Group, username: str, s: int, A: int, B: int, K: bytes) -> bytes:
    """M1 before it is cut."""
    mixed = int.from_bytes(H(mb(group.N)), "big") ^ int.from_bytes(H(mb(group.g)), "big")
    return H(mb(mixed), H(username.lower().encode()), mb(s), mb(A), mb(B), cut(K))


def proof_m2(A: int, m1: bytes, K: bytes) -> bytes:
    """M2 of an M1 as it travels."""
    return H(mb(A), cut(m1), cut(K))


_BROWSER = "Log in with a browser at the gateway's address."


def _below(value: int, N: int) -> int:
    return value if value < N else value % (N - 1)


def k_and_u(proto: str, group: Group, A: int, B: int) -> tuple[int, int]:
    """k and u, u before it is reduced."""
    N, g = group.N, group.g
    if proto == "3":
        return 1, int.from_bytes(H(mb(B))[:4], "big")
    if proto == "6":
        return 3, int.from_bytes(H(mb(A), mb(B)), "big")
    k = int.from_bytes(H(mb(N), pad(g, N)), "big") % N
    return k, int.from_bytes(H(pad(A, N), pad(B, N)), "big")


def rsa_text(text: str, modulus: int, exponent: int = 3, padding: bytes | None = None) -> str:
    """RSA PKCS#1 v1.5 encryption of `text` (ASCII), as lower-case hex of even length (login.md §2 `EKX`).

    Args:
        padding: the non-zero filler bytes, for known answers only.

    Raises:
        UnknownReply: the modulus is too short for the text.
    """
    size = (modulus.bit_length() + 7) // 8
    body = text.encode("ascii")
    room = size - 3 - len(body)
    if room < 8:
        raise UnknownReply("IBKR's login reply has a key too short to use.", _BROWSER)
    filler = padding if padding is not None else bytes(secrets.randbelow(255) + 1 for _ in range(room))
    block = b"\0\2" + filler + b"\0" + body
    out = hexn(pow(int.from_bytes(block, "big"), exponent, modulus))
    return f"0{out}" if len(out) % 2 else out
