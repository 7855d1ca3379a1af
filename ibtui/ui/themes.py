"""Themes from TOML files: ours (`themes/`) and the user's own (`themes/` beside the settings).

A file holds the members of Textual's `Theme`, and `[variables]` such as `pnl-up` and `pnl-down`.
A broken file is reported, never fatal.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from textual.color import ColorParseError
from textual.theme import Theme

DEFAULT = "ibtui-dark"
OURS = ("ibtui-dark", "ibtui-light", "ibtui-contrast", "ibtui-blue")


def variables(theme: Theme) -> dict[str, str]:
    """Our own variables for a theme that lacks them: gains like success, losses like errors."""
    if "pnl-up" in theme.variables and "pnl-down" in theme.variables:
        return {}
    colours = theme.to_color_system().generate()
    return {"pnl-up": colours["text-success"], "pnl-down": colours["text-error"]}


def folders(config_dir: Path) -> list[Path]:
    """Where themes are looked for, ours first; the wheel carries them inside the package."""
    package = Path(__file__).parents[1]
    shipped = package / "_themes"
    return [shipped if shipped.is_dir() else package.parent / "themes", config_dir / "themes"]


def load(file: Path) -> Theme:
    """Read one theme; its name is the file's unless it says otherwise.

    Raises:
        ValueError: not TOML, an unknown key or a bad value; the text names the file.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        table.setdefault("name", file.stem)
        unknown = table.keys() - {member.name for member in fields(Theme)}
        if unknown:
            raise ValueError(f"unknown key {min(unknown)!r}")
        theme = Theme(**_checked(table))
        theme.to_color_system().generate()
    except (OSError, ValueError, TypeError, ColorParseError) as error:
        raise ValueError(f"Theme file {file}: {str(error) or type(error).__name__}") from None
    return theme


def _checked(table: dict[str, Any]) -> dict[str, Any]:
    """Colours and variables must be text, the two switches true or false."""
    for key, value in table.items():
        if key == "variables":
            if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
                raise ValueError("variables must be a table of texts")
        elif key in ("dark", "ansi"):
            if not isinstance(value, bool):
                raise ValueError(f"{key} must be true or false")
        elif key not in ("luminosity_spread", "text_alpha") and not isinstance(value, str):
            raise ValueError(f"{key} must be a text")
    return table


def find(name: str, config_dir: Path) -> Path | None:
    """The file of a theme; the user's own wins over ours of the same name."""
    if Path(name).name != name:
        return None
    for folder in reversed(folders(config_dir)):
        file = folder / f"{name}.toml"
        if file.is_file():
            return file
    return None


def load_all(config_dir: Path) -> Iterator[Theme | ValueError]:
    """Every theme there is, and the error of each file that is broken."""
    for folder in folders(config_dir):
        for file in sorted(folder.glob("*.toml")):
            try:
                yield load(file)
            except ValueError as error:
                yield error


def fitting(wanted: str, color_system: str | None, *, no_color: bool) -> str:
    """The theme a terminal can show: with 16 colours or none the terminal's own, without any the starkest.

    Under NO_COLOR the 16-colour themes would come out black on black.
    """
    if no_color:
        return "ibtui-contrast"
    if color_system in ("standard", None) and not wanted.startswith("ansi-"):
        return "ansi-light" if wanted.endswith("-light") else "ansi-dark"
    return wanted
