"""Makes the runtime of a profile: attached where a supervisor keeps it, else in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from ibtui.config import Settings
from ibtui.errors import IbtuiError
from ibtui.service import spawn
from ibtui.service.attached import AttachedRuntime
from ibtui.service.link import find


async def open_runtime(
    settings: Settings, *, spawns: bool = False, stays: bool = False, alone: bool = False
) -> AttachedRuntime:
    """A runtime on the chosen profile; the caller closes it.

    `spawns`: the first start or login starts a supervisor where the profile is to be kept alive.
    `stays`: as of `AttachedRuntime`, and with live values whenever the session is
    ready. `alone`: whatever supervisor lives is left out.

    Raises:
        UsageError: no such profile, or one whose mode this version does not offer.
    """
    profile = settings.chosen()
    link = await asyncio.to_thread(find, profile.name) if profile.mode != "demo" and not alone else None
    if link is not None and spawns:
        # Also where the profile is not to be kept alive any more: it is the old settings' process.
        try:
            link = await spawn.up_to_date(link, settings)
        except IbtuiError:
            link = None  # it hangs, or is just ending; the first verb says what is wrong
    return AttachedRuntime(settings, link=link, spawns=spawns, stays=stays, live=stays)


@contextlib.asynccontextmanager
async def runtime_for(
    settings: Settings, *, spawns: bool = False, alone: bool = False
) -> AsyncIterator[AttachedRuntime]:
    """As `open_runtime`, closed at the end; a keep-alive that was started for nothing ends with it."""
    runtime = await open_runtime(settings, spawns=spawns, alone=alone)
    attached, failed = runtime.attached, True
    try:
        yield runtime
        failed = False
    finally:
        await runtime.close(forgo=failed and not attached)
