"""Second factors by IBKR's SF codes (login.md §3 'Second factors')."""

from __future__ import annotations

NAMES = {
    "3": "security code card",
    "4": "authenticator app (TOTP)",
    "4.1": "digital security card",
    "4.2": "text message (SMS)",
    "5": "IB Key",
    "5.1": "IB Key",
    "5.2a": "IB Key on Android",
    "5.2i": "IB Key on iPhone",
    "5.3": "security device",
    "6": "security device",
}


def plain_name(code: str) -> str:
    """A factor's name for a person, with the raw code: `text message (SMS) [4.2]`."""
    name = NAMES.get(code)
    return f"{name} [{code}]" if name else f"a factor this program does not know [{code}]"
