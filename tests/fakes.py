"""A runtime with fixed values, for looks and keys; behaviour against IBKR is tested on the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec import structs

from ibtui.auth.effects import Answers, Cancel, Challenge, Code, Credentials, Note, OtherFactor, Step
from ibtui.auth.factor import factor, plain_names
from ibtui.clock import FakeClock
from ibtui.config import Profile, Settings, Ui
from ibtui.core.feed import Change, Feed, Hub
from ibtui.core.models import Event, Keeping, LoginFacts, Status
from ibtui.core.store import Store
from ibtui.errors import CodeRefused, IbtuiError, LoginRefused, PersonNeeded
from ibtui.secret import Secret
from tests.fake_values import (
    ACCOUNT,
    ALL_ON,
    COMPETING,
    DOWN,
    EVENTS,
    FILLS,
    NOBODY,
    NOW,
    ORDERS,
    OTHER,
    POSITIONS,
    fill,
    ms,
    position,
    summary,
)

__all__ = [
    "ACCOUNT",
    "ALL_ON",
    "CHALLENGE",
    "CODE",
    "COMPETING",
    "DOWN",
    "EVENTS",
    "FILLS",
    "NOBODY",
    "NOW",
    "ORDERS",
    "OTHER",
    "PASSWORD",
    "POSITIONS",
    "RESPONSE",
    "DemoAnswers",
    "FakeRuntime",
    "fill",
    "ms",
    "position",
    "settings",
    "summary",
]
PASSWORD = "correct horse"
CODE, RESPONSE, CHALLENGE = "314159", "27182818", "708362"
"""The code and the response that the fake accepts, and its challenge."""
KINDS = ("accounts", "position", "order", "execution", "pnl", "summary")


class DemoAnswers:
    """Answers that need nobody."""

    async def credentials(self, username: str) -> Credentials:
        return Credentials("demo123", Secret(PASSWORD))

    async def ask(self, challenge: Challenge) -> Any:
        raise AssertionError("nobody asks in these tests")

    def note(self, note: Note) -> None:
        return None


class FakeRuntime:
    """`service.runtime.Runtime` without a broker: verbs change the lamps, values are fixed.

    Args:
        status: the lamps at first.
        unattended: whether a login needs nobody.
        factors: second factors that the login offers.
        fails: an error for a verb, by its name (`start_gateway`, `login`, `open_brokerage` …).
    """

    def __init__(
        self,
        status: Status = ALL_ON,
        *,
        unattended: bool = False,
        factors: Sequence[str] = (),
        fails: dict[str, IbtuiError] | None = None,
        profile: Profile | None = None,
        clock: FakeClock | None = None,
        filled: bool = True,
    ) -> None:
        self.profile = profile or Profile(name="default", username="demo123")
        self.clock = clock or FakeClock(NOW)
        self.store = Store(self.clock)
        self.status = status
        self.events: list[Event] = list(EVENTS)
        self.log_lines: list[str] = [
            "14:31:25 WARN  tickle answered competing=true",
            "14:30:55 INFO  tickle ok 48 ms",
        ]
        self.login_facts = LoginFacts()
        self.keeping = Keeping(mode="on")
        self.skew, self.problem, self.attempt = 0.0, "", 0
        """What challenges carry."""
        self.calls: list[str] = []
        self.hub = Hub()
        self.fails = fails or {}
        self.factors = tuple(factors)
        self.closed = False
        self.gate: asyncio.Event | None = None
        """When set, verbs wait for it."""
        self.exported: list[tuple[Path, Secret]] = []
        self._held: dict[str, asyncio.Event] = {}
        self._unattended = unattended
        self._filled = filled
        self.lived = False

    def subscribe(self) -> Feed:
        return self.hub.subscribe()

    def unattended(self) -> Answers | None:
        return DemoAnswers() if self._unattended else None

    def hold(self, verb: str) -> asyncio.Event:
        """One verb waits until the event is set."""
        return self._held.setdefault(verb, asyncio.Event())

    def change(self, status: Status) -> None:
        """Other lamps."""
        self.status = status
        self.hub.publish([Change("status", "*")])

    def event(self, text: str, level: str = "info", source: str = "ibtui") -> None:
        """A line of the time line."""
        self.events.append(Event(at=NOW, source=source, text=text, level=level))
        self.hub.publish([Change("event", "*")])

    async def _verb(self, name: str) -> None:
        self.calls.append(name)
        for gate in (self.gate, self._held.get(name)):
            if gate is not None:
                await gate.wait()
        if name in self.fails:
            raise self.fails[name]

    async def start_gateway(self, progress: Callable[[str], None]) -> None:
        progress("starting the gateway")
        await self._verb("start_gateway")
        if self.status.gateway.state != "on":
            self.change(NOBODY)

    async def stop_gateway(self) -> None:
        await self._verb("stop_gateway")
        self.change(DOWN)

    async def login(self, answers: Answers, *, factor: str = "") -> None:
        who = await answers.credentials(self.profile.username)
        self.calls.append(f"credentials {who.username}")
        if self.login_facts.wait_until is not None:
            number, limit = self.login_facts.attempts + 1, self.login_facts.limit
            if not await answers.confirm(f"attempt {number} of {limit} - go on?"):  # type: ignore[attr-defined]
                raise PersonNeeded("It was not confirmed.", "Log in again.")
            self.calls.append("confirmed")
        answers.note(Note(Step.PASSWORD, attempt=self.attempt or self.login_facts.attempts + 1))
        answers.note(Note(Step.PASSWORD, "proving the password"))
        self.login_facts = structs.replace(self.login_facts, attempts=self.login_facts.attempts + 1)
        await self._verb("login")
        if who.password != Secret(PASSWORD):
            raise LoginRefused("IBKR refused user name or password.", "Check both, then try again.")
        answers.note(Note(Step.PASSWORD, done=True))
        if self.factors:
            await self._second_factor(answers)
        for step in (Step.FACTOR, Step.SESSION, Step.BROKERAGE, Step.READY):
            answers.note(Note(step, done=True))
        self.change(ALL_ON)

    async def yield_session(self, minutes: int) -> None:
        await self._verb(f"yield_session {minutes}")
        self.keeping = Keeping(mode="yielding", until=NOW + timedelta(minutes=minutes))

    async def stop_keeping(self) -> None:
        await self._verb("stop_keeping")
        self.keeping = Keeping(mode="paused")

    def mean(self, account_type: str) -> None:
        self.calls.append(f"mean {account_type}")
        self.profile = replace(self.profile, account_type=account_type)
        self.fails.pop("login", None)

    async def enroll(self, answers: Answers, pin: Secret) -> None:
        who = await answers.credentials(self.profile.username)
        self.calls.append(f"enroll {who.username} {len(pin.reveal())}")
        answers.note(Note(Step.PASSWORD, done=True))
        await self._verb("enroll")
        await self._second_factor(answers)
        answers.note(Note(Step.SESSION, "activating IB Key"))
        answers.note(Note(Step.SESSION, "IB Key is enrolled", done=True))
        self.login_facts = LoginFacts(logins_left=93)

    async def export_key(self, path: Path, passphrase: Secret) -> None:
        await self._verb("export_key")
        self.exported.append((path, passphrase))

    async def _second_factor(self, answers: Answers) -> None:
        """As `auth.login` does it: choose, ask until there is a code, judge it."""
        answers.note(Note(Step.FACTOR, plain_names(self.factors)))
        code = self.factors[0]
        if len(self.factors) > 1:
            chosen = await answers.choose(self.factors)
            self.calls.append(f"chose {chosen}")
            if isinstance(chosen, Cancel):
                raise PersonNeeded("It was not given.", "Log in again.")
            code = chosen
        while True:
            others = tuple(other for other in self.factors if other != code)
            kind = factor(code).kind
            challenge = CHALLENGE if kind == "SWCR" else ""
            answer = await answers.ask(Challenge(code, kind, challenge, others, self.skew, self.problem))
            self.calls.append(type(answer).__name__)
            match answer:
                case OtherFactor(other):
                    code = other
                case Code(text):
                    answers.note(Note(Step.FACTOR, "checking the answer"))
                    if text.reveal() not in (CODE, RESPONSE):
                        raise CodeRefused("IBKR refused the code (text message).", "Log in again.")
                    self.login_facts = LoginFacts()
                    return
                case Cancel():
                    raise PersonNeeded("It was not given.", "Log in again.")

    async def logout(self) -> None:
        await self._verb("logout")
        self.change(NOBODY)

    async def open_brokerage(self, *, compete: bool) -> None:
        await self._verb("open_brokerage")
        self.change(ALL_ON)

    async def refresh(self) -> Status:
        await self._verb("refresh")
        return self.status

    async def go_live(self) -> None:
        await self._verb("go_live")
        if self._filled and not self.lived:
            fill(self.store)
        self.lived = True
        self.hub.publish([Change(kind, "*") for kind in KINDS])

    async def request(self, path: str, method: str = "GET", data: Any = None, params: Any = None) -> Any:
        raise AssertionError("the screens of these tests send no requests")

    async def close(self) -> None:
        self.closed = True


def settings(profile: Profile | None = None, **ui: Any) -> Settings:
    """Settings without a file."""
    chosen = profile or Profile(name="default", username="demo123")
    return Settings(profile=chosen.name, profiles={chosen.name: chosen}, ui=Ui(refresh_hz=60, **ui))
