"""The file of a user name's auth data: where it is, how it is read anew and changed as a whole.

Every change is: lock, read anew, replace the whole file, fsync. One writer at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from ibtui import paths
from ibtui.auth import files, lock, ocra
from ibtui.auth.fields import Data

T = TypeVar("T")


class Box:
    """The file of `username` in `folder`, our own data folder where none is given.

    With `plain` the file is exactly `folder`/data.json, for other programs that use it (DESIGN §2.3).

    Args:
        timeout: seconds to wait for another writer. `stop`: ends that wait at once.

    Raises:
        UsageError: no user name.
    """

    def __init__(
        self,
        username: str,
        folder: Path | None,
        *,
        plain: bool,
        timeout: float,
        stop: threading.Event | None,
    ) -> None:
        self.username = username.strip()
        self.folder = folder or paths.data_dir() / "auth"
        self.plain = plain
        self._name = files.safe_name(username)
        self._timeout = timeout
        self._stop = stop

    @property
    def path(self) -> Path:
        """The file. In plain mode data.json belongs to the first user name, others have data.USER.json.

        Where it is a link, the file behind it: whoever else reads that one must see each change.
        """
        path = self._named()
        return Path(os.path.realpath(path)) if path.is_symlink() else path

    def _named(self) -> Path:
        if not self.plain:
            return self.folder / f"{self._name}.json"
        shared = self.folder / files.DEFAULT
        own = self.folder / f"data.{self._name}.json"
        found = files.read(shared)
        if found is None:
            return own if own.exists() else shared
        user = found.get("user")
        if isinstance(user, str) and user.strip():
            return shared if user.strip().lower() == self.username.lower() else own
        return own if own.exists() else shared

    def conversation(
        self, timeout: float, stop: threading.Event | None = None
    ) -> AbstractContextManager[None]:
        """Hold the one login of this user name on this machine; others wait up to `timeout` seconds.

        Whoever waited looks first whether the other one's login was successful.

        Raises:
            Busy: not free within the time-out, or `stop` was set. IbtuiError: there can be no lock.
        """
        self._prepare()
        return lock.held(self.folder / f".{self._name}.login.lock", "logging in", timeout, stop)

    def _prepare(self) -> None:
        files.make_folder(self.folder)
        files.check_folder(self.folder, strict=not self.plain)

    def _checked(self) -> Path:
        files.check_folder(self.folder, strict=not self.plain)
        path = self.path
        if path.parent != self.folder:
            files.check_folder(path.parent, strict=False)
        return path

    def _read(self) -> tuple[Path, Data]:
        path = self._checked()
        return path, files.read(path) or {}

    def _change(self, change: Callable[[Data, Path], T]) -> T:
        """Lock, read anew, change, replace, sync. An error of `change` leaves the file alone."""
        self._prepare()
        # In plain mode who owns data.json is decided here too, so one lock serves all user names.
        name = "data" if self.plain else self._name
        with lock.held(self.folder / f".{name}.lock", "writing the auth data", self._timeout, self._stop):
            path = self._checked()
            files.sweep(path)
            data = files.read(path)
            if data is None:
                data = self._fresh()
            result = change(data, path)
            data.setdefault("user", self.username)
            data["user"] = data["user"] or self.username
            files.replace(path, data)
            return result

    def _fresh(self) -> Data:
        # The node service makes its PIN with the file and never again.
        pin = ocra.make_pin().reveal() if self.plain else None
        return {"pin": pin, "ocra": None, "counter": 2, "attempts": 0, "user": self.username}
