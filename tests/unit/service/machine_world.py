"""A world for the keep-alive's machine: gateway, IBKR, rivals and a guard, without any I/O.

Time goes from one thing to the next, so that weeks take seconds.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from ibtui.auth import guard
from ibtui.core.models import LoginFacts
from ibtui.errors import (
    CodeRefused,
    Competing,
    GatewayFault,
    IbtuiError,
    LoginRefused,
    NotLoggedIn,
    Unreachable,
)
from ibtui.service import reset
from ibtui.service.machine import Machine
from ibtui.service.sight import Kind, Means, Moment, Policy, Sight
from ibtui.service.steps import Deed

START = datetime(2026, 4, 20, 14, 0, tzinfo=UTC)
IDLE_S = 330.0
LIMIT = guard.Policy(4)


@dataclass
class World:
    """`died` at the gateway, `away` until, `rival` until: monotonic seconds."""

    policy: Policy = Policy(acts=True)
    seed: int = 1
    password: str = "right"
    """`right`, `wrong`, or empty: there is none."""
    code: str = "right"
    ours: bool = True
    takes_over: bool = True
    """The gateway takes the brokerage session with each login, as the Java one does."""
    mono: float = 1000.0
    shift: float = 0.0
    up: bool = True
    starts: bool = True
    sso: bool = False
    brokerage: bool = False
    stuck: bool = False
    opens_at: float = float("inf")
    rival: bool = False
    away_until: float = 0.0
    record: guard.Record = guard.Record()
    answers: int | None = None
    """What IB Key has left; each login that works costs one."""
    heard: float = 0.0
    """When it was last asked anything."""
    odd: list[Sight] = field(default_factory=list)
    """Looks that see something else than what is."""
    told: list[str] = field(default_factory=list)
    deeds: list[tuple[float, Deed]] = field(default_factory=list)
    sent: list[datetime] = field(default_factory=list)
    """When a password left."""
    gap: float = 0.0
    """The longest time a ready session was not asked anything."""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.midnight = reset.next_reset(self.policy.region, self.now.wall)
        self.machine = Machine(self.policy, self.now)

    @property
    def now(self) -> Moment:
        return Moment(START + timedelta(seconds=self.mono + self.shift), self.mono)

    @property
    def ready(self) -> bool:
        return self.up and self.mono >= self.away_until and self.sso and self.brokerage and not self.rival

    # What happens ------------------------------------------------------------------

    def log_in(self) -> None:
        """A person does."""
        self.up = self.sso = self.brokerage = True
        self.rival, self.record = False, guard.Record()
        self.heard = self.mono
        self.machine.asked(self.now, "login")

    def kill(self) -> None:
        self.up = self.sso = self.brokerage = False
        self.machine.died(self.now)

    def compete(self) -> None:
        if self.brokerage:
            self.rival, self.brokerage = True, False

    def sleep(self, seconds: float) -> None:
        """The laptop is closed for so long: only wall time goes on."""
        self.shift += seconds
        if seconds > IDLE_S:
            self.brokerage = False
        if seconds > 600:
            self.sso = False

    def pass_(self, seconds: float) -> None:
        """Time goes on; what is due happens."""
        self.mono += seconds
        if self.now.wall >= self.midnight:
            self.midnight = reset.next_reset(self.policy.region, self.now.wall)
            self.sso = self.brokerage = False
        if self.mono - self.heard > IDLE_S:
            self.brokerage = False
        if self.sso and self.mono >= self.opens_at:
            self.opens_at = float("inf")
            if self.takes_over:
                self.rival = False
            self.brokerage = not self.rival

    # What the machine does ---------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let the machine work for so long."""
        end = self.mono + seconds
        while self.mono < end:
            step = self.machine.next(self.now)
            if step.at > self.mono:
                was, before = self.ready, self.mono
                self.pass_(min(step.at - self.mono, end - self.mono, 60.0))
                if was and self.ready:
                    self.gap = max(self.gap, self.mono - self.heard)
                assert self.mono > before
                continue
            self.do(step.deed)
            self.pass_(1.0)
            self.told += [told.text for told in self.machine.take_told()]

    def do(self, deed: Deed) -> None:
        self.deeds.append((self.mono, deed))
        if deed is Deed.LOOK:
            self.machine.saw(self.now, self.look(), self.means)
            return
        self.machine.begin(self.now, deed)
        error: IbtuiError | None = None
        try:
            {Deed.LOGIN: self.login, Deed.REVIVE: self.revive}.get(deed, lambda: self.open(deed))()
        except IbtuiError as failure:
            error = failure
        self.machine.did(self.now, deed, error)

    @property
    def means(self) -> Means:
        waits = guard.waiting(self.record, self.now.wall)
        facts = LoginFacts(
            attempts=self.record.attempts, limit=LIMIT.limit, wait_until=waits, logins_left=self.answers
        )
        return Means(password=bool(self.password), revive=self.ours, stuck=self.stuck, facts=facts)

    def look(self) -> Sight:
        if not self.up:
            return Sight(Kind.DOWN, "nothing answers")
        if self.odd:
            return self.odd.pop()
        if self.mono < self.away_until:
            self.pass_(15.0)
            return Sight(Kind.AWAY, "no answer within 15 s")
        self.heard = self.mono
        if not self.sso:
            return Sight(Kind.LOGGED_OUT)
        if self.rival:
            return Sight(Kind.COMPETING)
        return Sight(Kind.READY if self.brokerage else Kind.CLOSED)

    def login(self) -> None:
        guard.permit(self.record, LIMIT, self.now.wall, person=False)
        if not self.up or self.mono < self.away_until:
            self.pass_(15.0)
            raise Unreachable("GET /sso/Login had no answer.")
        self.record = guard.spent(self.record, self.now.wall)
        self.sent.append(self.now.wall)
        self.pass_(1.0)
        if self.password == "wrong":
            raise LoginRefused("IBKR refused the password.")
        if self.code == "wrong":
            raise CodeRefused("IBKR refused the code.")
        self.record = guard.Record()
        self.answers = self.answers and self.answers - 1
        self.sso, self.brokerage, self.heard = True, False, self.mono
        self.opens_at = self.mono + 3.0
        self.pass_(4.0)

    def open(self, deed: Deed) -> None:
        if not self.up or self.mono < self.away_until:
            self.pass_(15.0)
            raise Unreachable("no answer")
        if not self.sso:
            raise NotLoggedIn("There is no SSO session.")
        if self.rival and deed is not Deed.TAKE:
            raise Competing("Another program holds it.")
        self.rival, self.brokerage, self.heard = False, True, self.mono

    def revive(self) -> None:
        self.pass_(3.0)
        if not self.starts:
            raise GatewayFault("The port is taken.")
        self.up, self.stuck = True, False

    # What is to be said of it ------------------------------------------------------

    def rates(self) -> Counter[tuple[int, bool]]:
        """Deeds by simulated hour; looks are counted apart."""
        return Counter((int(at // 3600), deed is Deed.LOOK) for at, deed in self.deeds)

    def with_policy(self, **values: object) -> World:
        return replace(self, policy=replace(self.policy, **values))  # type: ignore[arg-type]
