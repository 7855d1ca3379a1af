"""The words of `ibtui oauth`; see `cli`, which they belong to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_FOLDER = click.Path(path_type=Path, file_okay=False)


def group(kind: type[click.Group], common: Callable[[Any], Any]) -> click.Group:
    """The group; `common` adds the options that work everywhere."""

    @click.group(cls=kind)
    def oauth() -> None:
        """Sessions at IBKR without the gateway: keys, registration, test."""

    @oauth.command("keygen")
    @common
    @click.option("--folder", type=_FOLDER, metavar="FOLDER", help="Where to; the profile's unless given.")
    def oauth_keygen(context: Any, folder: Path | None) -> Any:
        """Make keys and Diffie-Hellman parameters; takes up to minutes. Example: ibtui oauth keygen"""
        from ibtui.service.commands import oauth as commands

        return commands.keygen(context, folder)

    @oauth.command("configure")
    @common
    @click.option(
        "--import", "source", metavar="SOURCE", help="A folder of PEM files, an oauth1.json, a .env, or env."
    )
    @click.option("--user", metavar="NAME", default="", help="Which user of IBKR's sample file.")
    @click.option("--start-over", is_flag=True, help="Begin a new registration; old keys stay.")
    def oauth_configure(context: Any, **options: Any) -> Any:
        """Register with IBKR step by step; goes on where it was left. Example: ibtui oauth configure"""
        from ibtui.service.commands import oauth_configure as commands

        return commands.configure(context, **options)

    @oauth.command("check")
    @common
    @click.option("--offline", is_flag=True, help="Send nothing: only see whether all fits together.")
    def oauth_check(context: Any, offline: bool) -> Any:
        """Test the registration, step by step; changes nothing. Example: ibtui oauth check"""
        from ibtui.service.commands import oauth_check as commands

        return commands.check(context, offline=offline)

    return oauth
