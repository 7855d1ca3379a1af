"""The life of SSO and brokerage sessions (web-api.md §2): begin, idle, expire, compete, reset, log out.

All times are seconds of the simulated clock; what is due happens at the next `look`, which
the server calls at each request and ten times a second.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web

from ibtui.sim.scenario import Settings
from ibtui.sim.seam import Quirks, Session, SimClock, User

SERVER = {"serverName": "JifX10427", "serverVersion": "Build 10.45.1a, Apr 22, 2026 1:39:05 PM"}
MAC = "02:1A:7C:40:5E:91"
HARDWARE = f"5d20c7a1|{MAC}"


class Listener(Protocol):
    """Who wants to know what happens to sessions (the websockets)."""

    def changed(self, session: Session, changes: dict[str, Any]) -> None:
        """Members of the status changed (web-api.md §7.5)."""

    def rotated(self, session: Session) -> None:
        """The token is another one now: open sockets are dead but go on beating (§7.9)."""

    def ended(self, session: Session) -> None:
        """The SSO session is over and its sockets are to be closed."""


@dataclass(slots=True, eq=False)
class Life:
    """A session with its dates."""

    session: Session
    began: float
    last_seen: float
    midnight: float
    """When the region's day ends, and every session with it."""
    auth_at: float | None = None
    """When the brokerage session opens by itself."""
    established_at: float | None = None
    lose_at: float | None = None
    """When a rival has won."""
    bridge_at: float = 0.0
    """Until then `no bridge` although authenticated."""
    opened: int = 0
    """How often the brokerage session was opened."""
    over: str = ""
    """Why it ended: logout, expired, reset, replaced; empty while it lives."""
    shared: int = 0
    """T of the gateway's handshake (login.md §9.4 row 4)."""
    challenge: int | None = None
    refuse: str = ""
    """Why `ssodh/init` of a gateway is refused until its next handshake."""
    role: str = ""
    """oauth1 or oauth2 for a caller without a gateway; empty: the gateway's."""
    ip: str = "203.0.113.7"
    """The caller's public address."""


LIFE = web.RequestKey("life", Life)
"""The session of a caller without a gateway, once it is known."""


