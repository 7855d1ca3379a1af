"""The server's side of IBKey: OCRA answers, the counter's two forms, the key (login.md §5, §6).

Written from the notes alone; the client's side lives elsewhere and shares nothing with this
file. A counter is what a client stores (1, 2, 3 ...); a value is the whole number that its
eight bytes hold. They differ from 10 on: the counter's decimal digits are read as hex.
"""

from __future__ import annotations

import hashlib
import hmac

SUITE = "OCRA-1:HOTP-SHA1-8:C-QN06-PSHA1"
_QUESTION_DIGITS = 256
_FAR = 300


def value_of(counter: int, *, rfc: bool = False) -> int:
    """The whole number inside the message for a stored counter; `rfc` takes it as it is."""
    return counter if rfc else int(str(counter), 16)


def counter_of(value: int, *, rfc: bool = False) -> int | None:
    """The stored counter behind a value; None when no counter's digits give it."""
    digits = f"{value:x}"
    if rfc:
        return value
    return int(digits) if digits.isdecimal() else None


def next_counter(last: int, *, rfc: bool = False) -> int:
    """The smallest counter whose value lies above `last`: what an honest client sends next."""
    if rfc:
        return last + 1
    value = last + 1
    while (counter := counter_of(value)) is None:
        value += 1
    return counter


def answer(key: bytes, value: int, challenge: str, pin: str) -> str:
    """Eight digits for a challenge of up to six (white space does not count).

    `value` is the whole number of the counter, see `value_of`. Raises ValueError for a
    challenge that is no decimal number.
    """
    question = f"{int(''.join(challenge.split()), 10):x}".ljust(_QUESTION_DIGITS, "0")
    message = b"".join(
        (
            SUITE.encode("ascii"),
            b"\0",
            value.to_bytes(8, "big"),
            bytes.fromhex(question),
            hashlib.sha1(pin.encode(), usedforsecurity=False).digest(),
        )
    )
    digest = hmac.digest(key, message, "sha1")
    start = digest[-1] & 0x0F
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**8:08d}"


def seen(key: bytes, challenge: str, pin: str, response: str, last: int, window: int) -> int | None:
    """Which value a response was made with: those that would be accepted first, then far around.

    None when no value near `last` gives it, so the key, the PIN or the challenge was another.
    """
    near = range(last + 1, last + window + 1)
    far = range(max(0, last - _FAR), last + window + _FAR)
    for values in (near, far):
        for value in values:
            if hmac.compare_digest(answer(key, value, challenge, pin).encode(), response.encode()):
                return value
    return None


def derive_key(shared: bytes, device: str) -> bytes:
    """The 20 bytes of the key from K (20 bytes, a leading zero counts) and the device id (§6)."""
    inner = hashlib.sha1(shared, usedforsecurity=False).hexdigest()
    return hashlib.sha1((inner + device).encode(), usedforsecurity=False).digest()
