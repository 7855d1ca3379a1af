"""How the app ends: what goes on without it is asked where that matters; hang-up and signals never ask."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ibtui.ui.verbs import Busy

if TYPE_CHECKING:
    from ibtui.service.runtime import Runtime
    from ibtui.ui.app import IbtuiApp

CLOSE_S = 10.0
"""How long leaving may take before what is left is abandoned."""
LOOKING_S = 60.0
"""How often it is noted that somebody looks; so exact is "since you left" after a kill."""


class Leaving:
    """Ends the app, once."""

    def __init__(self, app: IbtuiApp) -> None:
        self._app = app
        self.begun = False
        self._let_go = False
        self._looking = False

    async def ask(self) -> None:
        """Leave; where a live session is kept, ask first what is to become of it.

        Asked for again while the question is open: its harmless answer. While leaving: at once.
        """
        from ibtui.ui.screens.leave import LeaveScreen

        app = self._app
        runtime = app.runtime
        if self.begun or runtime is None:
            app.exit(0)
        elif isinstance(app.screen, LeaveScreen):
            app.screen.dismiss("leave")
        elif not self._matters(runtime):
            self.end(0)
        else:
            from ibtui.service import actions

            ours = await actions.starts_gateway(runtime)
            await app.push_screen(LeaveScreen(ours=ours), self._answered)

    def _matters(self, runtime: Runtime) -> bool:
        """Whether there is a session that this profile keeps alive."""
        return (
            runtime.profile.mode != "demo"
            and runtime.profile.keep_alive
            and runtime.keeping.mode not in ("off", "paused")
            and runtime.status.sso.state in ("on", "warn")
        )

    def _answered(self, choice: str | None) -> None:
        from ibtui.service import actions

        verbs = self._app.verbs
        if choice == "leave":
            self.end(0)
        elif choice == "quiet":
            verbs.run("stopping the keep-alive", actions.stop_keeping, then=lambda: self.end(0))
        elif choice == "stop":
            verbs.run("stopping the gateway", actions.stop_gateway, then=lambda: self.end(0))

    def end(self, status: int) -> None:
        """Let go of the runtime and end with this exit status."""
        app = self._app
        if self.begun:
            return
        self.begun = True
        app.workers.cancel_group(app, "verb")
        app.verbs.busy = Busy("leaving", app.monotonic(), can_cancel=False)
        app.told()
        app.run_worker(
            self._close_and_exit(status),
            group="end",
            description="let go of the runtime",
            exit_on_error=False,
        )

    async def _close_and_exit(self, status: int) -> None:
        try:
            await self.close()
        finally:
            self._app.exit(status, return_code=status)

    async def close(self) -> None:
        """However the app ends, its runtime does not outlive it."""
        if self._let_go or self._app.runtime is None:
            return
        self._let_go = True
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.looked()
                await self._app.runtime.close()
        except TimeoutError:
            pass  # whatever still holds on is ended with this process

    async def arrived(self) -> None:
        """Since when this person has not looked; from now on somebody does."""
        from ibtui.service.seen import last_seen
        from ibtui.ui.present.timeline import Away

        app = self._app
        if self._looking or app.profile.mode == "demo":
            return
        self._looking = True
        left = await last_seen(app.profile.name)
        if left is not None:
            app.away = Away(left, app.now())
        await self.looked()
        app.set_interval(LOOKING_S, self.looked)

    async def looked(self) -> None:
        """Somebody looks at the profile now; for those who come back."""
        from ibtui.service.seen import mark_seen

        runtime = self._app.runtime
        if runtime is not None and runtime.profile.mode != "demo":
            await mark_seen(runtime.profile.name, self._app.now())
