"""What the simulator's two halves know of each other.

One half is the platform (server, sessions, login, faults, control); the other is the
world (accounts, contracts, prices, orders). REST handlers and topics of the world are
registered by table and get everything they need in a `Call`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from ibtui.sim.world import World


class SimClock:
    """Wall time that the control API can move forward (`POST /sim/clock`)."""

    def __init__(self) -> None:
        self._offset = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._offset

    def real(self) -> float:
        """The machine's own time, which other programs on it go by."""
        return time.time()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, as most wire fields want it."""
        return int(self.now() * 1000)

    def advance(self, seconds: float) -> None:
        """Jump forward; what was due in between happens at the next look."""
        self._offset += seconds


@dataclass(slots=True)
class User:
    """A user name of the simulator and what belongs to it."""

    username: str
    password: str
    accounts: list[str]
    """Account ids, paper ones begin with DU."""
    factors: list[str] = field(default_factory=list)
    """SF codes offered after the password (login.md §3 'Second factors')."""
    user_id: int = 99900016
    paper: bool = True


BROKERAGE_FLAGS = frozenset({"accounts", "orders", "trades", "pnl", "history", "hmds", "hmds bridge"})
"""The marks in `Session.flags` that end with the brokerage session."""


@dataclass(slots=True)
class Session:
    """One SSO session with its brokerage session (web-api.md §2.1).

    The gateway's callers share one; a direct API (OAuth) caller has its own.
    """

    user: User
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    """The tickle `session`: 32 hex digits, changes at re-authentication."""
    sso: bool = True
    connected: bool = True
    authenticated: bool = False
    established: bool = False
    competing: bool = False
    selected_account: str = ""
    flags: set[str] = field(default_factory=set)
    """What was called already, for cold/warm behaviour: 'accounts', 'portfolio', 'orders', 'trades' ..."""
    suppressed: set[str] = field(default_factory=set)
    """Question ids suppressed until the brokerage session ends (web-api.md §4.8)."""
    order_filter: set[str] | None = None
    """Statuses a filtered REST call let through; mutes `sor` for the others (§4.1)."""
    snapshot_fields: dict[int, set[str]] = field(default_factory=dict)
    """Open market data streams of REST snapshots: conid -> requested field numbers."""
    scratch: dict[str, Any] = field(default_factory=dict)
    """Room for a handler's own per-session state, by its own key."""

    def forget_brokerage(self) -> None:
        """The brokerage session ended: cold again, but for what the SSO session serves (§2.7 'competing')."""
        self.authenticated = self.established = False
        self.flags -= BROKERAGE_FLAGS
        self.suppressed.clear()
        self.order_filter = None
        self.snapshot_fields.clear()
        self.scratch.clear()


class Needs(Enum):
    """What a route asks for before its handler runs; the platform enforces it (web-api.md §1.5, §1.7)."""

    NOTHING = "nothing"
    SSO = "sso"  # else 401
    BRIDGE = "bridge"  # SSO and an authenticated brokerage session, else 401 / 400 'no bridge'
    ACCOUNTS = "accounts"  # BRIDGE and 'accounts' in session.flags, else '... query /accounts first'


