"""Changes single keys of the settings file; comments, order and everything else stay as they are."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AbstractTable

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
                if not isinstance(table, AbstractTable):
                    raise UsageError(f"{path}: {name} is not a table.", "Correct it there.")
            table[key] = _item(value)
    except (TOMLKitError, ValueError) as error:
        raise UsageError(
            f"The settings file {path} is not TOML: {error}.", "Correct it there; then: ibtui config check"
        ) from None
    return tomlkit.dumps(document).rstrip("\n") + "\n"


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
