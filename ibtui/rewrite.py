"""Changes single keys of the settings file; comments, order and everything else stay as they are."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from ibtui import config, given, paths
from ibtui.errors import UsageError


def set_keys(path: Path, changes: Mapping[str, Any]) -> None:
    """Set keys of the settings file in one step; a file that is not there is made (0600).

    Keys are dotted, as `profiles.default.account_type`; a value is a text, number, boolean, a list of
    texts, or a mapping, which takes the place of the table of that name. The mode stays, and a symbolic
    link (into a folder of dotfiles, say) stays one: what it leads to is changed. The result is read as
    settings before it replaces the file, so a bad value changes nothing.

    Raises:
        UsageError: an unknown key or a bad value, or the file cannot be read, is not TOML, or cannot
            be written.
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise UsageError(f"{path} is a link that leads in a circle.", "Make another one.")
    try:
        if not target.parent.exists():
            paths.private(target.parent)
        with _alone(target):
            content, mode = given.read(target, given.LONGEST + 1) if target.exists() else (b"", 0o600)
            if len(content) > given.LONGEST:
                raise UsageError(f"{path} is too large for a settings file.", "Is it the right one?")
            changed = _changed(content.decode("utf-8"), changes, path)
            _check(path, target, changed)
            paths.write_private(target, changed.encode())
            if stat.S_IMODE(mode) != 0o600:
                target.chmod(stat.S_IMODE(mode))
    except UnicodeDecodeError:
        raise UsageError(f"The settings file {path} is not UTF-8 text.", "Correct it there.") from None
    except OSError as error:
        raise UsageError(
            f"The settings file {path} cannot be changed: {error.strerror}.", "Check its folder's rights."
        ) from None


def _changed(text: str, changes: Mapping[str, Any], path: Path) -> str:
    try:
        document = tomlkit.parse(text)
        for dotted, value in changes.items():
            *tables, key = dotted.split(".")
            table: Any = document
            for name in tables:
                if name not in table:
                    table[name] = tomlkit.table(is_super_table=name == "profiles")
                table = table[name]
                # Not always a Table: one whose parts stand apart in the file is a view of them.
                if not isinstance(table, MutableMapping):
                    raise UsageError(f"{path}: {name} is not a table.", "Correct it there.")
            table[key] = _item(value)
        meant = _meant(text, changes)
    except (TOMLKitError, ValueError) as error:
        raise UsageError(
            f"The settings file {path} is not TOML: {error}.", "Correct it there; then: ibtui config check"
        ) from None
    changed = tomlkit.dumps(document).rstrip("\n") + "\n"
    if tomllib.loads(changed) != meant:
        raise UsageError(f"{path} is written in a way that cannot be changed here.", "Change it there.")
    return changed


def _meant(text: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the changed file must say, whatever its form is."""
    tables = tomllib.loads(text)
    for dotted, value in changes.items():
        *above, key = dotted.split(".")
        table = tables
        for name in above:
            table = table.setdefault(name, {})
        table[key] = _plain(value)
    return tables


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _item(value: Any) -> Any:
    if isinstance(value, Mapping):
        table = tomlkit.table()
        for key, inner in value.items():
            table[key] = _item(inner)
        return table
    return list(value) if isinstance(value, tuple) else value


def _check(path: Path, target: Path, text: str) -> None:
    """Read the new text as settings, from a file beside `target`; errors name `path`."""
    trial = target.with_name(f".{target.name}.{os.getpid()}.new")
    paths.write_private(trial, text.encode())
    try:
        config.load(trial, env={})
    except UsageError as error:
        raise UsageError(error.what.replace(str(trial), str(path)), error.fix) from None
    finally:
        trial.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One writer at a time."""
    lock = path.with_name(f".{path.name}.lock")
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
