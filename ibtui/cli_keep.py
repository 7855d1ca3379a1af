"""The words of `ibtui keep`, and the one that starts what it speaks of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def group(kind: type[click.Group], common: Callable[[Any], Any]) -> click.Group:
    """The group; `kind` lists its commands in order, `common` adds the options that work everywhere."""

    @click.group(cls=kind)
    def keep() -> None:
        """The process that keeps the session alive when no terminal is open."""

    @keep.command("status")
    @common
    def keep_status(context: Any) -> Any:
        """Whether one runs, since when, and what it waits for. Example: ibtui keep status"""
        from ibtui.service.commands import supervise as commands

        return commands.status(context)

    @keep.command("stop")
    @common
    def keep_stop(context: Any) -> Any:
        """End it; gateway and session are left as they are. Example: ibtui keep stop"""
        from ibtui.service.commands import supervise as commands

        return commands.stop(context)

    return keep


@click.command("supervise", hidden=True)
@click.option("--profile", metavar="NAME", help="For process lists; what it is to do comes by a pipe.")
def supervise(profile: str | None) -> Any:
    """Started by ibtui itself."""
    from ibtui.service.commands import supervise as commands

    return commands.supervise()
