"""Where secrets come from: a program, a file, a systemd credential, the keyring, the environment.

Nothing read here is stored, and no source is ever an argument of ours: process lists show those.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ibtui import config, given
from ibtui.errors import PersonNeeded, UsageError
from ibtui.profile import Source
from ibtui.secret import Secret

COMMAND_S = 10.0
"""Seconds a program may take."""
_LONGEST = 64 * 1024
_PASSED_ON = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TERM", "TMPDIR"),
        *("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK"),
        *("GNUPGHOME", "GPG_TTY", "PASSWORD_STORE_DIR"),
    }
)
"""Of our environment a program gets these, LC_* and XDG_*: what password managers need."""


@dataclass(frozen=True, slots=True)
class SecretSource:
    """One secret of a profile.

    `name` is for people: `password`. Without a source `read` gives None: nobody set one.
    """

    name: str
    source: Source
    env: Mapping[str, str] = field(default_factory=config.environment, repr=False)

    def __bool__(self) -> bool:
        return bool(self.source)

    async def read(self) -> Secret | None:
        """The secret, read anew each time; the first line without its end.

        Raises:
            UsageError: the source is not there, or others may read it.
            PersonNeeded: it is there and gives nothing now (a locked password store, say).
        """
        match self.source.kind:
            case "command":
                text = await first_line(self.source.command, self.env, f"the {self._label}")
            case "file":
                text = await asyncio.to_thread(private_line, Path(self.source.file))
            case "credential":
                text = await asyncio.to_thread(self._credential)
            case "keyring":
                text = await asyncio.to_thread(self._keyring)
            case "env":
                text = self._variable()
            case _:
                return None
        if not text:
            raise PersonNeeded(f"The {self._label} is empty ({self.source}).", "Look at its source.")
        return Secret(text)

    @property
    def _label(self) -> str:
        return self.name.replace("_", " ")

    def _credential(self) -> str:
        folder, name = self.env.get("CREDENTIALS_DIRECTORY", ""), self.source.credential
        if not folder:
            raise UsageError(
                f"The {self._label} is a systemd credential, and systemd gave none.",
                f"Add LoadCredential={name}:PATH to the unit, or name another source.",
            )
        if Path(name).name != name:
            raise UsageError(f"{name!r} is no name of a credential.", "It has no slash.")
        return _first(_bytes(Path(folder) / name))  # systemd keeps it private itself

    def _keyring(self) -> str:
        service, _, user = self.source.keyring.rpartition("/")
        if not service or not user:
            raise UsageError(
                f"{self.source.keyring!r} names no entry of the keyring.", 'Write keyring = "SERVICE/USER".'
            )
        try:
            keyring: Any = importlib.import_module("keyring")
        except ImportError:
            raise UsageError(
                "The keyring is not installed.", "Install it beside ibtui: pip install keyring"
            ) from None
        try:
            found = keyring.get_password(service, user)
        except Exception as error:  # noqa: BLE001 - every backend has errors of its own
            raise PersonNeeded(
                f"The keyring did not give the {self._label} ({type(error).__name__}).", "Unlock it."
            ) from None
        if not found:
            raise UsageError(
                f"The keyring has no entry {self.source.keyring!r}.", f"Run: keyring set {service} {user}"
            )
        return str(found)

    def _variable(self) -> str:
        found = self.env.get(self.source.env)
        if found is None:
            raise UsageError(
                f"The environment variable {self.source.env} with the {self._label} is not set.",
                "Set it, or name another source.",
            )
        return found.strip("\r\n")


def private_line(path: Path) -> str:
    """The first line of a file that only its owner may read, or of a shell's `<(…)`.

    Raises:
        UsageError: it cannot be read, is none, or others may read it; says the command that mends it.
    """
    try:
        content, mode = given.read(path, _LONGEST, pipe=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Look at its name and owner.") from None
    if mode & 0o077:
        raise UsageError(f"Others may read {path}.", f"Run: chmod 600 '{path}'")
    return _first(content)


def _bytes(path: Path) -> bytes:
    try:
        return given.read(path, _LONGEST)[0]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Look at its owner.") from None


def _first(content: bytes) -> str:
    return content.split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8", "replace")


async def first_line(
    command: tuple[str, ...], env: Mapping[str, str], what: str, timeout: float = COMMAND_S, **more: str
) -> str:
    """What a program prints first; no shell, no standard input, a scrubbed environment plus `more`.

    Its complaints are not shown, for they might repeat the secret. It is the leader of a
    group of its own, which is ended with it.

    Raises:
        UsageError: it cannot be started. PersonNeeded: it failed, or took longer than `timeout` seconds.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**scrubbed(env), **more},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a program's name"
        raise UsageError(f"The program for {what} ({command[0]}) cannot be started: {why}.") from None
    by_hand = "Run it by hand to see why."
    try:
        async with asyncio.timeout(timeout):
            assert process.stdout is not None
            content = await process.stdout.readline()
            while await process.stdout.read(_LONGEST):
                continue  # whoever is not read does not end
            code = await process.wait()
    except ValueError:
        raise PersonNeeded(f"{command[0]} gave a line without end for {what}.", by_hand) from None
    except TimeoutError:
        raise PersonNeeded(f"{command[0]} did not give {what} within {timeout:g} s.", by_hand) from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code:
        raise PersonNeeded(f"{command[0]} did not give {what} (exit status {code}).", by_hand)
    return _first(content)


def scrubbed(env: Mapping[str, str]) -> dict[str, str]:
    """What of an environment a program of the person's may see: no secret of ours."""
    return {
        name: value for name, value in env.items() if name in _PASSED_ON or name.startswith(("LC_", "XDG_"))
    }


def of(profile: config.Profile, name: str) -> SecretSource:
    """The source of one of `profile.SECRETS`."""
    source: Source = getattr(profile, name)
    return SecretSource(name, source)
