"""The login host: `/sso/Login`, `/sso/Authenticator`, `/sso/Dispatcher` (login.md §2, §3, §9.4)."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from aiohttp import web

from ibtui.sim.scenario import Login, Scenario
from ibtui.sim.seam import SimClock, User
from ibtui.sim.sessions import Sessions
from ibtui.sim.srp import Group, KeyBox, Proof

SUCCESS = "Client login succeeds"
LOGIN_PAGE = "/sso/Login?forwardTo=22&RL=1&ip2loc=US"
COOKIE = "JSESSIONID"
KEY_COOKIE = "XYZAB_AM.LOGIN"
_PAGE = (
    "<html><head><title>Login</title></head><body><h1>IBKR simulator</h1>"
    "<p>There is nobody to type a password for: log in with <code>ibtui login</code>.</p></body></html>"
)
_REFUSED = "<html><body><h1>Login failed</h1></body></html>"
_TALK_S = 600.0
_TALKS = 500

_CODE_TYPES = {"4": "SWTK", "4.2": "SWTK", "5.2a": "SWCR", "5.2i": "SWCR"}


def cookies(request: web.Request) -> dict[str, str]:
    """Cookies as they stand in the header: values may hold quotes and braces (web-api.md §7.1)."""
    found: dict[str, str] = {}
    for header in request.headers.getall("Cookie", []):
        for part in header.split(";"):
            name, sign, value = part.strip().partition("=")
            if sign:
                found[name] = value
    return found


def through_gateway(request: web.Request) -> bool:
    """Whether the real Java gateway passed this on or sent it itself.

    It adds `REGION` to what it passes on and calls itself `ClientPortalGW/1` (login.md §9.3, §9.4).
    """
    return "REGION" in cookies(request) or own_request(request)


def own_request(request: web.Request) -> bool:
    """A request of the gateway's own, not of a client behind it."""
    return request.headers.get("User-Agent", "").startswith("ClientPortalGW/") and request.path.startswith(
        ("/v1/portal/", "/sso/ping")
    )


@dataclass(slots=True)
class Talk:
    """A login on its way."""

    login: Login | None
    proof: Proof
    began: float
    proved: bool = False
    factor: str = ""
    challenge: str = ""
    answered: bool = False


