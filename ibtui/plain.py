"""What stands for our signs where a stream's encoding does not have them: one cell for one cell."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from typing import Any

_SIGNS = dict(
    zip(
        "→←↑↓⇧—–·•…●○◐◌✓✕▲▼▸├└│─×≥≤“”‘’",
        "><^v^--.*.*o%.+x^v>++|-x><\"\"''",
        strict=True,
    )
)


def stand_in(error: UnicodeError) -> tuple[str, int]:
    """A handler for `codecs.register_error`: ASCII of the same width in place of what cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_sign(char) for char in error.object[error.start : error.end]), error.end


def _sign(char: str) -> str:
    if char in _SIGNS:
        return _SIGNS[char]
    if "\u2500" <= char <= "\u257f" or "\u2580" <= char <= "\u259f":  # boxes, blocks
        return "#" if char >= "\u2580" else "+"
    return "??" if unicodedata.east_asian_width(char) in "WF" else "?"


def prepare(*streams: Any) -> None:
    """Let text streams that are not Unicode show stand-ins, where Python would raise UnicodeEncodeError."""
    for stream in streams:
        if (getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-") == "utf-8":
            continue
        if hasattr(stream, "reconfigure"):
            codecs.register_error("ibtui.plain", stand_in)
            stream.reconfigure(errors="ibtui.plain")


def open_missing() -> None:
    """Let the three standard streams be there, if only as nothing.

    A program may be started without them; then the next file that is opened would take their number, and
    what is said on standard error would stand in it.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