@dataclass(slots=True)
class Quirks:
    """The switches of web-api.md §8 'Simulator knobs'; defaults are what IBKR does."""

    cold_replies: bool = True
    established_key: bool = True
    binary_frames: bool = True
    sor_snapshot: str = "full"  # full | none | identity | refuse
    bridge_delay_s: float = 0.0
    """'no bridge' for so long after a good ssodh/init."""
    commission_delay_s: float = 2.0
    tic_replies: int = 4
    stream_expiry_s: float = 900.0
    """An smd stream falls silent after so long without a new subscribe."""
    questions: list[str] | None = None
    """Question ids every order is asked; None: by the order's own content."""
    pacing: bool = True
    pacing_strict: bool = False
    """The letter of §1.6: no burst on a route with a limit, not even the second call after a cold one."""
    penalty_box: bool = False
    change_pct_as_text: bool = False
    """Field 83 as a string on REST."""
    init_reply: str = "status"  # status | passed
    """What a good `ssodh/init` answers: the status object, or the short form of another build (§2.5)."""
    position_lag_s: float = 30.0
    """REST positions show a fill so late, unless invalidated (§3.8)."""
    history_cold: str = "late"  # late | 503
    """The first history reply of a session: half a second late, or 503 (§5.9, quirk 1)."""
    price_prefix: str = ""
    """Before field 31: `C` where the price is yesterday's close, `H` where trading is halted (§5.8)."""
    market_lines: int = 100
    """Market data streams at a time; what is too much is told as a contract without data (§5.8)."""
    abandoned_orders_live: bool = False
    """An order whose question was invalidated goes live with the next one of its kind (§4.7)."""
    paper_element: bool = True
    """The login's first reply has `<paper>`; older builds leave it out (login.md §3)."""
    sms_delay_s: float = 0.0
    """A login's text message arrives so much later."""
    enroll_error: str = ""
    """The enrollment's first reply is `<error>` with this text (login.md §6 row 2)."""
    enroll_without_rsapub: bool = False
    """The enrollment's first reply has an empty `rsapub` (row 3)."""
    enroll_user_allowed: int = 0
    """`USER_ALLOWED`: anything but 0 ends the enrollment (row 7)."""
    enroll_algo: str = "OCRA-1:HOTP-SHA1-8:C-QN06-PSHA1"
    """`ALGO` of row 8."""
    enroll_activation: bool = True
    """`ACTIVATION_RESULT` of row 9 even when everything is right."""
    oauth_forms: str = ""
    """Forms of the base string that are accepted, with commas between them (oauth.md §6); empty: all."""
    oauth_reply: str = "padded"  # padded | bare | short
    """B with 512 digits; as it comes; or one that has fewer digits (oauth.md §5.6)."""
    oauth_activation: str = "now"  # now | midnight | weekend
    """When a consumer that is registered becomes active (oauth.md §2 'Activation delay')."""
    oauth_refusal: str = ""
    """Requests for a live session token are refused with these words (oauth.md §9)."""
    init_refusal: str = ""
    """`ssodh/init` answers 500 with these words: `failed to generate sso dh token` (oauth.md §9)."""
    oauth2_ip: str = ""
    """The caller's public address as the server sees it; another one in the claim is refused. Empty: any."""


@dataclass(slots=True)
class Call:
    """One REST call on its way through a handler."""

    request: web.Request
    session: Session
    world: World
    clock: SimClock
    quirks: Quirks

    async def json(self) -> Any:
        """The body as JSON; a 400 as web-api.md §4.11 words it when it is none."""
        import json

        text = await self.request.text()
        try:
            return json.loads(text) if text else {}
        except ValueError:
            raise refuse(
                400, "Failed to parse body as JSON. Content Type: application/json; charset=utf-8"
            ) from None


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """A REST route below `/v1/api` (and `/v1/portal`); `path` in aiohttp's `{name}` form."""

    method: str
    path: str
    handler: Handler
    needs: Needs = Needs.BRIDGE


Routes = Sequence[Route]


def reply(body: Any, status: int = 200, kind: str = "application/json") -> web.Response:
    """Compact JSON in one write, as a gateway wants it (login.md §9.4)."""
    import json

    return web.Response(
        body=json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(),
        status=status,
        content_type=kind,
        charset="utf-8",
        headers={"Cache-Control": "no-cache, no-store"},
    )


def not_found() -> web.Response:
    """The page of an unknown path (web-api.md §1.4)."""
    page = "<html><body><h1>Resource not found</h1></body></html>"
    return web.Response(status=404, text=page, content_type="text/html")


SIGNED = web.RequestKey("signed", str)
"""For the journal: what a caller without a gateway has shown, or why it was not enough."""


class Refusal(Exception):
    """Raised by a handler to end the call with an error reply."""

    def __init__(self, status: int, body: Any, kind: str = "application/json") -> None:
        super().__init__(f"{status}")
        self.status = status
        self.body = body
        self.kind = kind


def refuse(status: int, text: str, *, with_status: bool = False) -> Refusal:
    """`{"error": text}`; `with_status` adds the routing layer's `statusCode` (web-api.md §1.4)."""
    body: dict[str, Any] = {"error": text}
    if with_status:
        body["statusCode"] = status
    return Refusal(status, body)


def problem(status: int, title: str, detail: str = "", **more: Any) -> Refusal:
    """`application/problem+json`, as the newer back ends word an error (oauth.md §9, §11.4)."""
    body: dict[str, Any] = {"type": "/simple", "title": title, "status": status}
    if detail:
        body["detail"] = detail
    return Refusal(status, body | more, "application/problem+json")
