"""Sealing a text with a passphrase: scrypt and AES-256-GCM, in an object that says how it was made."""

from __future__ import annotations

import base64
import binascii
import secrets
import unicodedata
from typing import Any

from ibtui.errors import PersonNeeded, UsageError
from ibtui.secret import Secret

KIND = "scrypt+aes-256-gcm"
N, R, P = 2**15, 8, 1
"""Cost: 32 MB and about a tenth of a second."""
_MOST_BYTES = 2**28
"""More memory than this (128 n r) is not spent on opening somebody else's object."""


def is_sealed(value: Any) -> bool:
    """Whether a value from a file is a sealed text."""
    return isinstance(value, dict) and "sealed" in value


class Sealer:
    """Seals and opens with one passphrase; keys are derived once per salt.

    Raises:
        UsageError: the passphrase is empty.
    """

    def __init__(self, passphrase: Secret) -> None:
        # The same passphrase typed on another system must give the same bytes.
        self._passphrase = unicodedata.normalize("NFKC", passphrase.reveal()).encode()
        if not self._passphrase:
            raise UsageError("The passphrase is empty.", "Choose one, or leave the data unsealed.")
        self._salt = secrets.token_bytes(16)
        self._keys: dict[tuple[bytes, int, int, int], bytes] = {}

    def _key(self, salt: bytes, n: int, r: int, p: int) -> bytes:
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt  # slow to load, seldom needed

        known = self._keys.get((salt, n, r, p))
        if known is None:
            known = Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(self._passphrase)
            self._keys[salt, n, r, p] = known
        return known

    def seal(self, text: Secret, about: str) -> dict[str, Any]:
        """Seal a text; `about` says whose and which it is, and must be the same when it is opened."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(12)
        sealed = AESGCM(self._key(self._salt, N, R, P)).encrypt(nonce, text.reveal().encode(), about.encode())
        return {
            "sealed": KIND,
            "n": N,
            "r": R,
            "p": P,
            "salt": _text(self._salt),
            "nonce": _text(nonce),
            "data": _text(sealed),
        }

    def open(self, value: dict[str, Any], about: str) -> Secret:
        """The text in a sealed object.

        Raises:
            PersonNeeded: the passphrase is not the one it was sealed with, or the object was changed.
            UsageError: the object is damaged or made in a way this version does not know.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        salt, nonce, data, cost = _parts(value)
        try:
            return Secret(AESGCM(self._key(salt, *cost)).decrypt(nonce, data, about.encode()).decode())
        except InvalidTag:
            raise PersonNeeded(
                "The passphrase does not open the sealed auth data.",
                "Type the passphrase it was sealed with, and mind the keyboard's layout.",
            ) from None
        except ValueError:
            raise UsageError(f"The sealed {about.rpartition(':')[2]} is damaged.", _RESTORE) from None


_RESTORE = "Restore it from a backup, or enroll again."


def _parts(value: dict[str, Any]) -> tuple[bytes, bytes, bytes, tuple[int, int, int]]:
    if value.get("sealed") != KIND:
        raise UsageError("The auth data is sealed in a way this version does not know.", "Update ibtui.")
    n, r, p = (value.get(name) for name in "nrp")
    if not (isinstance(n, int) and isinstance(r, int) and isinstance(p, int)):
        raise UsageError("The sealed auth data is damaged.", _RESTORE)
    if n < 2 or n & (n - 1) or r < 1 or not 1 <= p <= 16 or 128 * n * r > _MOST_BYTES:
        raise UsageError("The sealed auth data asks for an unreasonable amount of work.", _RESTORE)
    try:
        salt, nonce, data = (
            base64.b64decode(value.get(name, ""), validate=True) for name in ("salt", "nonce", "data")
        )
    except (binascii.Error, TypeError, ValueError):
        raise UsageError("The sealed auth data is damaged.", _RESTORE) from None
    return salt, nonce, data, (n, r, p)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
