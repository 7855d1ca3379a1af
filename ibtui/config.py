"""Settings: default < file < environment < flag; every value knows where it came from.

The defaults are `config.example.toml`, key for key (a test says so). No settings are
read from the current folder, and a file that others may write is refused.
"""

from __future__ import annotations

import os
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ibtui import aliases, checks, given, paths
from ibtui.checks import LOOPBACK, MODES, NAME, SHOW, nearest, where
from ibtui.errors import UsageError
from ibtui.profile import HOWS, SECRETS, Addresses, Profile, Serve, Source, Ui

__all__ = ["LOOPBACK", "MODES", "Addresses", "Profile", "Serve", "Settings", "Source", "Ui", "load"]

PREFIX = "IBTUI_"
SECTIONS = {"ui": Ui, "addresses": Addresses, "serve": Serve}


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one run, frozen."""

    profile: str = "default"
    """The profile used when none is named."""
    ui: Ui = Ui()
    addresses: Addresses = Addresses()
    serve: Serve = Serve()
    profiles: Mapping[str, Profile] = field(default_factory=lambda: {"default": Profile()})
    origins: Mapping[str, str] = field(default_factory=dict)
    """`ui.theme` -> `default`, `file …`, `environment …` or `flag`."""
    path: Path = field(default_factory=lambda: default_path())
    """The settings file, which need not exist."""

    def chosen(self) -> Profile:
        """The profile this run works on.

        Raises:
            UsageError: no profile of that name.
        """
        found = self.profiles.get(self.profile)
        if found is None:
            raise UsageError(
                f"There is no profile {self.profile!r}{nearest(self.profile, self.profiles)}.",
                f"Profiles in {self.path}: {', '.join(sorted(self.profiles))}.",
            )
        return found


def default_path() -> Path:
    """Where the settings file lies unless `--config` or IBTUI_CONFIG says otherwise."""
    return paths.config_dir() / "config.toml"


def file_path(path: Path | None = None, env: Mapping[str, str] | None = None) -> Path:
    """The settings file: `path` if given, else IBTUI_CONFIG, else the platform's place."""
    env = environment() if env is None else env
    return path or (Path(env["IBTUI_CONFIG"]) if env.get("IBTUI_CONFIG") else default_path())


def environment() -> dict[str, str]:
    """A copy of this process's environment, for programs that we start (they get an allow-list of it)."""
    return {**os.environ, **_handed}


def hand_over(variables: Mapping[str, str]) -> None:
    """Variables that came over a pipe: read like the environment's, seen in no process list."""
    _handed.clear()
    _handed.update(variables)


_handed: dict[str, str] = {}


def example_text() -> str:
    """The commented defaults, from the wheel or a source checkout."""
    here = Path(__file__).parent
    for path in (here / "_config.example.toml", here.parent / "config.example.toml"):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise UsageError("The example settings are missing from this installation.", "Install ibtui again.")


