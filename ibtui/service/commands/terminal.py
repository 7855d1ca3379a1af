"""`ibtui` and `ibtui demo`: the terminal UI, or the same as text where there is no terminal."""

from __future__ import annotations

import gc
import importlib
import sys
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING

from ibtui import config
from ibtui.config import Profile, Settings

if TYPE_CHECKING:
    from ibtui.service.commands.context import Context
    from ibtui.service.runtime import Runtime


def screen(*, demo: bool) -> int:
    """`ibtui` and `ibtui demo` without any option, on a terminal.

    Raises:
        UsageError: wrong settings; the screen was not taken.
    """
    settings = config.load()
    if demo:
        settings = demo_settings(settings, Profile().demo_seed)
    return _screen(settings, demo=settings.chosen().mode == "demo", with_log=True)


def main(context: Context) -> int:
    """The terminal UI on the chosen profile; without a terminal the status as text, exit 2."""
    context.profile  # noqa: B018 - a wrong name is told before the screen is taken
    if _terminal():
        return _screen(context.settings, demo=context.profile.mode == "demo")
    from ibtui.service import output
    from ibtui.service.commands import session

    session.status(context)
    output.say("ibtui: no terminal here, so this is the status only; see ibtui --help for commands.")
    return 2


def demo(context: Context, seed: int) -> int:
    """The same on the built-in simulator; nothing is left running."""
    settings = demo_settings(context.settings, seed)
    if _terminal():
        return _screen(settings, demo=True)
    from ibtui.service.commands.demo import as_text

    return as_text(settings, as_json=context.as_json)


def demo_settings(settings: Settings, seed: int) -> Settings:
    """The demo's profile in place of the chosen one; nothing of the user's is touched."""
    profile = Profile(name="demo", mode="demo", account_type="paper", gateway_url="", demo_seed=seed)
    return replace(settings, profile="demo", profiles={"demo": profile})


def _terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _screen(settings: Settings, *, demo: bool, with_log: bool = False) -> int:
    # Nothing that is imported or made up to the first frame is garbage: looking for some, several
    # times, would take a tenth of the start. The app sets the collector going again.
    gc.disable()
    import asyncio

    from ibtui.ui.app import IbtuiApp

    async def make_runtime() -> Runtime:
        # After the first frame and in a thread: this pulls in the network libraries, and the
        # screen must go on answering meanwhile.
        runtimes = await asyncio.to_thread(_load, with_log)
        runtime: Runtime = await runtimes.open_runtime(settings, spawns=True, stays=True)
        return runtime

    app = IbtuiApp(settings, make_runtime, demo=demo)
    result = app.run(mouse=settings.ui.mouse)
    if app._exception is not None:
        raise app._exception  # told like that of any other command: a sentence, details in the log
    return result if isinstance(result, int) else (app.return_code or 0)


def _load(with_log: bool) -> ModuleType:
    if with_log:
        from ibtui import log, paths

        log.set_up(paths.log_dir())
    # What the runtime would import with its first request; here it does not hold the screen up.
    for name in ("ibtui.core.client", "ibtui.core.drive", "ibtui.auth.login"):
        importlib.import_module(name)
    return importlib.import_module("ibtui.service.runtimes")
