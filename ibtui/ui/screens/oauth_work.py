"""What the OAuth configurator does in workers while its screen goes on answering; failures in sight."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from ibtui import config, rewrite
from ibtui.errors import IbtuiError, UsageError
from ibtui.profile import Addresses
from ibtui.service.oauth_state import Check, State, Step, works
from ibtui.ui.present import oauth as present
from ibtui.ui.present.spans import Line
from ibtui.ui.screens.base import Pane
from ibtui.ui.screens.oauth_steps import LongSecretInput
from ibtui.ui.verbs import as_problem

if TYPE_CHECKING:
    from ibtui.service.oauth_setup import Setup

GROUP = "oauth"
PAGES = {
    Step.KEYS: "keys",
    Step.PORTAL: "portal",
    Step.UPLOAD: "upload",
    Step.SECRETS: "secrets",
    Step.CHECK: "check",
    Step.LIVE: "live",
}


class OAuthWork(Pane):
    """The work behind the pages; the subclass shows them. `page` is the one in sight."""

    def __init__(self) -> None:
        super().__init__()
        self.page = "loading"
        self._setup: Setup | None = None
        self._prints: dict[str, str] = {}
        self._remarks: tuple[str, ...] = ()
        self._offered = ""
        self._folder = Path()
        self._addresses: Addresses | None = None
        self._stages: list[str] = []
        self._results: Sequence[Check] = ()
        self._testing = False

    def show(self, page: str, *, keep_focus: bool = False) -> None:
        """Another page, or the same one anew."""
        raise NotImplementedError

    def draw(self) -> None:
        """The present page as it is now."""
        raise NotImplementedError

    def below(self, lines: Sequence[Line]) -> None:
        """A remark at the bottom."""
        raise NotImplementedError

    @property
    def setup(self) -> Setup:
        """What is kept; there once the page is not `loading`."""
        assert self._setup is not None
        return self._setup

    @property
    def state(self) -> State:
        """How far it is."""
        return self._setup.state if self._setup is not None else State()

    # Work ----------------------------------------------------------------------------------

    def _work(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        self.run_worker(
            self._guarded(work), group=GROUP, exclusive=True, description=what, exit_on_error=False
        )

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a person is told, whatever it was
            self._testing = False
            self._object(as_problem(error))

    def _object(self, problem: IbtuiError) -> None:
        if self.page in ("loading", "making"):
            self.show("trouble" if self._setup is None else "keys")
        else:
            self.show(self.page, keep_focus=True)
        self.below(present.trouble(problem.what, problem.fix))

    async def _load(self) -> None:
        # In a thread, for it pulls in cryptography: the screen must go on answering meanwhile.
        module = await asyncio.to_thread(importlib.import_module, "ibtui.service.oauth_setup")
        await self._find_place()
        self._setup = await asyncio.to_thread(module.Setup.open, self._folder)
        found = await asyncio.to_thread(self.setup.elsewhere, self.ibtui.profile)
        self._offered = str(found or self._offered)
        await self._kept()
        self.show(PAGES[self.state.step])

    async def _find_place(self) -> None:
        module = await asyncio.to_thread(importlib.import_module, "ibtui.service.oauth_place")
        app = self.ibtui
        found = await asyncio.to_thread(module.place, app.settings, app.profile, app.runtime)
        self._folder, self._addresses, self._offered = found.folder, found.addresses, found.offered

    async def _kept(self) -> None:
        made = self.setup.keys
        self._prints = await asyncio.to_thread(lambda: made.fingerprints) if made is not None else {}

    async def _make(self) -> None:
        keymaking = await asyncio.to_thread(importlib.import_module, "ibtui.service.keymaking")
        made = await keymaking.make(self._stage)
        await asyncio.to_thread(self.setup.take_keys, made)
        await self._kept()
        self.show("keys")

    def _stage(self, text: str) -> None:
        self._stages.append(text)
        self.draw()

    async def _import(self, source: str) -> None:
        module = await asyncio.to_thread(importlib.import_module, "ibtui.service.oauth_import")
        found = await asyncio.to_thread(module.from_source, source, config.environment())
        await asyncio.to_thread(self.setup.take, found, self.ibtui.now())
        self._remarks = found.remarks
        await self._kept()
        if found.consumer_key:
            await self._self_test()
            self.below([part for remark in found.remarks for part in present.trouble(remark)])
        else:
            self.show("keys")

    async def _then(self, change: Callable[[], object], page: str) -> None:
        await asyncio.to_thread(change)
        self.show(page)

    async def _self_test(self) -> None:
        self._testing, self._results = True, ()
        self.show("check")
        self._results = await asyncio.to_thread(self.setup.self_test, self.ibtui.now())
        if all(it.ok for it in self._results):
            await asyncio.to_thread(self.setup.write, self.ibtui.now())
        self._testing = False
        self.show("check")

    async def _live_test(self) -> None:
        self._testing, self._results = True, ()
        self.show("live")
        live = await asyncio.to_thread(importlib.import_module, "ibtui.service.oauth_live")
        profile = self.ibtui.profile
        await self._find_place()  # the demo's simulator may have started since
        if profile.mode == "demo" and not self._offered:
            raise UsageError("The demo's simulator is not running.", "Start it: s on the Session screen.")
        way = await asyncio.to_thread(self.setup.way, profile.oauth_query)
        seen: list[Check] = []
        async with aclosing(live.live(way, profile, self._addresses)) as steps:
            async for result in steps:
                seen.append(result.check)
                self._results = tuple(seen)
                self.draw()
        if works(seen):
            await asyncio.to_thread(self.setup.tested, self.ibtui.now())
        self._testing = False
        self.show("live")

    async def _keep(self, token: LongSecretInput, secret: LongSecretInput) -> None:
        setup = self.setup
        if token.filled or not self.state.access_token:
            await asyncio.to_thread(setup.set_access_token, token.peek().reveal())
        if secret.filled or not self.state.access_token_secret:
            await asyncio.to_thread(setup.set_access_token_secret, secret.peek().reveal())
        token.clear()
        secret.clear()
        self.set_focus(None)
        await self._self_test()

    async def _write_uploads(self, folder: Path) -> None:
        keyfiles = await asyncio.to_thread(importlib.import_module, "ibtui.service.keyfiles")
        await asyncio.to_thread(keyfiles.save_uploads, folder, self.setup.keys)
        self.show("upload")
        self.below(present.note(f"The three public files are in {folder}."))

    async def _anew(self) -> None:
        module = await asyncio.to_thread(importlib.import_module, "ibtui.service.oauth_setup")
        setup = self._setup or module.Setup(self._folder)
        await asyncio.to_thread(setup.start_over)
        self._setup, self._remarks = setup, ()
        self.show("keys")

    async def _switch(self) -> None:
        path = self.ibtui.settings.path
        await asyncio.to_thread(rewrite.set_keys, path, self.setup.switch(self.ibtui.profile))
        self.below(present.note(f"Written to {path}. It counts from the next start of ibtui."))
