"""`ibtui config …`."""

from __future__ import annotations

import os
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from ibtui import config, paths
from ibtui.errors import UsageError
from ibtui.service import guards, output
from ibtui.service.commands.context import Context


def init(path: Path | None, *, as_json: bool = False) -> int:
    """Write the commented defaults; never over an existing file."""
    target = config.file_path(path)
    real = Path(os.path.realpath(target))  # a link that leads nowhere yet stays one
    if os.path.lexists(real):
        raise UsageError(f"{target} exists already.", "Edit it, or name another file with --config.")
    paths.write_private(real, config.example_text().encode())
    output.say("Wrote the defaults; edit what you need:")
    return _place(target, as_json)


def path(given: Path | None, *, as_json: bool = False) -> int:
    """Print where the settings file lies."""
    return _place(config.file_path(given), as_json)


def _place(file: Path, as_json: bool) -> int:
    if as_json:
        output.dump({"path": str(file), "exists": file.exists()})
    else:
        output.out(str(file))
    return 0


def check(context: Context) -> int:
    """Settings were read without complaint when we get here; is the profile there too?"""
    profile = context.profile
    if not context.settings.path.exists():
        output.say(f"{context.settings.path} does not exist; the defaults are used.")
    output.say(f"Settings are fine; profile {profile.name!r}: {profile.mode}, {profile.account_type}.")
    found = [one.text for one in guards.twice(context.settings)]
    for text in found:
        output.say(f"Note: {text}. {guards.FIX}")
    if context.as_json:
        path_ = str(context.settings.path)
        output.dump({"ok": True, "path": path_, "profile": profile.name, "warnings": found})
    return 0


def show(context: Context) -> int:
    """Every key, its value and its origin."""
    rows = list(_rows(context))
    if context.as_json:
        output.dump(rows)
    else:
        output.table(
            rows, [output.Col("Key", "key"), output.Col("Value", "shown"), output.Col("From", "origin")]
        )
    return 0


def change(context: Context, key: str, value: str) -> int:
    """Set one key; the value is TOML, or a text as it stands."""
    from ibtui import rewrite

    if len(key.split(".")) == 1 and key != "profile":
        key = f"profiles.{context.settings.profile}.{key}"
    path_ = context.settings.path
    rewrite.set_keys(path_, {key: _meant(value)})
    output.say(f"{key} is set in {path_}.")
    origin = config.load(path_).origins.get(key, "")
    beaten = origin.removeprefix("environment ") if origin.startswith("environment") else None
    if beaten is not None:
        output.say(f"{beaten} is set in the environment and beats it.")
    if context.as_json:
        output.dump({"key": key, "path": str(path_), "beaten_by": beaten})
    return 0


def _meant(text: str) -> Any:
    """`true`, `30` and `["a", "b"]` as TOML reads them; everything else is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def take_in(context: Context, *, dry: bool) -> int:
    """Write what other programs' variables say into the chosen profile; secrets stay where they are."""
    from ibtui import importing, rewrite

    found = importing.read(config.environment())
    if not found.keys and not found.left:
        raise UsageError(
            "None of the variables IBEAM_… or IB_… is set.",
            "Set them as the other program has them (set -a; . ./its.env), then try again.",
        )
    name = context.settings.profile
    changes = {
        key if "." in key else f"profiles.{name}.{key}": value for key, (value, _) in found.keys.items()
    }
    if changes and not dry:
        rewrite.set_keys(context.settings.path, changes)
    for key, (value, variable) in found.keys.items():
        shown = "where it is, in that variable" if isinstance(value, dict) else value
        output.say(f"{variable:<32} {key} = {shown}")
    for variable, why in found.left.items():
        output.say(f"{variable:<32} left: {why}")
    done = "would be written" if dry else "written"
    output.say(f"{len(changes)} keys {done} to [profiles.{name}] of {context.settings.path}.")
    if context.as_json:
        output.dump({"profile": name, "keys": [*found.keys], "left": dict(found.left), "written": not dry})
    return 0


def _rows(context: Context) -> list[dict[str, Any]]:
    settings = context.settings
    tables: list[tuple[str, Any]] = [(name, getattr(settings, name)) for name in config.SECTIONS]
    tables += [(f"profiles.{name}", profile) for name, profile in settings.profiles.items()]
    out = [_row("profile", settings.profile, settings.origins)]
    for prefix, table in tables:
        out += [
            _row(f"{prefix}.{f.name}", getattr(table, f.name), settings.origins)
            for f in fields(table)
            if f.name != "name"
        ]
    return out


def _row(key: str, value: Any, origins: Any) -> dict[str, Any]:
    if isinstance(value, config.Source):
        # Where the secret comes from, never the secret.
        origin = origins.get(key) or origins.get(f"{key}.{value.kind}", "default")
        return {"key": key, "value": str(value), "shown": str(value) or '""', "origin": origin}
    shown = list(value) if isinstance(value, tuple) else value
    text = str(value).lower() if isinstance(value, bool) else (str(shown) if shown != "" else '""')
    return {"key": key, "value": shown, "shown": text, "origin": origins.get(key, "default")}
