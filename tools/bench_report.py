"""What the figures of `make bench` have in common: samples, ratios, one table, the machine's facts."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("textual", "httpx", "websockets", "msgspec", "aiohttp")
_WIDTHS = (44, 13, 13, 6, 13)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: samples of ours, samples of a peer taken in turn with them, and the goal."""

    what: str
    unit: str
    ours: Sequence[float]
    peer: Sequence[float] = ()
    peer_name: str = ""
    goal: float | None = None
    """The ratio ours/peer that is aimed at; None: none is."""
    digits: int = 1

    @property
    def ratios(self) -> list[float]:
        """Ours by the peer's, pair by pair."""
        return [mine / theirs for mine, theirs in zip(self.ours, self.peer, strict=bool(self.peer))]

    def cells(self) -> tuple[str, str, str, str, str, str]:
        """What, ours, peer, median ratio, spread, note."""
        ratios = self.ratios
        note = self.peer_name
        if self.goal is not None and ratios:
            met = statistics.median(ratios) <= self.goal
            note += f"; goal {self.goal:g}{'' if met else ' MISSED'}"
        ratio = spread = ""
        if ratios:
            ratio = f"{statistics.median(ratios):.2f}"
            spread = f"{min(ratios):.2f} - {max(ratios):.2f}"
        return self.what, self._amount(self.ours), self._amount(self.peer), ratio, spread, note

    def _amount(self, samples: Sequence[float]) -> str:
        return f"{statistics.median(samples):,.{self.digits}f} {self.unit}" if samples else ""


@dataclass(slots=True)
class Section:
    """A heading, what is measured in a sentence or two, and the figures."""

    title: str
    about: str
    figures: list[Figure] = field(default_factory=list)


def facts() -> str:
    """The machine and what runs on it, one line each."""
    load = " ".join(f"{part:.2f}" for part in os.getloadavg())
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    program = f"ibtui {version('ibtui')}, {platform.python_implementation()} {platform.python_version()}"
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    when = f"load {load} at the start, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{program}, {packages}\n{machine}, {when}"


def header() -> str:
    """The heads of the columns."""
    names = ("", "ibtui", "beside", "ratio", "of the pairs")
    cells = [f"{name:{'<' if at == 0 else '>'}{_WIDTHS[at]}}" for at, name in enumerate(names)]
    return "  ".join([*cells, "beside what"])


def lines(section: Section) -> list[str]:
    """A section as aligned text."""
    out = ["", section.title, *(f"  {part}" for part in section.about.splitlines())]
    for figure in section.figures:
        *cells, note = figure.cells()
        shown = [f"{cell:{'<' if at == 0 else '>'}{_WIDTHS[at]}}" for at, cell in enumerate(cells)]
        out.append("  ".join([*shown, note]).rstrip())
    return out


def environment(home: Path) -> dict[str, str]:
    """The environment of measured programs: a home of their own, none of the user's settings."""
    mine = ("IBTUI_", "IB_", "TWILIO_", "XDG_", "PYTHON", "COVERAGE_", "NO_COLOR", "TEXTUAL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    folders = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    return {**kept, **folders, "HOME": str(home)}


def script(name: str) -> str:
    """A program installed beside this Python."""
    return str(Path(sys.executable).parent / name)
