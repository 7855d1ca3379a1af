"""One look at the three things a session stands on: gateway, login, brokerage session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ibtui.auth.effects import Credentials
from ibtui.clock import Clock
from ibtui.config import Profile
from ibtui.core.models import AuthStatus, Lamp, Tickle
from ibtui.errors import GatewayDown, IbtuiError, NotLoggedIn, Pacing, UsageError
from ibtui.service.board import Board
from ibtui.service.entry import Entry
from ibtui.service.host import LOG_IN, Host
from ibtui.service.lamps import after_login, brokerage_lamp, sso_lamp, unknown
from ibtui.service.sight import Kind, Means, Policy, Sight, sight_of


class Looker:
    """Looks for a runtime. `tickle` keeps the session alive and says how it is.

    Attributes:
        sight: what the last look has found; `refused` the setting that kept it from looking closer.
    """

    def __init__(
        self, board: Board, clock: Clock, host: Host, entry: Entry, tickle: Callable[[], Awaitable[Tickle]]
    ) -> None:
        self._board = board
        self._clock = clock
        self._host = host
        self._entry = entry
        self._tickle = tickle
        self.sight = Sight(Kind.DOWN)
        self.refused: UsageError | None = None

    async def look(self) -> dict[str, Lamp]:
        """The lamps as they are; raises nothing that `errors` knows."""
        gateway = await self._host.look()
        found = {"gateway": gateway, "sso": unknown(), "brokerage": unknown()}
        old = self._board.status
        status: AuthStatus | None = None
        trouble: IbtuiError | None = None
        if gateway.state != "on":
            if (old.gateway.state, old.gateway.fix) == (gateway.state, gateway.fix):
                # Why it ended says more than that nothing answers.
                found["gateway"] = old.gateway
        else:
            try:
                tickle = await self._asked()
            except IbtuiError as error:
                trouble = error
                found |= await self._missing(error)
            else:
                now, status = self._clock.now(), tickle.status
                found["sso"] = after_login(tickle, self._entry.who, old.sso, now)
                found["brokerage"] = brokerage_lamp(tickle.status, old.brokerage, now)
        self.sight = sight_of(gateway, status, trouble, direct=self._entry.profile.direct)
        self.refused = trouble if isinstance(trouble, UsageError) else None
        return found

    async def _missing(self, error: IbtuiError) -> dict[str, Lamp]:
        if isinstance(error, NotLoggedIn):
            facts = await self._entry.read_facts()
            return {"sso": sso_lamp(error, LOG_IN, self._board.status.sso, facts)}
        if isinstance(error, GatewayDown):
            return {"gateway": Lamp(state="off", reason=error.what, fix=error.fix)}
        return {"sso": Lamp(state="unknown", reason=error.what, fix=error.fix)}

    async def _asked(self) -> Tickle:
        try:
            return await self._tickle()
        except Pacing:
            # Once a second is allowed (web-api.md §1.6), and another command may have just asked;
            # the client's own limiter makes the second try wait.
            return await self._tickle()


def policy_of(profile: Profile, *, keeper: bool) -> Policy:
    """What a profile wants of its keep-alive; only the profile's one `keeper` acts by itself.

    The demo's shows what happens and leaves what is to be done to the person.
    """
    return Policy(
        keeps=profile.keep_alive,
        acts=keeper and profile.mode != "demo",
        relogin=profile.relogin,
        competing=profile.competing,
        yield_minutes=profile.yield_minutes,
        region=profile.region,
        direct=profile.direct,
    )


def means_of(profile: Profile, host: Host, entry: Entry, held: Credentials | None) -> Means:
    """What can be done without a person, as far as is known without asking a source."""
    # The source is of the profile's user: it must not put another one in the place of who was there.
    same = entry.user.lower() in ("", profile.username.lower())
    source = profile.direct or bool(profile.password and profile.username and same)
    return Means(
        password=held is not None or source,
        factor=not entry.by or _answers_itself(profile, entry),
        revive=host.ours,
        stuck=host.stuck,
        facts=entry.facts,
    )


def _answers_itself(profile: Profile, entry: Entry) -> bool:
    """Whether any second factor is answered without a person. Trying would send text messages at night."""
    twilio = profile.twilio_sid and profile.twilio_token
    return bool(profile.totp_secret or twilio or entry.facts.logins_left)
