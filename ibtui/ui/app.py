"""The terminal UI. Its first frame needs nothing of network or cryptography: those come after it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import SystemCommand
from textual.binding import BindingType
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.worker import Worker

from ibtui.clock import Clock, SystemClock
from ibtui.config import Profile, Settings
from ibtui.ui import ending, keymap
from ibtui.ui.history import PnlHistory
from ibtui.ui.hush import HushedApp
from ibtui.ui.leaving import Leaving
from ibtui.ui.messages import Changed, PnlChanged, StatusChanged
from ibtui.ui.present import privacy
from ibtui.ui.screens.places import PLACES
from ibtui.ui.screens.session import SessionScreen
from ibtui.ui.verbs import Busy, Verbs, as_problem

if TYPE_CHECKING:
    from textual.driver import Driver

    from ibtui.core.models import Status
    from ibtui.core.store import Store
    from ibtui.errors import IbtuiError
    from ibtui.service.runtime import Runtime
    from ibtui.ui.present.positions import Context
    from ibtui.ui.present.timeline import Away

BREATH_S = 0.1
"""Between the first frame and everything else, so that the frame really is out before."""


class IbtuiApp(HushedApp):
    """Screens over one runtime. `make_runtime` is awaited after the first frame.

    Args:
        settings: what the runtime runs on, and `[ui]`.
        make_runtime: makes the runtime; may import what it likes.
        demo: leave without asking; nothing of a person's is at stake.
        now: the clock, or a function that gives the time (aware).
    """

    TITLE = "ibtui"
    CSS_PATH = Path(__file__).parent / "tcss" / "ibtui.tcss"
    ENABLE_COMMAND_PALETTE = True
    MODES: ClassVar[dict[str, str | Callable[[], Screen[None]]]] = dict(PLACES)
    DEFAULT_MODE = "session"
    BINDINGS: ClassVar[list[BindingType]] = [*keymap.bindings("")]

    def __init__(
        self,
        settings: Settings,
        make_runtime: Callable[[], Awaitable[Runtime]],
        *,
        demo: bool = False,
        now: Callable[[], datetime] | Clock | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.demo = demo
        self.hidden = settings.ui.privacy
        self.account = ""
        """The account that is shown; empty until accounts are known."""
        self.history = PnlHistory()
        self._users: set[str] = set()
        self.runtime: Runtime | None = None
        self._make_runtime = make_runtime
        self._clock: Clock = SystemClock()
        self._now: Callable[[], datetime] | None = None
        if callable(now):
            self._now = now
        elif now is not None:
            self._clock = now
        self._profile = settings.chosen()
        self.verbs = Verbs(self)
        self.leaving = Leaving(self)
        self.away: Away | None = None
        """While this person did not look; None where nobody knows."""
        self._first = ""
        """`start`: the verb for a runtime that was just made; empty: look."""
        self.choose_theme(settings.ui.theme)

    # What screens ask ----------------------------------------------------------------

    def now(self) -> datetime:
        """The time, aware."""
        return self._now() if self._now is not None else self._clock.now()

    def monotonic(self) -> float:
        """Seconds for ages."""
        return self._clock.monotonic()

    @property
    def clock(self) -> Clock:
        """For what has to wait."""
        return self._clock

    @property
    def profile(self) -> Profile:
        """The profile at work."""
        return self.runtime.profile if self.runtime is not None else self._profile

    @property
    def store(self) -> Store | None:
        """The latest values; None until there is a runtime."""
        return self.runtime.store if self.runtime is not None else None

    @property
    def status(self) -> Status | None:
        """The three lamps; None until there is a runtime."""
        return self.runtime.status if self.runtime is not None else None

    @property
    def busy(self) -> Busy | None:
        """What is being done now."""
        return self.verbs.busy

    @property
    def problem(self) -> IbtuiError | None:
        """Why the last verb failed."""
        return self.verbs.problem

    @property
    def private_names(self) -> tuple[str, ...]:
        """Texts to mask beside account ids: user name and account aliases."""
        store = self.store
        accounts = store.accounts if store is not None else ()
        # Kept, for the time line goes on naming whom the lamp has forgotten.
        self._users.add(privacy.user(self.status.sso.reason) if self.status is not None else "")
        names = (name for it in accounts for name in (it.id, it.alias or ""))
        return (self.profile.username, *self._users, *names)

    def is_loaded(self, kind: str) -> bool:
        """Whether values of a kind (`position`, `order`, `execution` …) have come, an empty list included."""
        return self.store is not None and kind in self.store.loaded

    def age(self, *kinds: str) -> float | None:
        """Seconds since the latest news of any of the kinds; None if there was none."""
        store = self.store
        found = [store.updated[kind] for kind in kinds if kind in store.updated] if store is not None else []
        return max(0.0, self.monotonic() - max(found)) if found else None

    def keep_alive_age(self) -> float | None:
        """Seconds since the last answered keep-alive."""
        last = self.runtime.keeping.last if self.runtime is not None else None
        return max(0.0, (self.now() - last).total_seconds()) if last is not None else self.age("tickle")

    def whose(self) -> str:
        """Profile and account, for questions before something that hurts."""
        account = privacy.account(self.account, hide=self.hidden)
        return f"profile {self.profile.name}" + (f" ({account})" if account else "")

    def context(self) -> Context:
        """Base currency, rates and net liquidation value of the account that is shown."""
        from ibtui.ui.present import positions

        store, name = self.store, self.account
        if store is None:
            return positions.Context(hide=self.hidden)
        summary = store.summary.get(name, {})
        found = next((it for it in store.accounts if it.id == name), None)
        net = summary.get("netliquidation")
        base = (found.currency if found is not None else None) or (net.currency if net is not None else None)
        return positions.context(base or "", summary, store.ledger.get(name, {}), hide=self.hidden)

    # Life ----------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[None]:
        """The Session screen comes first, and not by way of MODES: Textual would read all style
        sheets a second time for it and throw away its first frame.
        """
        return SessionScreen()

    def get_driver_class(self) -> type[Driver]:
        """Textual's own choice, except that its terminal driver is replaced by ours."""
        found = super().get_driver_class()
        if found.__name__ != "LinuxDriver":
            return found
        from ibtui.ui.driver import TerminalDriver

        return TerminalDriver

    def _fatal_error(self) -> None:
        """Textual's own would print the values of variables, secrets among them; see `terminal`."""
        self._close_messages_no_wait()

    def on_mount(self) -> None:
        """Everything that is not needed for the first frame waits for it."""
        self.add_mode("session", SessionScreen)
        ending.on_signals(self.leaving.end)
        self.call_after_refresh(self.set_timer, BREATH_S, self._begin)

    def _begin(self) -> None:
        if not gc.isenabled():  # whoever started us left it off for the time up to the first frame
            gc.freeze()
            gc.enable()
        self.load_themes()
        self.set_interval(1.0, self._tick)
        self.verbs.busy = Busy("starting", self.monotonic(), can_cancel=False)
        self.run_worker(
            self._start(), group="start", exclusive=True, description="make the runtime", exit_on_error=False
        )

    async def _start(self) -> None:
        runtime = await self._make_runtime()
        from ibtui.service import actions

        self.runtime = runtime
        await self.leaving.arrived()
        self._listen()
        self.verbs.busy = None
        self._reload()
        answers = runtime.unattended()
        if self._first == "start":
            self._first = ""
            self.verbs.run("starting the gateway", lambda it: actions.start(it, self.verbs.progress))
        elif answers is not None:
            self.verbs.run("starting", lambda it: actions.bring_up(it, answers, self.verbs.progress))
        else:
            self.verbs.run("looking at the session", actions.refresh)

    async def remake(self, *, start: bool) -> None:
        """A new runtime in place of the present one, as it may find another gateway; `start` that one."""
        from ibtui.service import actions

        old = self.runtime
        if old is not None and old.keeping.shared:
            await actions.stop_keeping(old)  # what keeps the old gateway alive knows of no other
        self.runtime = None
        self.verbs.busy = Busy("starting", self.monotonic(), can_cancel=False)
        self.told()
        if old is not None:
            await old.close()
        self._first = "start" if start else ""
        self.run_worker(
            self._start(), group="start", exclusive=True, description="make the runtime", exit_on_error=False
        )

    def _listen(self) -> None:
        from ibtui.ui.bridge import carry

        assert self.runtime is not None
        feed = self.runtime.subscribe()
        self.run_worker(
            carry(feed, self.settings.ui.refresh_hz, self._hand_over),
            group="bridge", exclusive=True, description="live values", exit_on_error=False,
        )  # fmt: skip

    def _hand_over(self, message: Changed) -> None:
        """A change, for the screen in front and whatever lies over it."""
        self._choose_account()
        if isinstance(message, PnlChanged):
            self._sample()
        for screen in self.screen_stack:
            screen.post_message(type(message)(message.keys))

    def told(self) -> None:
        """What is being done, or a failure, has changed: show it."""
        if self._screen_stacks.get(self.current_mode):
            self._hand_over(StatusChanged())

    def _tick(self) -> None:
        if not self.is_headless and ending.terminal_gone():
            self.leaving.end(129)
            return
        self._each("tick")

    def _each(self, *steps: str) -> None:
        """Call methods of the screens that have them; one being made or taken down shows nothing."""
        for screen in self.screen_stack:
            for step in steps:
                act = getattr(screen, step, None)
                if act is not None and screen.is_mounted and screen.children:
                    # Taken down child by child: what is left of it has no values to show.
                    with contextlib.suppress(NoMatches):
                        act()

    def _sample(self) -> None:
        from ibtui.core.models import number

        store = self.store
        for account, pnl in store.pnl.items() if store is not None else ():
            value = number(pnl.daily)
            if value is not None:
                self.history.add(account, value, self.monotonic())

    def _choose_account(self) -> None:
        store = self.store
        if store is None or not store.accounts:
            return
        known = [it.id for it in store.accounts]
        if self.account not in known:
            self.account = store.selected if store.selected in known else known[0]

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Failures of workers are shown, never fatal."""
        worker = event.worker
        if worker.group == "start" and event.state.name == "ERROR" and worker.error is not None:
            self.verbs.busy = None
            self.verbs.problem = as_problem(worker.error)
            self.told()
        elif worker.group == "bridge" and event.state.name == "ERROR" and worker.error is not None:
            self.verbs.problem = as_problem(worker.error)
            self.told()
        elif worker.group == "verb":
            self.verbs.ended(worker, event.state)

    # Leaving -------------------------------------------------------------------------

    async def action_quit(self) -> None:
        """Leave: see `Leaving.ask`."""
        await self.leaving.ask()

    async def on_unmount(self) -> None:
        """However the app ended, the runtime does not outlive it."""
        await self.leaving.close()

    # Actions -------------------------------------------------------------------------

    async def action_go(self, mode: str) -> None:
        """Another screen; made on the first visit."""
        if len(self.screen_stack) == 1:
            await self.switch_mode(mode)

    def action_verb(self, verb: str) -> None:
        """One of the session's verbs, from key, footer or palette."""
        self.verbs.do(verb)

    def action_cancel_verb(self) -> None:
        """Stop what is being done."""
        if self.busy is not None and self.busy.can_cancel:
            self.verbs.cancel()

    def action_show_help(self) -> None:
        """The keys of the screen in front."""
        from ibtui.ui.screens.detail import HelpScreen

        self.push_screen(HelpScreen(getattr(self.screen, "mode", "") or self.current_mode))

    def action_toggle_privacy(self) -> None:
        """Mask amounts and account ids, or show them again."""
        self.hidden = not self.hidden
        self._reload()
        self.notify(
            "Amounts, account ids and user names are masked; h shows them."
            if self.hidden
            else "Shown again.",
            markup=False,
        )

    def action_next_account(self) -> None:
        """Show the next account."""
        names = [it.id for it in self.store.accounts] if self.store is not None else []
        if len(names) < 2:
            self.notify("There is one account only." if names else "No accounts are known yet.", markup=False)
            return
        self.account = (
            names[(names.index(self.account) + 1) % len(names)] if self.account in names else names[0]
        )
        self._reload()

    def _reload(self) -> None:
        self._each("tick", "reload")

    def copy(self, text: str, what: str) -> None:
        """To the terminal's clipboard (OSC 52), and say so."""
        self.copy_to_clipboard(text)
        self.notify(f"Copied {what} to the terminal's clipboard.", markup=False)

    # Palette -------------------------------------------------------------------------

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The key map's commands, the themes, and what works on the screen in front; no screenshot,
        which would keep amounts unmasked.
        """
        mode = getattr(screen, "mode", "")
        here = mode if mode in keymap.TITLES else None
        for key in keymap.KEYS:
            if key.palette or key.screen == here:
                callback = partial(self.run_action, key.action, screen)
                yield SystemCommand(key.description, f"key {keymap.face(key.key.split(',')[0])}", callback)
        yield SystemCommand(
            "Change the theme", "light, dark, high contrast, blue and orange", self.action_change_theme
        )
