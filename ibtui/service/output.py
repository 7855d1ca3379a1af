"""What commands print: data on stdout, narration on stderr; money as the broker's text."""

from __future__ import annotations

import os
import re
import shlex
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import msgspec

from ibtui.core import words
from ibtui.core.models import Lamp, Status, number
from ibtui.errors import IbtuiError, ReaderGone

LAMPS = ("gateway", "sso", "brokerage")

NARROW = 20
"""Columns below which a terminal breaks lines itself."""
_KEY = re.compile(r"\b\w here, or ")
_OURS = re.compile(
    r"\bibtui (?=(gateway|log(in|out)|status|doctor|keep|ibkey|oauth|serve|config (?!init))\b)"
)
_named: list[str] = []
"""The options that this run was called with, which the next one needs as well."""


@dataclass(frozen=True, slots=True)
class Col:
    """A column of a text table."""

    title: str
    key: str
    form: str = ""
    """`money` (two digits after the point at least), `price` (digits as sent, two at least), `quantity`
    (no idle zeros), `contract` (without the local symbol in brackets), `number` (as it is), `side` and
    `tif` (in people's words); else text."""

    @property
    def right(self) -> bool:
        """Numbers end in one line."""
        return self.form in ("money", "price", "quantity", "number")


def safe(text: str) -> str:
    """Foreign text without control characters: a terminal must not obey it."""
    return "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)


def called_with(profile: str | None, config: Path | None) -> None:
    """How this run was told its profile and settings: the commands that it proposes name them, too."""
    _named.clear()
    for option, value in (("--profile", profile), ("--config", config)):
        if value is not None:
            _named.extend((option, shlex.quote(str(value))))


def next_step(fix: str) -> str:
    """A fix in words of the command line, for the profile at work: `s here, or ibtui …` names a key
    of the screen, too."""
    called = " ".join(["ibtui", *_named, ""])
    return _OURS.sub(lambda _: called, _KEY.sub("", fix))


def out(text: str = "") -> None:
    """A line of data; raises ReaderGone."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # click would make status 1 of it.
        raise ReaderGone from None


def say(text: str, hang: int | None = None) -> None:
    """A line of narration; on a terminal broken at blanks, the rest `hang` cells in (None: as it begins)."""
    print(_fitted(safe(text), sys.stderr, hang), file=sys.stderr, flush=True)


def prompt(text: str) -> None:
    """A question; the answer is typed behind it."""
    asked = safe(text)
    bare = asked.rstrip(" ")
    print(_fitted(bare, sys.stderr) + asked[len(bare) :], end="", file=sys.stderr, flush=True)


def _fitted(text: str, stream: TextIO, hang: int | None = None) -> str:
    """As it is where no terminal shows it, or it fits; commands and addresses are never broken."""
    try:
        room = os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):  # no descriptor behind it, or the terminal has gone
        room = 0
    if room < NARROW or len(text) <= room:
        return text
    indent = " " * (len(text) - len(text.lstrip(" ")) if hang is None else min(hang, room // 2))
    return "\n".join(
        textwrap.wrap(
            text, room, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
            replace_whitespace=False,
        )
    )  # fmt: skip


def dump(value: Any) -> None:
    """One JSON document a line on stdout; numbers of the broker stay texts."""
    out(msgspec.json.encode(value, enc_hook=_encode).decode())


def _encode(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def pretty(text: str | None, form: str = "money") -> str:
    """A broker's number with thousands separators, in one of the forms of `Col`; `—` where there is none."""
    value = number(text)
    if value is None:
        return "—"
    if form == "quantity":
        value = value.normalize()
    exponent = value.as_tuple().exponent
    digits = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    if form == "money":
        digits = max(2, min(digits, 4))
    elif form == "price":
        digits = max(2, digits)
    shown = f"{value:,.{digits}f}"
    # `-0.00` would say that there is something.
    return shown.removeprefix("-") if not shown.strip("-0.,") else shown


def contract(text: str) -> str:
    """`AAPL JAN2027 195 C` of `AAPL   JAN2027 195 C [AAPL  270115C00195000 100]`."""
    return " ".join(text.split("[", 1)[0].split()) or text


_SPELLED = {"contract": contract, "side": words.side, "tif": words.tif}


def table(
    rows: Iterable[Mapping[str, Any]], cols: Sequence[Col], under: Sequence[int] | None = None
) -> list[int]:
    """Print rows as aligned text with a header; returns the widths of the columns.

    `under`: widths of a table that stands above already; then there is no header.
    """
    lines = [[_cell(row.get(col.key), col) for col in cols] for row in rows]
    least = under or [len(col.title) for col in cols]
    widths = [max([least[i], *(len(line[i]) for line in lines)]) for i, col in enumerate(cols)]

    def line(cells: Sequence[str]) -> str:
        done = [
            cell.rjust(width) if col.right else cell.ljust(width)
            for cell, width, col in zip(cells, widths, cols, strict=True)
        ]
        return "  ".join(done).rstrip()

    if under is None:
        out(line([col.title for col in cols]))
    for cells in lines:
        out(line(cells))
    return widths


def _cell(value: Any, col: Col) -> str:
    if value is None or value == "":
        return "—"
    if col.form in ("money", "price", "quantity"):
        return pretty(str(value), col.form)
    text = safe(str(value))
    spelled = _SPELLED.get(col.form)
    return spelled(text) if spelled else text


def lamp_json(lamp: Lamp) -> dict[str, Any]:
    """`{state, since, reason, fix}`."""
    return {
        "state": lamp.state,
        "since": lamp.since.isoformat() if lamp.since else None,
        "reason": lamp.reason,
        "fix": next_step(lamp.fix),
    }


def status_json(status: Status) -> dict[str, Any]:
    """`{ready, gateway, sso, brokerage}`."""
    lamps: dict[str, Any] = {name: lamp_json(getattr(status, name)) for name in LAMPS}
    return {"ready": status.ready, **lamps}


def lamp_text(name: str, lamp: Lamp) -> None:
    """`sso        on       11:31:05  demo123`."""
    since = f"{lamp.since.astimezone():%H:%M:%S}" if lamp.since else ""
    told = f"{name:<10} {lamp.state:<8} {since:<8}  {safe(lamp.reason)}".rstrip()
    out(_fitted(told, sys.stdout, hang=30))


def status_text(status: Status) -> None:
    """Three lines (lamp, state, since when, what is so), then the first broken link's fix."""
    for name in LAMPS:
        lamp_text(name, getattr(status, name))
    broken = next((name for name in LAMPS if getattr(status, name).state != "on"), None)
    if broken is not None:
        fix = next_step(getattr(status, broken).fix)
        out(_fitted(f"→ {broken}: {safe(fix)}", sys.stdout, hang=2) if fix else f"→ {broken} is not ready")


def error(problem: IbtuiError, as_json: bool) -> None:
    """An error for a person on stderr; with --json also as a document on stdout."""
    say(f"ibtui: {problem.what}", hang=7)
    fix = next_step(problem.fix)
    if fix:
        say(f"       {fix}")
    if as_json:
        dump({"error": problem.what, "fix": fix, "exit": problem.exit_code})
