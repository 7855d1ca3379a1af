"""`Shy`: a record that shows of itself what it names, and nothing else."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec


class Shy(msgspec.Struct, frozen=True):
    """A frozen record; its repr, and rich's in a traceback, hold only the fields in `SHOWN`."""

    SHOWN: ClassVar[tuple[str, ...]] = ()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.SHOWN]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"
