"""Second factors by IBKR's SF codes: what they are, and what a person has to do (login.md §3).

`FACTORS` holds the codes that the notes know; `factor` also describes unknown ones, so
that whatever IBKR offers can be named on a screen.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

TYPED = "SWTK"
"""The reply to request 4 asks for digits that a person reads somewhere."""
CHALLENGED = "SWCR"
"""The reply carries a challenge that a key has to answer."""
CARD = "IBTK"
"""A card or device of IBKR's: no answer can be made here."""

TOTP, SMS, IBKEY = "totp", "sms", "ibkey"
"""Short names of the supported families, as settings use them."""


class Factor(msgspec.Struct, frozen=True):
    """One second factor."""

    code: str
    """IBKR's SF code, raw."""
    name: str
    """For a person, without the code."""
    todo: str
    """What a person must do."""
    kind: str = ""
    """`SWTK` or `SWCR`, the `type` its reply must have; empty: not supported."""
    family: str = ""
    """`totp`, `sms` or `ibkey`; empty: not supported."""
    digits: int = 0
    """Length of its answer in digits."""

    @property
    def supported(self) -> bool:
        """Whether the login can answer it."""
        return bool(self.kind)

    @property
    def again(self) -> str:
        """What asking once more does, in a word or two; empty where nothing can be sent again."""
        return {SMS: "send again", IBKEY: "new challenge"}.get(self.family, "")

    @property
    def label(self) -> str:
        """Name and raw code: `text message (SMS) [4.2]`."""
        return f"{self.name} [{self.code}]"


_BROWSER = "ibtui cannot answer it: log in with a browser at the gateway's address."
_PHONE = "Open IBKR's app, choose the challenge login, type the challenge there and its answer here."


def _table(*rows: Factor) -> dict[str, Factor]:
    return {row.code: row for row in rows}


FACTORS = _table(
    Factor("4", "authenticator app (TOTP)", "Type the 6 digits that the app shows.", TYPED, TOTP, 6),
    Factor("4.2", "text message (SMS)", "Type the 6 digits out of the text message.", TYPED, SMS, 6),
    Factor("5.2a", "IB Key on Android", _PHONE, CHALLENGED, IBKEY, 8),
    Factor("5.2i", "IB Key on iPhone", _PHONE, CHALLENGED, IBKEY, 8),
    Factor("3", "security code card", _BROWSER),
    Factor("4.1", "digital security card", _BROWSER),
    Factor("5", "IB Key", _BROWSER),
    Factor("5.1", "IB Key", _BROWSER),
    Factor("5.3", "security device", _BROWSER),
    Factor("6", "security device", _BROWSER),
)
NAMES = {code: it.name for code, it in FACTORS.items()}
UNKNOWN = "a factor this program does not know"


def factor(code: str) -> Factor:
    """The factor of an SF code; unknown codes and passkeys come back as not supported."""
    found = FACTORS.get(code)
    if found is not None:
        return found
    if any(word in code.lower() for word in ("passkey", "fido", "webauthn")):
        return Factor(code, "passkey", f"A passkey works in a browser only; {_BROWSER}")
    return Factor(code, UNKNOWN, _BROWSER)


def plain_name(code: str) -> str:
    """A factor's name for a person, with the raw code: `text message (SMS) [4.2]`."""
    return factor(code).label


def plain_names(codes: Iterable[str]) -> str:
    """Several of them, with commas."""
    return ", ".join(map(plain_name, codes))


def supported(codes: Iterable[str]) -> tuple[str, ...]:
    """Those of the offered codes that the login can answer, in the server's order."""
    return tuple(code for code in codes if factor(code).supported)


def preferred(prefer: Iterable[str], offered: Iterable[str]) -> str:
    """The first of `prefer` that is among the supported ones of `offered`; empty if none is.

    A preference is an SF code or a family (`totp`, `sms`, `ibkey`).
    """
    able = supported(offered)
    for wish in prefer:
        for code in able:
            if wish in (code, factor(code).family):
                return code
    return ""
