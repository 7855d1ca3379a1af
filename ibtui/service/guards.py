"""Whether one user name is guarded twice: two files that count its attempts know nothing of each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ibtui.config import Settings
from ibtui.errors import IbtuiError
from ibtui.service.vaults import vault_for

FIX = "Give those profiles one data_store_path, or none."


@dataclass(frozen=True, slots=True)
class Twice:
    """A user name with more than one file of auth data; `files`: file -> the profiles that use it."""

    user: str
    files: dict[Path, list[str]]

    @property
    def text(self) -> str:
        """One sentence without an end: user name, files and profiles."""
        files = " and ".join(f"{path} (profile {', '.join(names)})" for path, names in self.files.items())
        return (
            f"failed logins of {self.user} are counted in {len(self.files)} files that know nothing of each"
            f" other: {files}; IBKR counts them together"
        )


def twice(settings: Settings) -> Iterator[Twice]:
    """User names that profiles guard with different files; reads them, for callers in threads."""
    found: dict[str, Twice] = {}
    for profile in settings.profiles.values():
        user = profile.username.strip()
        if profile.mode != "gateway" or not user:
            continue
        try:
            path = Path(os.path.realpath(vault_for(profile, user).status().path))
        except IbtuiError:
            continue  # the next login with it says what is wrong
        one = found.setdefault(user.lower(), Twice(user, {}))
        one.files.setdefault(path, []).append(profile.name)
    yield from (it for it in found.values() if len(it.files) > 1)
