"""`ibtui oauth keygen`: a set of keys in a folder, made by a process that can be stopped."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from ibtui import paths
from ibtui.checks import NAME
from ibtui.errors import UsageError
from ibtui.service import keyfiles, keymaking, output
from ibtui.service.commands.context import Context, run
from ibtui.service.keyfiles import KeySet
from ibtui.service.oauth_setup import Setup

_TICK_S = 0.5


def keygen(context: Context, folder: Path | None = None) -> int:
    """Make the five files of oauth.md §2; Ctrl+C leaves nothing.

    Raises:
        UsageError: the folder holds such files already; nothing is overwritten.
        IbtuiError: they could not be made or written.
    """
    profile = profile_name(context)
    began = time.monotonic()
    made, target = run(_make(profile, folder))
    seconds = time.monotonic() - began
    if context.as_json:
        output.dump(
            {
                "folder": str(target),
                "files": list(keyfiles.NAMES),
                "upload": list(keyfiles.UPLOADS),
                "fingerprints": made.fingerprints,
                "seconds": round(seconds, 1),
            }
        )
        return 0
    output.say(f"Made in {seconds:.0f} s, in {target} (for you alone):")
    for name, place in keyfiles.UPLOADS.items():
        output.say(f"  {name:<24} {made.fingerprints[name]}   upload at {place}")
    output.say("The private_… files stay here; never upload or send them.")
    more = "" if folder is None else f" --import '{target}'"
    output.say(f"Next: ibtui oauth configure{more}")
    return 0


async def _make(profile: str, folder: Path | None) -> tuple[KeySet, Path]:
    own = paths.oauth_dir(profile)
    target = folder if folder is not None else own / "keys"
    # Before minutes are spent: would it be refused at the end?
    setup = await asyncio.to_thread(Setup.open, own)
    known = folder is None and bool(setup.state.keys)
    go_on = "ibtui oauth configure" if known else ""
    await asyncio.to_thread(keyfiles.refuse_existing, target, go_on)
    await asyncio.to_thread(keyfiles.refuse_place, target)
    made = await make_with_clock()
    if folder is None:
        await asyncio.to_thread(setup.take_keys, made)
    else:
        await asyncio.to_thread(keyfiles.write, target, made)
    return made, target


def profile_name(context: Context) -> str:
    """The profile to configure, which need not be in the settings yet; its name becomes a folder's.

    Raises:
        UsageError: it cannot be a name.
    """
    name = context.settings.profile
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be a profile's name.", "Use letters, digits, '-', '_' and '.'.")
    return name


async def make_with_clock() -> KeySet:
    """Make keys and say on standard error what is being made, at a terminal with the time it takes."""
    stage = ""
    began = time.monotonic()

    def progress(text: str) -> None:
        nonlocal stage
        stage = text
        if not sys.stderr.isatty():
            output.say(f"Making {text} …")

    async def clock() -> None:
        while True:
            show(f"Making {stage} … {time.monotonic() - began:.0f} s   Ctrl+C stops")
            await asyncio.sleep(_TICK_S)

    def show(text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()

    if not sys.stderr.isatty():
        return await keymaking.make(progress)
    try:
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(clock())
            made = await keymaking.make(progress)
            ticking.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        show("")
    return made
