"""The keep-alive's mind: what to do next and when, and how it stands. Pure: no I/O, no clock, no tasks.

It is told what was seen and how deeds ended, each with its moment, and says the next deed.
It never gives up on a passing error; whatever needs a person it names, and waits.
web-api.md §2.2 (what a status means), §2.7 (lifetimes, resets), login.md §9 (the gateway).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from ibtui.core.models import Keeping
from ibtui.errors import Competing, IbtuiError, NotLoggedIn
from ibtui.service import reset
from ibtui.service.pace import CALM_S, LASTED_S, Pace
from ibtui.service.sight import Kind, Means, Moment, Policy, Sight
from ibtui.service.steps import DOING, Deed, Next, Plan, Told, changed, drift, needs_person, span, wall_of

SURE_S = 2.0
"""Between noticing that nobody is logged in and logging in, when a second look agrees."""
RESET_S = 20.0
"""The same in the midst of a nightly reset, which is no single moment."""
FRESH_S = 8.0
"""After a login elsewhere: the gateway opens the brokerage session by itself (login.md §9.4)."""
STUCK_S = 120.0
"""So long a gateway process of ours that lives may say nothing before it is ended and started anew."""
SETTLED_S = 180.0
"""Longer than this a brokerage session does not take to come up."""
JUMP_S = 20.0
"""Wall time and monotonic time further apart than before: this machine slept, or was set."""
MANY_OPENS = 4
"""Failed openings after which a whole login is tried."""
BRISK = 40
"""Looks in a row at the usual pace before they become rarer."""
SLOW_S, AWAY_S = 15.0, 60.0
"""The longest pause between two looks: at what is on this machine, and at IBKR when it is away."""
TAKE_BACK = "t takes it over, or ibtui login --take-over"


class Machine:
    """One profile's keep-alive. `tickle_s`, `look_s`: seconds between looks at a ready session, and else."""

    def __init__(self, policy: Policy, now: Moment, *, tickle_s: float = 30.0, look_s: float = 3.0) -> None:
        self.policy = policy
        self._tickle_s, self._look_s = tickle_s, look_s
        self._means = Means()
        self._sight: Sight | None = None
        self._before = Kind.DOWN
        self._since = self._looked = now.mono
        """When this kind of sight began, and when the last look ended."""
        self._same = 0
        """Looks in a row that have found the same kind."""
        self._look_now = True
        self._look_by = math.inf
        self._drift = drift(now)
        self._paused = ""
        self._wanted = False
        """A session has been there, and nobody has ended it on purpose."""
        self._stop = ""
        """Why there is no login before a person has done something."""
        self._stopped_at = 0
        """Attempts used at the last look: fewer mean that somebody has reset them."""
        self._rival = self._reclaim = False
        self._yield: tuple[datetime, float] | None = None
        self._dead: float | None = None
        self._up_since = now.mono
        self._last_told = self._cause = ""
        """Why the session has probably ended."""
        self._login = Pace((10.0, 60.0, 300.0, 600.0))
        self._spent = Pace((10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0))
        self._open = Pace((15.0, 30.0, 60.0, 120.0, 300.0))
        self._take = Pace((60.0, 300.0, 900.0, 1800.0))
        self._revive = Pace((5.0, 15.0, 60.0, 300.0))
        self._unseen = ""
        """A deed has `worked` or `failed`, and what came of it is not seen yet."""
        self._told: list[Told] = []
        self.keeping = Keeping(mode="on" if policy.keeps else "off")
        """How it stands, as of the last call."""
        self._reckon(now)

    # What happens to it ------------------------------------------------------------

    def saw(self, now: Moment, sight: Sight, means: Means) -> None:
        """A look has ended."""
        self._jumped(now)
        self._means = means
        self._looked, self._look_now, self._look_by = now.mono, False, math.inf
        self._unseen = ""
        old = self._sight.kind if self._sight is not None else None
        self._sight = sight
        if sight.kind is old:
            self._same += 1
        else:
            self._turned(now, old, sight.kind)
        if sight.kind is Kind.READY:
            self._well(now)
        if means.stuck and self._wanted and self._dead is None and now.mono - self._since >= STUCK_S:
            self._dead = now.mono
            self._tell(f"the gateway has not answered for {span(now.mono - self._since)}", "warn")
        if self._stop and means.facts.attempts < self._stopped_at:
            self._stop = ""
        self._stopped_at = means.facts.attempts
        self._reckon(now)

    def did(self, now: Moment, deed: Deed, error: IbtuiError | None = None) -> None:
        """A deed other than a look has ended, with `error` if it failed."""
        rival = self._sight is not None and self._sight.kind is Kind.COMPETING
        opens = self._take if rival else self._open
        {Deed.LOGIN: self._login, Deed.REVIVE: self._revive}.get(deed, opens).spend(now.mono)
        self._look_now = True
        self._unseen = "worked" if error is None else "failed" if deed is Deed.LOGIN else ""
        if error is None and deed is Deed.REVIVE:
            self._dead, self._cause = None, "the gateway was started anew"
        elif error is None and deed is Deed.LOGIN:
            self._open.forget()
            self._spent.spend(now.mono)
        elif error is not None:
            self._failed(now, deed, error)
        self._reckon(now)

    def died(self, now: Moment) -> None:
        """The gateway process has ended although nobody asked it to."""
        self._dead = now.mono
        if self._sight is not None and self._sight.kind is not Kind.DOWN:
            self._turned(now, self._sight.kind, Kind.DOWN)
        self._sight = Sight(Kind.DOWN)
        self._look_now = True
        self._reckon(now)

    def asked(self, now: Moment, verb: str) -> None:
        """A person has done something: `start`, `stop`, `login`, `open` or `logout`, with success."""
        self._dead = None
        self._stop = ""
        if verb in ("stop", "logout"):
            self._wanted = False
        if verb != "start":
            self._rival = self._reclaim = False
            self._yield = None
        if verb == "login":
            self._paused, self._wanted = "", True
        for pace in (self._login, self._spent, self._open, self._take, self._revive):
            pace.forget()
        self._look_now, self._unseen = True, "worked"
        self._reckon(now)

    def held(self, now: Moment) -> None:
        """A password was handed over: a session is wanted, whoever began it."""
        self._wanted, self._stop = True, ""
        self._reckon(now)

    def yield_for(self, now: Moment, minutes: int) -> None:
        """Leave the brokerage session alone for so long, then take it up again."""
        self._yield = (now.wall + timedelta(minutes=minutes), now.mono + minutes * 60)
        self._reckon(now)

    def pause(self, now: Moment, why: str) -> None:
        """Keep nothing alive any more, until a person logs in."""
        self._paused, self._look_now = why, False
        self._reckon(now)

    def look_soon(self) -> None:
        """There is news: look at once."""
        self._look_now = True

    def missed(self, now: Moment) -> None:
        """A look has ended and says nothing: it failed, or a person did something meanwhile."""
        self._looked, self._look_now, self._look_by = now.mono, False, now.mono + self._look_s

    def look_by(self, at: float) -> None:
        """Something is not as it should be: look again no later than `at` (monotonic)."""
        self._look_by = min(self._look_by, at)

    # What comes of it --------------------------------------------------------------

    def next(self, now: Moment) -> Next:
        """The next deed; ask again after it, after each event, and at least every few minutes."""
        self._jumped(now)
        plan = self._reckon(now)
        look = self._look_at(now)
        if plan.deed is not None and plan.at <= look and not self._look_now:
            return Next(plan.deed, plan.at)
        return Next(Deed.LOOK, look)

    def begin(self, now: Moment, deed: Deed) -> None:
        """A deed is about to be done; tells the time line why."""
        if deed in (Deed.LOGIN, Deed.REVIVE):
            self._tell(DOING[deed] + (f": {self._because(now)}" if deed is Deed.LOGIN else ""))

    def _because(self, now: Moment) -> str:
        """Why the login has ended."""
        last = self.keeping.last
        if not self._cause and last is not None and last < reset.last_reset(self.policy.region, now.wall):
            return "IBKR's nightly reset"
        return self._cause or "the login has ended"

    def take_told(self) -> list[Told]:
        """New lines for the time line."""
        told, self._told = self._told, []
        return told

    # Inside ------------------------------------------------------------------------

    def _look_at(self, now: Moment) -> float:
        kind = self._sight.kind if self._sight is not None else None
        if self._look_now:
            return now.mono
        if kind is Kind.READY:
            keeps = self.policy.keeps and not self._paused
            return min(self._look_by, self._looked + self._tickle_s if keeps else math.inf)
        rarer = self._look_s * 2.0 ** min(10, max(0, self._same - BRISK) // 4)
        return self._looked + min(rarer, AWAY_S if kind is Kind.AWAY else SLOW_S)

    def _turned(self, now: Moment, old: Kind | None, new: Kind) -> None:
        """Another kind of sight than before."""
        if old is Kind.READY and now.mono - self._since >= CALM_S:
            for pace in (self._login, self._open, self._take):
                pace.forget()
            if now.mono - self._since >= LASTED_S:
                self._spent.forget()
        if new is Kind.DOWN and now.mono - self._up_since >= CALM_S:
            self._revive.forget()
        if old in (None, Kind.DOWN) and new is not Kind.DOWN:
            self._up_since, self._dead = now.mono, None
        if old is not None:
            self._before = old
        self._since, self._same = now.mono, 0
        if new is Kind.COMPETING:
            self._met_rival(now)

    def _met_rival(self, now: Moment) -> None:
        self._rival = True
        self._cause = "another program had taken the brokerage session"
        if self.policy.competing == "yield" and self._yield is None and self.policy.acts:
            self._reclaim = False
            self.yield_for(now, self.policy.yield_minutes)

    def _well(self, now: Moment) -> None:
        self._wanted, self._stop, self._cause = True, "", ""
        self._rival = self._reclaim = False
        self.keeping = changed(self.keeping, last=now.wall)

    def _failed(self, now: Moment, deed: Deed, error: IbtuiError) -> None:
        if isinstance(error, Competing):
            self._reclaim = False
            self._met_rival(now)
        elif deed is Deed.LOGIN and needs_person(error):
            self._stop = str(error)
        elif deed is not Deed.LOGIN and not isinstance(error, NotLoggedIn):
            self._tell(f"{DOING[deed]} did not work: {error.what}", "warn")  # a login tells its own

    def _jumped(self, now: Moment) -> None:
        found = drift(now)
        moved, self._drift = found - self._drift, found
        if abs(moved) < JUMP_S:
            return
        self._same, self._look_now = 0, True
        if moved > 0:
            self._tell(f"this machine slept, or its clock was set on, by {span(moved)}: looking at once")
            self._cause = self._cause or "this machine slept"
        else:
            self._tell(f"the clock was set back by {span(-moved)}", "warn")

    def _reckon(self, now: Moment) -> Plan:
        """Plan anew; what has changed about it is told."""
        if self._yield is not None and (now.wall >= self._yield[0] or now.mono >= self._yield[1]):
            self._yield = None
            self._reclaim, self._rival = True, False
            self._tell("the time for the other program is over")
        plan = self._plan(now)
        old = self.keeping
        new = (plan.mode, plan.why) != (old.mode, old.why) and not self._unseen
        if new and self.policy.acts and self._wanted:
            if plan.mode == "on" and not plan.why:
                self._tell("the session is ready")
            elif plan.why:
                self._tell(plan.why, "info" if plan.mode == "on" else "warn")
        night = reset.next_reset(self.policy.region, now.wall)
        self.keeping = changed(old, mode=plan.mode, why=plan.why, until=plan.until, next_reset=night)
        return plan

    def _tell(self, text: str, level: str = "info") -> None:
        if self.policy.acts and text != self._last_told:
            self._told.append(Told(text, level))
            self._last_told = text

    # Plans -------------------------------------------------------------------------

    def _plan(self, now: Moment) -> Plan:
        if self._paused:
            return Plan("paused", self._paused)
        if self._unseen == "worked" and self._yield is None and self.policy.keeps and self.policy.acts:
            return Plan("on", "looking how it went")
        if self._unseen:
            return Plan(self.keeping.mode, self.keeping.why, until=self.keeping.until)
        if not self.policy.keeps:
            return Plan("off")
        if not self.policy.acts or self._sight is None:
            return Plan("on")
        if self._yield is not None and self._sight.kind is not Kind.DOWN:
            who = "another program has" if self._rival else "another program may have"
            return Plan("yielding", f"{who} the session for a while", until=self._yield[0])
        plans: dict[Kind, Callable[[Moment], Plan]] = {
            Kind.SETTLING: self._settling,
            Kind.CLOSED: self._closed,
            Kind.COMPETING: self._competing,
            Kind.LOGGED_OUT: self._logged_out,
            Kind.AWAY: self._away,
            Kind.DOWN: self._down,
        }
        if self._sight.kind in plans:
            return plans[self._sight.kind](now)
        return Plan("person", self._sight.why) if self._sight.kind is Kind.BLIND else Plan("on")

    def _settling(self, now: Moment) -> Plan:
        if now.mono - self._since < SETTLED_S:
            return Plan("on", "the brokerage session is coming up")
        return Plan("waiting", "the brokerage session does not come up: its data do not arrive")

    def _closed(self, now: Moment) -> Plan:
        if self._rival and self.policy.competing == "ask":
            return Plan("person", f"another program holds the brokerage session; {TAKE_BACK}")
        if self._open.tries >= MANY_OPENS and not self._no_login(now):
            return self._log_in(now, "the brokerage session cannot be opened")
        lost = self._before in (Kind.READY, Kind.COMPETING, Kind.SETTLING)
        due = self._open.due(self._since + (SURE_S if lost else FRESH_S))
        deed = Deed.TAKE if self._reclaim or self.policy.competing == "take" else Deed.OPEN
        if self._open.tries:
            why = "the brokerage session could not be opened: trying again"
            return Plan("waiting", why, deed, due, wall_of(now, due))
        return Plan("on", "opening the brokerage session", deed, due)

    def _competing(self, now: Moment) -> Plan:
        if self.policy.competing != "take" and not self._reclaim:
            return Plan("person", f"another program holds the brokerage session; {TAKE_BACK}")
        due = self._take.due(self._since)
        if self._take.tries:
            why = "another program takes the brokerage session again and again"
            return Plan("waiting", why, Deed.TAKE, due, wall_of(now, due))
        return Plan("on", "taking the brokerage session back", Deed.TAKE, due)

    def _logged_out(self, now: Moment) -> Plan:
        if not self._wanted:
            return Plan("person", "nobody has logged in yet")
        if self._rival and self.policy.competing == "ask":
            return Plan("person", "another program has taken the session; log in to have it back")
        why = self._no_login(now)
        if why:
            return Plan("person", f"the login has ended; {why}")
        return self._log_in(now, "the login has ended")

    def _log_in(self, now: Moment, why: str) -> Plan:
        wait = self._means.facts.wait_until
        if wait is not None and wait > now.wall:
            at = now.mono + (wait - now.wall).total_seconds()
            return Plan("waiting", f"{why}; the next login has to wait", Deed.LOGIN, at, wait)
        window = reset.window(self.policy.region, now.wall)
        due = self._login.due(self._since + (RESET_S if window else SURE_S))
        # Only when a second look agrees: one odd reply is no reason to log in.
        deed = Deed.LOGIN if self._same else None
        # Counted are logins that worked: each may have cost one of IB Key's answers, of which there are few.
        if self._means.facts.logins_left is not None and (spent := self._spent.due(0.0)) > due:
            why = f"{why} again and again, and each login costs one of IB Key's answers"
            return Plan("waiting", why, deed, spent, wall_of(now, spent))
        if self._login.tries:
            told = f"{why}; IBKR is in {window.name}" if window else f"{why}; trying again"
            return Plan("waiting", told, deed, due, wall_of(now, due))
        return Plan("on", f"logging in again: {self._because(now)}", deed, due)

    def _no_login(self, now: Moment) -> str:
        """Why this cannot log in by itself; empty when it can."""
        facts = self._means.facts
        if self.policy.relogin == "off":
            return 'log in (the profile says relogin = "off")'
        if self._stop:
            return self._stop
        if self._means.missing:
            return f"log in: {self._means.missing}"
        if facts.attempts >= facts.limit:
            return f"log in: {facts.attempts} of {facts.limit} attempts are used"
        return ""

    def _away(self, now: Moment) -> Plan:
        window = reset.window(self.policy.region, now.wall)
        if window is not None:
            return Plan("waiting", f"IBKR does not answer: {window.name}", until=window.end)
        but = "" if self.policy.direct else "the gateway runs, but "
        return Plan("waiting", f"{but}IBKR does not answer: looking again and again")

    def _down(self, now: Moment) -> Plan:
        if self._dead is None:
            return Plan("waiting", "the gateway does not answer")
        if not self._means.revive:
            return Plan("waiting", "the gateway has ended, and it is not ours to start")
        due = self._revive.due(self._dead + 1.0)
        if self._revive.tries:
            why = "the gateway does not stay up: starting it again"
            return Plan("waiting", why, Deed.REVIVE, due, wall_of(now, due))
        return Plan("on", "starting the gateway again", Deed.REVIVE, due)
