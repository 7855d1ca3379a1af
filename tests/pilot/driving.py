"""Driving the app in tests: wait for conditions, never for a number of pauses; read what is on the screen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from textual.message import Message
from textual.pilot import Pilot

from ibtui.service.runtime import Runtime
from ibtui.ui.app import IbtuiApp
from tests import fakes


def text(app: IbtuiApp) -> str:
    """What stands on the screen, all of it."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def until(pilot: Pilot[Any], condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Return once `condition()` is true; fails with the screen's text after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await pilot.pause(0.01)
    except TimeoutError:
        raise AssertionError(f"never true; the screen shows:\n{text(pilot.app)}") from None


async def shows(pilot: Pilot[Any], *words: str) -> None:
    """Wait until all `words` are on the screen."""
    await until(pilot, lambda: all(word in text(pilot.app) for word in words))


async def says(pilot: Pilot[Any], words: str) -> None:
    """Wait for a toast with these words (on the screen they may be wrapped)."""
    await until(pilot, lambda: any(words in toast.message for toast in pilot.app._notifications))


def make_app(runtime: fakes.FakeRuntime, *, demo: bool = False, **ui: Any) -> IbtuiApp:
    """The app over a fake runtime, on its clock."""

    async def make() -> Runtime:
        return runtime  # type: ignore[return-value]

    return IbtuiApp(fakes.settings(runtime.profile, **ui), make, demo=demo, now=runtime.clock)


@contextlib.asynccontextmanager
async def running(
    runtime: fakes.FakeRuntime,
    size: tuple[int, int] = (80, 24),
    hook: Callable[[Message], None] | None = None,
    **ui: Any,
) -> AsyncIterator[Pilot[Any]]:
    """The app, begun and idle."""
    app = make_app(runtime, **ui)
    async with app.run_test(size=size, notifications=True, message_hook=hook) as pilot:
        await until(pilot, lambda: app.runtime is not None and app.busy is None)
        yield pilot
