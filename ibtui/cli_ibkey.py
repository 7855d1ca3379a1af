"""The words of `ibtui ibkey`; see `cli`, which they belong to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_PATH = click.Path(path_type=Path, dir_okay=False)


def group(kind: type[click.Group], common: Callable[[Any], Any]) -> click.Group:
    """The group; `common` adds the options that work everywhere."""

    @click.group(cls=kind)
    def ibkey() -> None:
        """IB Key on this machine: the second factor that needs no phone."""

    @ibkey.command("enroll")
    @common
    @click.option("--user", metavar="NAME", help="User name; the profile's when not given.")
    @click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
    @click.option("--yes", is_flag=True, help="Yes, it may replace the phone's IB Key.")
    @click.option("--make-pin", is_flag=True, help="Make the PIN instead of asking for one.")
    @click.option("--pin-file", type=_PATH, metavar="FILE", help="Read the PIN from a private file.")
    @click.option("--backup", type=_PATH, metavar="FILE", help="Write a sealed backup here.")
    @click.option("--test-login/--no-test-login", default=True, help="Log in with it afterwards.")
    @click.option(
        "--code-file", type=_PATH, metavar="FILE", help="The text message's code, in a private file."
    )
    @click.option("--code-command", metavar="JSON", help="A program that prints it, as a JSON list.")
    def ibkey_enroll(context: Any, **options: Any) -> Any:
        """Enroll IB Key here; the phone's stops working. Example: ibtui ibkey enroll --user me"""
        from ibtui.service.commands import ibkey_enroll as commands

        return commands.enroll(context, **options)

    @ibkey.command("status")
    @common
    @click.option("--user", metavar="NAME", help="User name; the profile's when not given.")
    def ibkey_status(context: Any, **options: Any) -> Any:
        """Enrolled or not, logins left, failed attempts. Example: ibtui ibkey status --json"""
        from ibtui.service.commands import ibkey as commands

        return commands.status(context, **options)

    @ibkey.command("import")
    @common
    @click.argument("file", type=_PATH, required=False)
    @click.option("--user", metavar="NAME", help="User name; the profile's or the file's when not given.")
    @click.option("--secret-file", type=_PATH, metavar="FILE", help="The text of IB_AUTH_OCRA_SECRET.")
    @click.option("--pin-file", type=_PATH, metavar="FILE", help="Its PIN; typed when not given.")
    @click.option("--counter", type=click.IntRange(1), help="Its next counter; 2 for a key never used.")
    @click.option("--unfinished", is_flag=True, help="The key of an enrollment that was broken off.")
    @click.option("--replace", is_flag=True, help="A key that is here already may go.")
    def ibkey_import(context: Any, **options: Any) -> Any:
        """Take over the IB Key of a data.json or backup. Example: ibtui ibkey import data.json --user me"""
        from ibtui.service.commands import ibkey as commands

        return commands.import_(context, **options)

    @ibkey.command("export")
    @common
    @click.argument("file", type=_PATH)
    @click.option("--user", metavar="NAME", help="User name; the profile's when not given.")
    @click.option("--plain", is_flag=True, help="Unsealed, as the node service reads it.")
    @click.option("--secret", is_flag=True, help="Only the text for IB_AUTH_OCRA_SECRET, unsealed.")
    def ibkey_export(context: Any, **options: Any) -> Any:
        """Write the IB Key to a new private file, sealed. Example: ibtui ibkey export backup.json"""
        from ibtui.service.commands import ibkey as commands

        return commands.export(context, **options)

    @ibkey.command("seal")
    @common
    @click.option("--user", metavar="NAME", help="User name; the profile's when not given.")
    def ibkey_seal(context: Any, **options: Any) -> Any:
        """Seal the IB Key that is here with a passphrase. Example: ibtui ibkey seal --user me"""
        from ibtui.service.commands import ibkey as commands

        return commands.seal(context, **options)

    @ibkey.command("unseal")
    @common
    @click.option("--user", metavar="NAME", help="User name; the profile's when not given.")
    def ibkey_unseal(context: Any, **options: Any) -> Any:
        """Keep the IB Key that is here unsealed. Example: ibtui ibkey unseal --user me"""
        from ibtui.service.commands import ibkey as commands

        return commands.seal(context, on=False, **options)

    return ibkey
