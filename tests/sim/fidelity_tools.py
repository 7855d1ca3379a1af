"""The JSON examples of the protocol notes, read mechanically, and how a reply is held against one.

An example says: these keys, in this order, of these types, written like this. What a reply may do
otherwise is allowed place by place, in `Example.allow`, each with its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

NOTES = Path(__file__).parents[2] / "docs" / "protocol" / "web-api.md"
_HEADING = re.compile(r"#+ (\d+(?:\.\d+)?)[ .]")
_NUMBER = r"-?(?:\d+|\d{1,3}(?:,\d{3})+)"
_FIXED = (6, 8, 12, 14)
"""Runs of so many digits are dates and times: their length is part of the format."""


@dataclass(slots=True)
class Example:
    """What a place of the notes says, and in what a reply may differ."""

    shot: str
    """Which reply or frame of the tour to hold against it."""
    allow: dict[str, str] = field(default_factory=dict)
    """Mark and path -> reason. Marks: `-` may be missing, `+` may come in addition, `~` any value,
    `=` the keys are names (of accounts, currencies, days) and every value looks like one of the example's."""
    only: str = ""
    """Look at this part of the example alone, as a path."""


@lru_cache(maxsize=1)
def _lines() -> list[tuple[str, bool, str]]:
    """(section, inside a JSON block, line) of the notes."""
    found, section, fence = [], "", ""
    for line in NOTES.read_text(encoding="utf-8").splitlines():
        heading = _HEADING.match(line)
        if heading and not fence:
            section = heading[1]
        if line.startswith("```"):
            fence = "" if fence else (line[3:].strip() or "text")
            continue
        found.append((section, fence == "json", line))
    return found


def blocks() -> dict[str, Any]:
    """Every JSON block of §2 to §7 by `section/number within it`."""
    found: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for section, inside, line in _lines():
        if inside and 2 <= float(section) < 8:
            counts[section] = counts.get(section, 0) + 1
            found[f"{section}/{counts[section]}"] = json.loads(line)
    return found


def inline() -> list[tuple[str, str]]:
    """Every whole JSON object or array between backquotes in the text of §2 to §7, with its section."""
    found = []
    for section, inside, line in _lines():
        if inside or not section or not 2 <= float(section) < 8:
            continue
        for text in re.findall(r"`([\[{][^`]*)`", line):
            try:
                json.loads(text)
            except ValueError:
                continue
            if (section, text) not in found:
                found.append((section, text))
    return found


def table(section: str, header: str) -> list[list[str]]:
    """The rows of the table of a section whose header line begins with `header`."""
    rows, on = [], False
    for at, _, line in _lines():
        if at == section and line.startswith(header):
            on = True
        elif on and not line.startswith("|"):
            break
        elif on and not line.startswith("|---"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


# --- comparing -----------------------------------------------------------------------------------


def differences(example: Any, reply: Any, allow: dict[str, str], at: str = "") -> list[str]:
    """In what a reply is not like the example; empty when it is."""
    if _allowed("~", at, allow):
        return []
    if isinstance(example, dict) and isinstance(reply, dict):
        if _allowed("=", at, allow):
            return _named(example, reply, allow, at)
        return _keys(example, reply, allow, at) + [
            one
            for key in example
            if key in reply
            for one in differences(example[key], reply[key], allow, _join(at, key))
        ]
    if isinstance(example, list) and isinstance(reply, list):
        if example and not reply:
            return [] if _allowed("-", _join(at, "*"), allow) else [f"{at}: empty"]
        return [one for row in reply for one in _any(example, row, allow, _join(at, "*"))]
    if type(example) is not type(reply):
        return [f"{at}: {_kind(example)} expected, got {reply!r}"]
    if isinstance(example, str) and not _written_like(example, reply):
        return [f"{at}: {reply!r} is not written like {example!r}"]
    return []


def _keys(example: dict[str, Any], reply: dict[str, Any], allow: dict[str, str], at: str) -> list[str]:
    missing = [k for k in example if k not in reply and not _allowed("-", _join(at, k), allow)]
    more = [k for k in reply if k not in example and not _allowed("+", _join(at, k), allow)]
    found = [f"{at}: {key!r} is missing" for key in missing] + [f"{at}: {key!r} is too much" for key in more]
    here = [key for key in example if key in reply]
    there = [key for key in reply if key in example]
    if here != there:
        place = next(n for n, (one, other) in enumerate(zip(here, there, strict=True)) if one != other)
        found.append(f"{at}: order of keys: {here[place]!r} expected, got {there[place]!r}")
    return found


def _named(example: dict[str, Any], reply: dict[str, Any], allow: dict[str, str], at: str) -> list[str]:
    if example and not reply and not _allowed("-", _join(at, "*"), allow):
        return [f"{at}: empty"]
    found = []
    for key, value in reply.items():
        models = [example[key]] if key in example else list(example.values())
        found += _any(models, value, allow, _join(at, "*")) if models else []
    return found


def _any(models: list[Any], value: Any, allow: dict[str, str], at: str) -> list[str]:
    """Like one of the models; else what separates it from the nearest."""
    return min((differences(model, value, allow, at) for model in models), key=len, default=[])


def _allowed(mark: str, at: str, allow: dict[str, str]) -> bool:
    return any(name[0] == mark and fnmatchcase(at, name[1:]) for name in allow)


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _written_like(example: str, reply: str) -> bool:
    form = None if reply == example else template(example)
    return form is None or re.fullmatch(form, reply) is not None


@lru_cache(maxsize=2000)
def template(example: str) -> str | None:
    """A regular expression for texts that are written like the example; None for prose and names."""
    if re.fullmatch(r"[0-9a-f]{32}", example):
        return "[0-9a-f]{32}"
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", example):
        return "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    if re.fullmatch(r"[0-9a-f]{8}\.[0-9a-f]{8}(\.\d\d\.\d\d)?", example):
        return r"[0-9a-f]{8}\.[0-9a-f]{8}" + (r"\.[0-9a-f]{2}\.\d\d" if example.count(".") == 3 else "")
    if re.fullmatch(r"#[0-9A-F]{6}", example):
        return re.escape(example)
    if not re.search(r"\d", example) or "&#" in example or len(example) > 60:
        return None
    return "".join(_pieces(example))


def _pieces(example: str) -> Iterator[str]:
    for piece in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?|[A-Za-z]+|.", example, re.DOTALL):
        if piece[0].isdigit():
            whole, dot, _ = piece.partition(".")
            if len(whole) in _FIXED and "," not in whole and not dot:
                yield rf"\d{{{len(whole)}}}"
            else:
                yield _NUMBER + (r"\.\d+(?:E-?\d+)?" if dot else "")
        elif piece in ("K", "M", "B"):
            yield "[KMB]?"
        elif piece.isalpha():
            yield "[A-Za-z]+"
        elif piece != "-" or example.index(piece):
            yield re.escape(piece)