def load(
    path: Path | None = None,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Read the settings.

    Args:
        path: the file; None means IBTUI_CONFIG or the platform's place, which may be missing.
        env: the environment; None means this process's.
        flags: dotted keys from the command line, strongest.

    Raises:
        UsageError: unreadable, writable by others, not TOML, an unknown key or a bad value;
            names the file, the key and the nearest known key.
    """
    env = environment() if env is None else env
    file = file_path(path, env)
    tables: dict[str, Any] = {}
    if file.exists() or file != default_path():
        tables = _read(file)
    origins: dict[str, str] = {}
    merged = _from_file(tables, str(file), origins)
    _from_environment(env, merged, origins)
    for key, value in (flags or {}).items():
        _put(merged, key, value)
        origins[key] = "flag"
    _from_aliases(env, merged, origins)
    return _build(merged, origins, file)


def _read(file: Path) -> dict[str, Any]:
    try:
        raw, mode = given.read(file, given.LONGEST + 1, fix="Name another one: --config FILE")
    except OSError as error:
        raise UsageError(
            f"The settings file {file} cannot be read: {error.strerror}.", "Make one: ibtui config init"
        ) from None
    if mode & 0o022:
        raise UsageError(f"Others may write the settings file {file}.", f"Run: chmod go-w '{file}'")
    if len(raw) > given.LONGEST:
        raise UsageError(f"{file} is too large for a settings file.", "Is it the right one?")
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The settings file {file} is not TOML: {error}.", "Correct it there; then: ibtui config check"
        ) from None


def _put(merged: dict[str, Any], dotted: str, value: Any) -> None:
    *tables, key = dotted.split(".")
    for table in tables:
        merged = merged.setdefault(table, {})
    merged[key] = value


def _from_file(tables: dict[str, Any], where: str, origins: dict[str, str]) -> dict[str, Any]:
    def walk(table: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in table.items():
            dotted = f"{prefix}{key}"
            if isinstance(value, dict):
                out[key] = walk(value, f"{dotted}.")
            else:
                out[key] = value
                origins[dotted] = f"file {where}"
        return out

    return walk(tables, "")


def _from_environment(env: Mapping[str, str], merged: dict[str, Any], origins: dict[str, str]) -> None:
    for name, value in env.items():
        if not name.startswith(PREFIX) or name == "IBTUI_CONFIG":
            continue
        key = _env_key(name.removeprefix(PREFIX).lower(), merged)
        if key is None:
            continue
        origins[key] = f"environment {name}"
        secret, how = _secret(key)
        if secret:
            # It takes the place of whatever source stands in the file; a secret itself stays where it is.
            value_: Any = {how: value} if how else {"env": name}
            _put(merged, key.removesuffix(f".{how}") if how else key, value_)
        else:
            _put(merged, key, value)


def _secret(key: str) -> tuple[str, str]:
    """Of `profiles.NAME.password.file`: the secret and how it is found; empty for other keys."""
    parts = key.split(".")
    if len(parts) < 3 or parts[0] != "profiles":
        return "", ""
    if parts[-1] in SECRETS:
        return parts[-1], ""
    return (parts[-2], parts[-1]) if len(parts) > 3 and parts[-2] in SECRETS else ("", "")


def _from_aliases(env: Mapping[str, str], merged: dict[str, Any], origins: dict[str, str]) -> None:
    """The node service's variables, for the chosen profile; our own variables and flags beat them."""
    for dotted, (value, variable) in aliases.sections(env).items():
        if not origins.get(dotted, "").startswith(("environment", "flag")):
            _put(merged, dotted, value)
            origins[dotted] = f"environment {variable}"
    profiles = merged.get("profiles") or {"default": {}}
    if not isinstance(profiles, dict):
        return
    name = str(_chosen(merged, profiles))
    table = profiles.get(name)
    if not isinstance(table, dict) or table.get("mode") == "demo":
        return
    for key, (value, variable) in aliases.found(env).items():
        dotted = f"profiles.{name}.{key}"
        stronger = [it for it in (dotted, *(f"{dotted}.{how}" for how in HOWS)) if it in origins]
        if any(origins[it].startswith(("environment", "flag")) for it in stronger):
            continue
        table[key] = value
        merged["profiles"] = profiles
        origins[dotted] = f"environment {variable}"


def _chosen(merged: Mapping[str, Any], profiles: Mapping[str, Any]) -> Any:
    return merged.get("profile") or ("default" if "default" in profiles else next(iter(profiles)))


def _env_key(word: str, merged: Mapping[str, Any]) -> str | None:
    if word == "profile":
        return "profile"
    for section, shape in SECTIONS.items():
        rest = word.removeprefix(f"{section}_")
        if rest != word and rest in _names(shape):
            return f"{section}.{rest}"
    rest = word.removeprefix("profiles_")
    if rest == word:
        return None
    # `password_file` is the file of `password`; a command is a list, which no variable holds.
    sources = {f"{secret}_{how}": f"{secret}.{how}" for secret in SECRETS for how in HOWS[1:]}
    words = {**{name: name for name in _names(Profile)}, **sources}
    key = next((k for k in sorted(words, key=len, reverse=True) if rest.endswith(f"_{k}")), None)
    if key is None:
        return None
    spelled = rest.removesuffix(f"_{key}")
    known = {name.lower().replace("-", "_"): name for name in merged.get("profiles", {})}
    return f"profiles.{known.get(spelled, spelled)}.{words[key]}"


def _names(shape: type) -> frozenset[str]:
    return frozenset(f.name for f in fields(shape)) - {"name", "origins", "path"}


def _build(merged: dict[str, Any], origins: dict[str, str], file: Path) -> Settings:
    known = ("profile", *SECTIONS, "profiles")
    for key in merged:
        if key not in known:
            place = where(key, origins, file)
            raise UsageError(f"{place}: unknown key {key!r}{nearest(key, known)}.", SHOW)
    tables = merged.get("profiles", {})
    if not isinstance(tables, dict):
        raise UsageError(f"{file}: profiles must be tables.", "Write [profiles.NAME].")
    ui = _section(Ui, merged.get("ui", {}), "ui", origins, file)
    addresses = _section(Addresses, merged.get("addresses", {}), "addresses", origins, file)
    profiles: dict[str, Profile] = {}
    serve = _section(Serve, merged.get("serve", {}), "serve", origins, file)
    checks.check_ui(ui, origins, file)
    checks.check_addresses(addresses, origins, file)
    checks.check_serve(serve, origins, file)
    for name, table in tables.items():
        if not NAME.fullmatch(name):
            # It names folders and files too.
            raise UsageError(
                f"{file}: {name!r} cannot be a profile's name.", "Use letters, digits, '-', '_' and '.'."
            )
        if not isinstance(table, dict):
            raise UsageError(f"{file}: profiles.{name} must be a table.", f"Write [profiles.{name}].")
        profile = _section(Profile, table, f"profiles.{name}", origins, file)
        profiles[name] = checks.check_profile(replace(profile, name=name), origins, file)
    profiles = profiles or {"default": Profile()}
    chosen = _chosen(merged, profiles)
    return Settings(str(chosen), ui, addresses, serve, profiles, origins, file)


S = typing.TypeVar("S", Profile, Ui, Addresses, Serve, Source)


def _section(shape: type[S], table: Any, dotted: str, origins: Mapping[str, str], file: Path) -> S:
    if not isinstance(table, dict):
        raise UsageError(f"{file}: {dotted} must be a table.", f"Write [{dotted}].")
    hints = typing.get_type_hints(shape)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _names(shape):
            place = where(f"{dotted}.{key}", origins, file)
            raise UsageError(f"{place}: unknown key {key!r}{nearest(key, _names(shape))}.", SHOW)
        if hints[key] is Source:
            values[key] = _source(value, f"{dotted}.{key}", origins, file)
        else:
            values[key] = _value(hints[key], value, f"{dotted}.{key}", origins, file)
    return shape(**values)


def _source(table: Any, dotted: str, origins: Mapping[str, str], file: Path) -> Source:
    place = where(dotted, origins, file)
    if not isinstance(table, dict):
        # Whatever stands there may be the secret itself, so it is not repeated.
        raise UsageError(
            f"{place}: must be a table that says where the secret comes from, not the secret.",
            f'Write [{dotted}] and below it, say, command = ["pass", "show", "ibkr"]',
        )
    found = _section(Source, table, dotted, origins, file)
    given = [how for how in HOWS if getattr(found, how)]
    if len(given) > 1:
        raise UsageError(f"{place}: {' and '.join(given)}: only one may be set.", "Remove the others.")
    return replace(found, file=os.path.expanduser(found.file))


def _value(hint: Any, value: Any, dotted: str, origins: Mapping[str, str], file: Path) -> Any:
    if hint is bool and isinstance(value, str) and value.lower() in _BOOLS:
        return _BOOLS[value.lower()]
    if hint is int and isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if hint == tuple[str, ...]:
        if (
            isinstance(value, Sequence)
            and not isinstance(value, str)
            and all(isinstance(v, str) for v in value)
        ):
            return tuple(value)
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    names = {bool: "true or false", int: "a whole number", str: "a text"}
    what = names.get(hint, "a list of texts")
    raise UsageError(f"{where(dotted, origins, file)}: must be {what}.", "Correct it and try again.")


_BOOLS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}
