"""One-time codes: IB Key's OCRA (login.md §5), HOTP and TOTP (RFC 4226, RFC 6238).

Pure arithmetic: the time is handed in, in seconds since 1970.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from datetime import datetime
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import msgspec

from ibtui.errors import UnknownReply, UsageError
from ibtui.secret import Secret

SUITE = "OCRA-1:HOTP-SHA1-8:C-QN06-PSHA1"
DEVICE_ID = "48f8ede2193efa5f"
"""The device that an enrolment names (login.md §6)."""
PERIOD_S = 30
MARGIN_S = 8.0
"""A code with less time left than this is not used: it might expire on the way."""
DRIFT_S = 2.0
"""Differences up to this are the Date header's own coarseness and the way of the reply."""

Encoding = Literal["digits", "rfc"]
"""How a counter becomes 8 bytes. `digits` reads its decimal digits as hex: the form known to
work, and that of existing data.json files. `rfc` is RFC 6287's own; it was never tried against IBKR."""


def truncate(digest: bytes, digits: int) -> str:
    """Dynamic truncation (RFC 4226 §5.3) to a decimal text of that many digits."""
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}d}"


def counter_bytes(counter: int, encoding: Encoding = "digits") -> bytes:
    """The counter as it enters the message (login.md §5 'The counter'); see `Encoding`."""
    if encoding == "rfc":
        return counter.to_bytes(8, "big")
    return bytes.fromhex(f"{counter:016d}")


def respond(key: Secret, pin: Secret, counter: int, challenge: str, encoding: Encoding = "digits") -> Secret:
    """IB Key's answer to a challenge: 8 digits.

    Args:
        key: the `ocra` secret, 40 hex digits.
        challenge: decimal digits; white space does not count.

    Raises:
        UsageError: the key is not 40 hex digits, or the counter is not 1 or more.
        UnknownReply: the challenge is not a number, or too long for the suite.
    """
    raw = key_bytes(key)
    if counter < 1:
        raise UsageError("The counter of IB Key begins at 1.", "Enroll again.")
    question = re.sub(r"\s", "", challenge)
    if not (question.isascii() and question.isdecimal() and len(question) <= 64):
        raise UnknownReply(
            "IBKR's challenge is not a number; it was not answered.",
            "Log in with a browser, and report this.",
        )
    message = (
        SUITE.encode()
        + b"\0"
        + counter_bytes(counter, encoding)
        + bytes.fromhex(f"{int(question):x}".ljust(256, "0"))
        + hashlib.sha1(pin.reveal().encode(), usedforsecurity=False).digest()
    )
    return Secret(truncate(hmac.digest(raw, message, "sha1"), 8))


def key_bytes(key: Secret) -> bytes:
    """The 20 bytes of an `ocra` secret.

    Raises:
        UsageError: it is not 40 hex digits.
    """
    text = key.reveal().strip()
    if not re.fullmatch(r"[0-9a-fA-F]{40}", text):
        raise UsageError("IB Key's secret (`ocra`) is not 40 hex digits.", "Import it again, or enroll.")
    return bytes.fromhex(text)


def derive_key(K: bytes, device: str = DEVICE_ID) -> Secret:
    """The `ocra` secret of an enrolment from that session's K (20 bytes, login.md §6)."""
    inner = hashlib.sha1(K, usedforsecurity=False).hexdigest()
    return Secret(hashlib.sha1((inner + device).encode("ascii"), usedforsecurity=False).hexdigest())


def hotp(key: bytes, counter: int, digits: int = 6) -> str:
    """RFC 4226 with SHA-1."""
    return truncate(hmac.digest(key, counter.to_bytes(8, "big"), "sha1"), digits)


class Totp(msgspec.Struct, frozen=True):
    """An authenticator's secret, ready to use; its repr shows nothing."""

    key: Secret
    """The key's bytes as hex."""

    def code(self, at: float) -> Secret:
        """The 6 digits valid at `at`, whatever time they have left."""
        return Secret(hotp(bytes.fromhex(self.key.reveal()), int(at // PERIOD_S)))


def read_totp(secret: Secret) -> Totp:
    """An authenticator's secret as people paste it.

    Base32 with blanks or hyphens, in lower case, without padding, or a whole `otpauth://totp/` address.

    Raises:
        UsageError: it is not base32, or an address that asks for anything but SHA1, 6 digits, 30 s.
    """
    text = secret.reveal().strip()
    if text.lower().startswith("otpauth:"):
        text = _from_address(text)
    letters = re.sub(r"[\s\-=]", "", text).upper()
    try:
        raw = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except (binascii.Error, ValueError):
        raw = b""
    if not raw:
        raise UsageError(
            "The authenticator's secret is not base32 (letters A to Z and digits 2 to 7).",
            "Paste the secret that IBKR showed beside the QR code, or the whole otpauth:// address.",
        )
    return Totp(Secret(raw.hex()))


def _from_address(address: str) -> str:
    parts = urlsplit(address)
    query = {name.lower(): values[-1] for name, values in parse_qs(parts.query).items()}
    usual = {"algorithm": "SHA1", "digits": "6", "period": str(PERIOD_S)}
    odd = [name for name, value in usual.items() if query.get(name, value).upper() != value]
    if parts.netloc.lower() != "totp" or odd:
        raise UsageError(
            f"This otpauth:// address asks for another {odd[0] if odd else 'kind'} than IBKR uses.",
            "IBKR's is a totp address with SHA1, 6 digits and 30 seconds.",
        )
    return query.get("secret", "")


def wait_for(at: float) -> float:
    """Seconds to wait at `at` until a fresh code begins; 0 while the present one lasts another 8 s."""
    left = PERIOD_S - at % PERIOD_S
    return left if left < MARGIN_S else 0.0


def skew(server: datetime | None, now: float) -> float:
    """Seconds that the server's clock is ahead of ours, by its Date header; 0 when nearly equal.

    The header is cut to whole seconds, so its middle is taken. Add the result to our time
    before making a code.
    """
    if server is None:
        return 0.0
    ahead = server.timestamp() + 0.5 - now
    return ahead if abs(ahead) > DRIFT_S else 0.0


def make_pin() -> Secret:
    """A new PIN for IB Key: 6 digits from a cryptographic source."""
    return Secret(f"{secrets.randbelow(1_000_000):06d}")


def check_pin(pin: Secret) -> None:
    """A PIN as IBKR's app has them; leading zeros count.

    Raises:
        UsageError: it is not 4 to 6 digits.
    """
    if not is_pin(pin.reveal()):
        raise UsageError("The PIN of IB Key has 4 to 6 digits.", "Choose another, or let ibtui make one.")


def is_pin(text: str) -> bool:
    """Whether it is 4 to 6 digits."""
    return re.fullmatch(r"[0-9]{4,6}", text) is not None
