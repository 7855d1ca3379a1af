"""The server's side of an authenticator app: RFC 6238 with SHA-1, 30 s, six digits (login.md §3)."""

from __future__ import annotations

import base64
import hmac

STEP_S = 30
DRIFT = 1
"""Steps that a client's clock may be off, either way."""


def code_at(secret: str, at: float) -> str:
    """Six digits for a base32 secret at `at` seconds since the epoch.

    Raises ValueError for a secret that is no base32.
    """
    letters = "".join(secret.split()).upper().rstrip("=")
    key = base64.b32decode(letters + "=" * (-len(letters) % 8))
    digest = hmac.digest(key, (int(at) // STEP_S).to_bytes(8, "big"), "sha1")
    start = digest[-1] & 0x0F
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**6:06d}"


def accepts(secret: str, code: str, at: float) -> bool:
    """Whether `code` is that of the current step or of one beside it."""
    return any(
        hmac.compare_digest(code_at(secret, max(0.0, at + step * STEP_S)).encode(), code.encode())
        for step in range(-DRIFT, DRIFT + 1)
    )
