"""`Secret`: a value that cannot be printed by accident, nor be left on disk by a crash."""

from __future__ import annotations

import contextlib
import hmac
import resource
from typing import NoReturn


def leave_no_core() -> None:
    """A crash of this process, or of one that it starts, writes no memory to disk: secrets are in it."""
    with contextlib.suppress(OSError, ValueError):  # a sandbox that forbids it sets its own limit
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


class Secret:
    """Wraps a password, token or code. `repr`, `str` and formatting show `***`.

    Only `reveal()` gives the text; search for that word to find every place where
    a secret is used. It can be neither pickled nor copied into JSON by accident.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; only where the bytes are needed."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return id(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret does not travel")