@dataclass(slots=True)
class Sso:
    """Login conversations, found again by their cookie or, without one, by user name."""

    scenario: Scenario
    sessions: Sessions
    clock: SimClock
    plain: bool
    check_factor: Callable[[User, str, str, str], bool] | None = None
    """(user, SF code, challenge, response) -> right; without it no second factor is ever right."""
    keys: KeyBox = field(default_factory=KeyBox)
    attempts: dict[str, int] = field(default_factory=dict)
    """Wrong passwords in a row, by user name in lower case."""
    _talks: dict[str, Talk] = field(default_factory=dict)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """GET /sso/Login: something to land on."""
        response = web.Response(text=_PAGE, content_type="text/html")
        if COOKIE not in cookies(request):
            response.set_cookie(COOKIE, _fresh_id(), path="/")
        return response

    async def ping(self, request: web.Request) -> web.StreamResponse:
        """GET /sso/ping: the gateway asks each five minutes."""
        return web.Response(text="OK")

    async def authenticator(self, request: web.Request) -> web.StreamResponse:
        """POST /sso/Authenticator: the four steps before the Dispatcher."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        action = form.get("ACTION", "")
        if action == "INIT":
            return await self._init(request, form)
        talk = self._talk(request, form.get("USER", ""))
        if talk is None:
            return _xml("<error>session expired</error>")
        if action == "COMPLETEAUTH":
            return _xml(self._complete(talk, form))
        if not (
            talk.proved and _same(form.get("M1", talk.proof.m1), talk.proof.m1) and _key_fits(request, talk)
        ):
            return _xml("<error>not authenticated</error>")
        if action == "COMPLETEAUTH_1":
            return _xml(self._ask_factor(talk, form.get("SF", "")))
        if action == "COMPLETETWOFACT":
            return _xml(self._factor(talk, form.get("SF", ""), form.get("RESPONSE", "")))
        return _xml("<error>unknown action</error>")

    async def _init(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        user = form.get("USER", "")
        login = self.scenario.find(user)
        try:
            # Two modular powers and perhaps an RSA key: not on the event loop.
            proof, modulus = await asyncio.to_thread(self._prove, login, user, int(form.get("A", ""), 16))
        except ValueError:
            return _xml("<error>invalid parameters</error>")
        talk_id = cookies(request).get(COOKIE) or _fresh_id()
        talk = Talk(login, proof, self.clock.now())
        self._remember(talk_id, talk)
        self._remember(f"user {user.lower()}", talk)
        group = proof.group
        paper = "" if login is None else f"<paper>{str(login.user.paper).lower()}</paper>"
        response = _xml(
            f"<ini_params><N>{group.n:x}</N><g>{group.g}</g><proto>{group.proto}</proto><hash>SHA1</hash>"
            f"<s>{proof.salt:x}</s><B>{proof.b_public:x}</B><lp>{str(not group.short).lower()}</lp>"
            f"<rsapub>{modulus}</rsapub>{paper}</ini_params>"
        )
        response.set_cookie(COOKIE, talk_id, path="/")
        return response

    def _prove(self, login: Login | None, user: str, a_public: int) -> tuple[Proof, str]:
        group = login.group if login else Group()
        return Proof(group, user, login.user.password if login else None, a_public), self.keys.modulus

    def _complete(self, talk: Talk, form: dict[str, str]) -> str:
        name = talk.proof.user.lower()
        locked = self.attempts.get(name, 0) >= self.scenario.settings.max_attempts
        right = not locked and talk.proof.proves(form.get("M1", "")) and self._ekx_fits(talk, form)
        if not right or talk.login is None:
            tries = self.attempts[name] = self.attempts.get(name, 0) + 1
            reached = tries >= self.scenario.settings.max_attempts
            return f"<ini_params><M2></M2></ini_params>{_auth_info(reached)}"
        self.attempts.pop(name, None)
        talk.proved = True
        offer = ",".join(talk.login.user.factors)
        return (
            f"<ini_params><M2>{talk.proof.m2}</M2></ini_params>{_auth_info(False)}"
            + (f"<sftypes>{offer}</sftypes>" if offer else "")
        )  # fmt: skip

    def _ekx_fits(self, talk: Talk, form: dict[str, str]) -> bool:
        try:
            return _same(self.keys.open(form.get("EKX", "")), talk.proof.key.hex())
        except ValueError:
            return False

    def _ask_factor(self, talk: Talk, code: str) -> str:
        if talk.login is None or code not in talk.login.user.factors:
            return "<error>second factor not available</error>"
        talk.factor, talk.challenge = code, ""
        kind = _CODE_TYPES.get(code, "IBTK")
        if kind != "SWCR":
            return f"<two_factor><type>{kind}</type></two_factor>"
        talk.challenge = f"{secrets.randbelow(10**6):06d}"
        shown = f"{talk.challenge[:3]} {talk.challenge[3:]}"
        return f"<two_factor><type>{kind}</type><challenge>{shown}</challenge></two_factor>"

    def _factor(self, talk: Talk, code: str, response: str) -> str:
        asked = talk.login is not None and code == talk.factor != ""
        if asked and talk.login is not None and self.check_factor is not None:
            talk.answered = self.check_factor(talk.login.user, code, talk.challenge, response)
        if talk.answered:
            return "<auth_res>true</auth_res>"
        return "<auth_res>false</auth_res><error>invalid response</error>"

    async def dispatcher(self, request: web.Request) -> web.StreamResponse:
        """POST /sso/Dispatcher: the end of a login (login.md §3 row 6, §9.4).

        Behind a gateway the good answer is 302: only then does it open the brokerage session.
        """
        form = {name: str(value) for name, value in (await request.post()).items()}
        talk = self._talk(request, form.get("user_name", ""))
        if talk is None or talk.login is None or not self._may_enter(request, talk, form):
            return web.Response(text=_REFUSED, content_type="text/html")
        gateway = through_gateway(request)
        replaced = self.sessions.find(cookies(request).get("api", ""))
        if replaced is None and not gateway:
            replaced = self.sessions.jar
        life = self.sessions.begin(talk.login.user, replaces=replaced, by_itself=not gateway)
        self._talks = {name: one for name, one in self._talks.items() if one is not talk}
        response: web.Response
        if self.plain or gateway:
            response = web.Response(status=302, headers={"Location": "/sso/Login?forwardTo=22"})
        else:
            response = web.Response(text=SUCCESS, content_type="text/html")
        response.set_cookie("api", life.session.token, path="/")
        response.set_cookie("USERID", str(talk.login.user.user_id), path="/")
        return response

    def _may_enter(self, request: web.Request, talk: Talk, form: dict[str, str]) -> bool:
        needs_factor = bool(talk.login and talk.login.user.factors)
        return (
            talk.proved
            and (talk.answered or not needs_factor)
            and _same(form.get("M1", ""), talk.proof.m1)
            and _same(form.get("M2", ""), talk.proof.m2)
            and _key_fits(request, talk)
        )

    def _talk(self, request: web.Request, user: str) -> Talk | None:
        wanted = user.lower()
        for name in (cookies(request).get(COOKIE, ""), f"user {wanted}"):
            talk = self._talks.get(name)
            fresh = talk is not None and self.clock.now() - talk.began < _TALK_S
            if talk is not None and fresh and talk.proof.user.lower() == wanted:
                return talk
        return None

    def _remember(self, name: str, talk: Talk) -> None:
        self._talks.pop(name, None)
        while len(self._talks) >= _TALKS:
            self._talks.pop(next(iter(self._talks)))
        self._talks[name] = talk


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.lower().encode(), other.lower().encode())


def _key_fits(request: web.Request, talk: Talk) -> bool:
    """The session key, where it was sent, must be the one of this login."""
    sent = cookies(request).get(KEY_COOKIE)
    return sent is None or _same(sent.strip('"'), talk.proof.session_key)


def _fresh_id() -> str:
    return secrets.token_hex(16).upper()


def _auth_info(reached: bool) -> str:
    return f"<auth_info><reached_max_login>{str(reached).lower()}</reached_max_login></auth_info>"


def _xml(inside: str) -> web.Response:
    if inside.startswith("<error>"):
        inside = f"<error>{escape(inside[7:-8])}</error>"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<ib_auth_res>{inside}</ib_auth_res>\n'
    return web.Response(text=text, content_type="text/xml")
