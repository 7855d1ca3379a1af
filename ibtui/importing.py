"""Settings out of other programs' environment variables: IBeam's, and the node service's (login.md §7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ibtui import aliases, checks

_YES = frozenset({"true", "1", "yes", "on"})


@dataclass(slots=True)
class Found:
    """`keys`: key of a profile, or dotted of a table beside them -> value and the variable it came from.

    `left`: variable -> why not.
    """

    keys: dict[str, tuple[Any, str]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)


def _attempts(text: str) -> int:
    # It counts up to any number; IBKR locks the account before ten.
    return min(max(int(text), 1), 10)


def _url(text: str) -> str:
    if not checks.is_url(text):
        raise ValueError
    return text.rstrip("/")


_IBEAM: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "IBEAM_ACCOUNT": ("username", str),
    "IBEAM_GATEWAY_BASE_URL": ("gateway_url", _url),
    "IBEAM_GATEWAY_DIR": ("gateway_dir", str),
    "IBEAM_MAX_FAILED_AUTH": ("max_attempts", _attempts),
    "IBEAM_USE_PAPER_ACCOUNT": ("account_type", lambda text: "paper" if text.lower() in _YES else "live"),
}
_SOURCES = {"IBEAM_PASSWORD": "password"}
_WHY = {
    "IBEAM_TWO_FA_HANDLER": "ibtui logs in without a browser; set second_factor, twilio_sid or enroll IB Key",
    "IBEAM_CUSTOM_TWO_FA_HANDLER": "a program that prints the code goes with ibtui login --code-command",
    "IBEAM_KEY": "encrypted passwords are not read; name a source of the password instead",
    "IB_AUTH_OCRA_SECRET": "run ibtui ibkey import, which reads it and keeps it safely",
}
_OTHER = ("IBEAM_", "IB_")


def read(env: Mapping[str, str]) -> Found:
    """What these variables mean here. A password stays in its variable: its key only names that.

    A variable that is set to nothing is not set; one that has no counterpart is told.
    """
    found = Found()
    for name, value in sorted(env.items()):
        text = value.strip()
        if not name.startswith(_OTHER) or not text:
            continue
        if name in _IBEAM:
            key, reading = _IBEAM[name]
            try:
                found.keys[key] = (reading(text), name)
            except ValueError:
                found.left[name] = "its value makes no sense here"
        elif name in _SOURCES:
            found.keys[_SOURCES[name]] = ({"env": name}, name)
        elif name in _WHY:
            found.left[name] = _WHY[name]
        elif name.startswith("IBEAM_"):
            found.left[name] = "ibtui needs no such setting"
    for key, (value, variable) in (aliases.found(env) | aliases.sections(env)).items():
        found.keys[key] = (_typed(value), variable)
    for name in sorted(env):
        if name.startswith("IB_") and env[name].strip() and name not in _WHY:
            why = _left(name, found)
            if why:
                found.left[name] = why
    return found


def _left(name: str, found: Found) -> str:
    """Why a variable of the node service is not taken over; empty when it is."""
    if name not in aliases.NAMES:
        return f"ibtui knows no such variable{checks.nearest(name, aliases.NAMES)}"
    if name in aliases.PROGRAM and "gateway_command" not in found.keys:
        return "it takes IB_GATEWAY_BIN with bin/run.sh of a gateway, or with IB_GATEWAY_CONF beside it"
    return ""


def _typed(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value
