"""The words of `ibtui config`; see `cli`, which they belong to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_PATH = click.Path(path_type=Path, dir_okay=False)


def _unread(command: Any) -> Any:
    """Options for what works without reading the settings, wrong ones too."""
    form = click.option("--json", "as_json", is_flag=True, help="Machine form on standard output.")
    return click.option("--config", "path", type=_PATH, metavar="FILE", help="Settings file.")(form(command))


def group(
    kind: type[click.Group], common: Callable[[Any], Any], outer: Callable[[], dict[str, Any]]
) -> click.Group:
    """The group; `common` adds the options that work everywhere, `outer` has those given before it."""

    @click.group(cls=kind)
    def config() -> None:
        """Settings and where they come from."""

    @config.command("init")
    @_unread
    def config_init(path: Path | None, as_json: bool) -> Any:
        """Write the commented defaults to edit. Example: ibtui config init"""
        from ibtui.service.commands import settings

        given = outer()
        return settings.init(path or given.get("config"), as_json=as_json or given.get("json", False))

    @config.command("path")
    @_unread
    def config_path(path: Path | None, as_json: bool) -> Any:
        """Print where the settings file lies. Example: $EDITOR $(ibtui config path)"""
        from ibtui.service.commands import settings

        given = outer()
        return settings.path(path or given.get("config"), as_json=as_json or given.get("json", False))

    @config.command("check")
    @common
    def config_check(context: Any) -> Any:
        """Read the settings and say what is wrong. Example: ibtui config check"""
        from ibtui.service.commands import settings

        return settings.check(context)

    @config.command("set")
    @common
    @click.argument("key")
    @click.argument("value")
    def config_set(context: Any, key: str, value: str) -> Any:
        """Change one setting; comments stay. Example: ibtui config set account_type live"""
        from ibtui.service.commands import settings

        return settings.change(context, key, value)

    @config.command("import")
    @common
    @click.option("--dry-run", "dry", is_flag=True, help="Only say what would be written.")
    def config_import(context: Any, dry: bool) -> Any:
        """Take over IBEAM_… and IB_… variables. Example: ibtui --profile paper config import --dry-run"""
        from ibtui.service.commands import settings

        return settings.take_in(context, dry=dry)

    @config.command("show")
    @common
    def config_show(context: Any) -> Any:
        """Every setting, its value and its origin. Example: ibtui config show"""
        from ibtui.service.commands import settings

        return settings.show(context)

    return config