class Sessions:
    """All sessions of one simulator; `jar` is the one that callers without a cookie share."""

    def __init__(self, clock: SimClock, settings: Settings, quirks: Quirks) -> None:
        self.clock = clock
        self.settings = settings
        self.quirks = quirks
        self.jar: Life | None = None
        self.rivals: set[str] = set()
        """User names whose brokerage session another platform holds."""
        self.listener: Listener | None = None
        self._lives: list[Life] = []
        self._tokens: dict[str, Life] = {}

    # --- finding ---------------------------------------------------------------------------

    def find(self, token: str) -> Life | None:
        """The life of a token, also of one from before a rotation."""
        return self._tokens.get(token)

    def of(self, session: Session) -> Life | None:
        """The life of a session."""
        return self._tokens.get(session.token)

    def alive(self) -> list[Life]:
        """Sessions that have not ended."""
        return [life for life in self._lives if not life.over]

    # --- beginning -------------------------------------------------------------------------

    def begin(self, user: User, *, replaces: Life | None, by_itself: bool, role: str = "") -> Life:
        """Log a user in (SSO); `by_itself` opens the brokerage session after `auth_delay_s`.

        With a `role` it is the session of a direct caller, which never is in the gateway's jar.
        """
        if replaces is not None and not replaces.over:
            self._fall_silent(replaces, "replaced")
        now = self.clock.now()
        session = Session(user=user, selected_account=user.accounts[0])
        life = Life(session, began=now, last_seen=now, midnight=self.midnight(now), role=role)
        if by_itself:
            life.auth_at = now + self.settings.auth_delay_s
        self._lives = [one for one in self._lives if not one.over][-50:]
        self._lives.append(life)
        self._tokens[session.token] = life
        if not role:
            self.jar = life
        return life

    def begin_ready(self, user: User) -> Life:
        """A session that is open and established at once (`--logged-in`)."""
        life = self.begin(user, replaces=None, by_itself=False)
        life.opened = 1
        life.session.authenticated = life.session.established = True
        return life

    def open_brokerage(self, life: Life, *, compete: bool) -> bool:
        """Open the brokerage session, taking it from others only with `compete`; true when open."""
        session = life.session
        name = session.user.username.lower()
        others = [
            one
            for one in self.alive()
            if one is not life and one.session.authenticated and one.session.user.username.lower() == name
        ]
        life.auth_at = None
        if session.authenticated and not session.competing:
            return True
        if (name in self.rivals or others) and not compete:
            self._set(life, competing=True, authenticated=False)
            return False
        self.rivals.discard(name)
        for other in others:
            self.challenge(other)
        if life.opened:
            self._rotate(life)
        life.opened += 1
        life.lose_at = None
        now = self.clock.now()
        life.established_at = now + self.settings.established_delay_s
        life.bridge_at = now + self.quirks.bridge_delay_s
        life.last_seen = now
        self._set(life, connected=True, authenticated=True, competing=False)
        return True

    # --- ending ----------------------------------------------------------------------------

    def challenge(self, life: Life) -> None:
        """A rival asks for the brokerage session and gets it a little later."""
        if life.session.authenticated:
            life.lose_at = self.clock.now() + self.settings.compete_delay_s
        self._set(life, competing=True)

    def lose_brokerage(self, life: Life, message: str = "") -> None:
        """The brokerage session is gone, the SSO session stays."""
        life.established_at = life.lose_at = None
        if life.session.authenticated:
            changes = {"authenticated": False}
            if life.session.established:
                changes["established"] = False
            life.session.forget_brokerage()
            self._tell(life, {**changes, **({"message": message} if message else {})})

    def logout(self, life: Life) -> None:
        """End both sessions on request."""
        self._end(life, "logout")

    def rotate(self, life: Life) -> None:
        """A new token for a session that goes on: sockets of the old one beat, dead (§2.7, §7.9)."""
        self._rotate(life)

    def reset(self) -> None:
        """The nightly reset: every session ends, tokens change, sockets beat on without content."""
        for life in self.alive():
            self._fall_silent(life, "reset")

    # --- time ------------------------------------------------------------------------------

    def touch(self, life: Life) -> None:
        """A request was made with this session."""
        life.last_seen = self.clock.now()

    def look(self) -> None:
        """Let everything happen that is due."""
        now = self.clock.now()
        for life in self.alive():
            if now >= life.midnight:
                self._fall_silent(life, "reset")
            elif now - life.last_seen >= self.settings.sso_s:
                self._end(life, "expired")
            else:
                self._look_at(life, now)

    def _look_at(self, life: Life, now: float) -> None:
        session = life.session
        if life.auth_at is not None and now >= life.auth_at:
            self.open_brokerage(life, compete=False)
        if life.lose_at is not None and now >= life.lose_at:
            self.lose_brokerage(life)
        if session.authenticated and now - life.last_seen >= self.settings.idle_s:
            self.lose_brokerage(life)
        if life.established_at is not None and now >= life.established_at:
            life.established_at = None
            self._set(life, established=True)

    # --- reading ---------------------------------------------------------------------------

    def bridged(self, life: Life) -> bool:
        """Whether `/iserver` routes reach the brokerage session."""
        return life.session.authenticated and self.clock.now() >= life.bridge_at

    def sso_left_ms(self, life: Life) -> int:
        """Milliseconds until the SSO session expires, 0 when it has."""
        if life.over:
            return 0
        now = self.clock.now()
        return max(0, int(min(self.settings.sso_s - (now - life.last_seen), life.midnight - now) * 1000))

    def status(self, session: Session, *, fail: bool = True) -> dict[str, Any]:
        """The status object of web-api.md §2.2; without `fail` it is the one inside tickle."""
        body: dict[str, Any] = {"authenticated": session.authenticated}
        if self.quirks.established_key:
            body["established"] = session.established
        body |= {"competing": session.competing, "connected": session.connected}
        if not session.connected:
            return {**body, "MAC": MAC}
        server = SERVER if session.authenticated else dict.fromkeys(SERVER)
        body |= {"message": "", "MAC": MAC, "serverInfo": server, "hardware_info": HARDWARE}
        return {**body, "fail": ""} if fail else body

    def midnight(self, now: float) -> float:
        """When the region's day ends."""
        zone = self._zone()
        day = datetime.fromtimestamp(now, UTC).astimezone(zone).date() + timedelta(days=1)
        return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()

    def is_weekend_reset(self, midnight: float) -> bool:
        """Whether Sunday begins there in the region."""
        return datetime.fromtimestamp(midnight, UTC).astimezone(self._zone()).isoweekday() == 7

    # --- inside ----------------------------------------------------------------------------

    def _zone(self) -> tzinfo:
        try:
            return ZoneInfo(self.settings.region)
        except (ZoneInfoNotFoundError, ValueError):
            # A machine without a time zone database must still be able to run the demo.
            return timezone(timedelta(hours=-5))

    def _rotate(self, life: Life) -> None:
        life.session.token = secrets.token_hex(16)
        self._tokens[life.session.token] = life
        if self.listener is not None:
            self.listener.rotated(life.session)

    def _fall_silent(self, life: Life, why: str) -> None:
        """End it as the nightly reset and a new login do: its sockets beat on, dead (web-api.md §7.9)."""
        self._rotate(life)
        self._close(life, why)

    def _end(self, life: Life, why: str) -> None:
        self.lose_brokerage(life)
        self._close(life, why)
        if self.listener is not None:
            self.listener.ended(life.session)

    def _close(self, life: Life, why: str) -> None:
        life.over = why
        life.auth_at = life.established_at = life.lose_at = None
        life.session.forget_brokerage()
        life.session.sso = life.session.connected = life.session.competing = False

    def _set(self, life: Life, **values: bool) -> None:
        changes = {name: value for name, value in values.items() if getattr(life.session, name) != value}
        for name, value in changes.items():
            setattr(life.session, name, value)
        if changes:
            self._tell(life, changes)

    def _tell(self, life: Life, changes: dict[str, Any]) -> None:
        if not self.quirks.established_key:
            changes = {name: value for name, value in changes.items() if name != "established"}
        if self.listener is not None and changes:
            self.listener.changed(life.session, changes)
