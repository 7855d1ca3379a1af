"""The words of `ibtui serve`; see `cli`, which they belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ibtui.cli_help import Command


def command(common: Callable[[Any], Any]) -> click.Command:
    """The command; `common` adds the options that work everywhere."""

    @click.command("serve", cls=Command)
    @common
    @click.option("--host", metavar="ADDRESS", help="Address to listen on; serve.host when not given.")
    @click.option("--port", type=click.IntRange(0, 65535), help="Port; serve.port when not given, 0: any.")
    def serve(context: Any, **options: Any) -> Any:
        """The service on port 5050: start, log in, stop, health, events. Example: ibtui serve --port 5050"""
        from ibtui.service.commands import serve as commands

        return commands.serve(context, **options)

    return serve
