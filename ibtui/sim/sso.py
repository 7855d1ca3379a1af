"""The login host: `/sso/Login`, `/sso/Authenticator`, `/sso/Dispatcher` (login.md §2, §3, §9.4)."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from aiohttp import web

from ibtui.sim.factors import INVALID, SMS, Factors, Question, Verdict
from ibtui.sim.journal import Logins
from ibtui.sim.scenario import Login, Scenario
from ibtui.sim.seam import SimClock
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


def cookies(request: web.Request) -> dict[str, str]:
    """Cookies as they stand in the header: values may hold quotes and braces (web-api.md §7.1)."""
    found: dict[str, str] = {}
    for header in request.headers.getall("Cookie", []):
        for part in header.split(";"):
            name, sign, value = part.strip().partition("=")
            if sign:
                found[name] = value
    return found


def api_cookie(request: web.Request) -> str:
    """The tickle session in the cookie `api`, in either spelling (oauth.md §8)."""
    value = cookies(request).get("api", "")
    if value.startswith("{"):
        try:
            value = str(json.loads(value).get("session", ""))
        except (ValueError, AttributeError):
            value = ""
    return value.strip('"')


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
    where: str = "login"
    """login or enroll."""
    rsapub: bool = True
    """Whether reply 2 had an `rsapub`; without it no EKX is due (login.md §6 row 3)."""
    proved: bool = False
    question: Question | None = None
    answered: bool = False
    response: str = ""
    """The response that was right; the Dispatcher wants to see it again."""

    @property
    def name(self) -> str:
        """The user name in lower case."""
        return self.proof.user.lower()


@dataclass(slots=True)
class Sso:
    """Login conversations, found again by their cookie or, without one, by user name."""

    scenario: Scenario
    sessions: Sessions
    clock: SimClock
    factors: Factors
    logins: Logins
    plain: bool = False
    keys: KeyBox = field(default_factory=KeyBox)
    attempts: dict[str, int] = field(default_factory=dict)
    """Wrong passwords in a row, by user name in lower case."""
    _talks: dict[str, Talk] = field(default_factory=dict)

    async def page(self, request: web.Request) -> web.StreamResponse:
        """GET /sso/Login: something to land on."""
        response = web.Response(text=_PAGE, content_type="text/html")
        if COOKIE not in cookies(request):
            response.set_cookie(COOKIE, fresh_id(), path="/")
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
            self.note(form.get("USER", ""), action, False)
            return xml_reply("<error>session expired</error>")
        if action == "COMPLETEAUTH":
            return xml_reply(self.complete(talk, form))
        # COMPLETETWOFACT carries no M1 (login.md §3 row 5).
        shown = form.get("M1", talk.proof.m1 if action == "COMPLETETWOFACT" else "")
        if not (talk.proved and same(shown, talk.proof.m1) and key_fits(request, talk, KEY_COOKIE)):
            self.note(talk.name, action, False)
            return xml_reply("<error>not authenticated</error>")
        if action == "COMPLETEAUTH_1":
            return xml_reply(self.ask_factor(talk, form.get("SF", "")))
        if action == "COMPLETETWOFACT":
            return xml_reply(_verdict_xml(self.answer(talk, form.get("SF", ""), form.get("RESPONSE", ""))))
        self.note(talk.name, action, False)
        return xml_reply("<error>unknown action</error>")

    def note(
        self, user: str, action: str, accepted: bool, value: int | None = None, where: str = "login"
    ) -> None:
        """Write a step down for `GET /sim/logins`."""
        counter = self.factors.counter(value)
        self.logins.add(self.clock.now(), user, action, accepted, counter=counter, value=value, where=where)

    async def _init(self, request: web.Request, form: dict[str, str]) -> web.StreamResponse:
        talk, inside = await self.begin(form)
        if talk is None:
            return xml_reply(inside)
        talk_id = cookies(request).get(COOKIE) or fresh_id()
        self._remember(talk_id, talk)
        self._remember(f"user {talk.name}", talk)
        response = xml_reply(inside)
        response.set_cookie(COOKIE, talk_id, path="/")
        return response

    async def begin(
        self, form: dict[str, str], *, where: str = "login", rsapub: bool = True
    ) -> tuple[Talk | None, str]:
        """INIT: a new conversation and the inside of reply 2; None and an error for a bad A."""
        user = form.get("USER", "")
        login = self.scenario.find(user)
        try:
            # Two modular powers and perhaps an RSA key: not on the event loop.
            proof, modulus = await asyncio.to_thread(self._prove, login, user, int(form.get("A", ""), 16))
        except ValueError:
            self.note(user, "INIT", False, where=where)
            return None, "<error>invalid parameters</error>"
        self.note(user, "INIT", True, where=where)
        group = proof.group
        told = self.scenario.quirks.paper_element
        paper = f"<paper>{str(login.user.paper).lower()}</paper>" if login is not None and told else ""
        return Talk(login, proof, self.clock.now(), where, rsapub), (
            f"<ini_params><N>{group.n:x}</N><g>{group.g}</g><proto>{group.proto}</proto><hash>SHA1</hash>"
            f"<s>{proof.salt:x}</s><B>{proof.b_public:x}</B><lp>{str(not group.short).lower()}</lp>"
            f"<rsapub>{modulus if rsapub else ''}</rsapub>{paper}</ini_params>"
        )

    def _prove(self, login: Login | None, user: str, a_public: int) -> tuple[Proof, str]:
        group = login.group if login else Group()
        return Proof(group, user, login.user.password if login else None, a_public), self.keys.modulus

    def locked(self, name: str) -> bool:
        """Whether too many passwords or codes of a user (in lower case) were wrong."""
        return self.attempts.get(name, 0) >= self.scenario.settings.max_attempts or self.factors.locked(name)

    def unlock(self) -> None:
        """Forget wrong passwords and codes."""
        self.attempts.clear()
        self.factors.wrong.clear()

    def complete(self, talk: Talk, form: dict[str, str]) -> str:
        """COMPLETEAUTH: the inside of reply 3; a right password forgets the wrong ones."""
        name, login = talk.name, talk.login
        right = not self.locked(name) and talk.proof.proves(form.get("M1", "")) and self._ekx_fits(talk, form)
        self.note(name, "COMPLETEAUTH", right, where=talk.where)
        if not right or login is None:
            self.attempts[name] = self.attempts.get(name, 0) + 1
            return f"<ini_params><M2></M2></ini_params>{_auth_info(self.locked(name))}"
        self.attempts.pop(name, None)
        talk.proved = True
        offer = ",".join(self.offer(talk))
        return f"<ini_params><M2>{talk.proof.m2}</M2></ini_params>{_auth_info(False)}" + (
            f"<sftypes>{offer}</sftypes>" if offer else ""
        )

    def offer(self, talk: Talk) -> list[str]:
        """SF codes; an enrollment can always be confirmed by SMS where there is any second factor."""
        if talk.login is None:
            return []
        factors = talk.login.user.factors
        extra = [SMS] if talk.where == "enroll" and factors and SMS not in factors else []
        return [*factors, *extra]

    def _ekx_fits(self, talk: Talk, form: dict[str, str]) -> bool:
        if not talk.rsapub:
            return "EKX" not in form
        try:
            return same(self.keys.open(form.get("EKX", "")), talk.proof.key.hex())
        except ValueError:
            return False

    def ask_factor(self, talk: Talk, code: str) -> str:
        """COMPLETEAUTH_1: the inside of reply 4."""
        known = talk.login is not None and code in self.offer(talk)
        self.note(talk.name, "COMPLETEAUTH_1", known, where=talk.where)
        if talk.login is None or not known:
            return "<error>second factor not available</error>"
        talk.question, talk.answered = self.factors.ask(talk.login, code), False
        return talk.question.xml

    def answer(self, talk: Talk, code: str, response: str) -> Verdict:
        """COMPLETETWOFACT: judge a response to the question that was asked last."""
        if talk.login is None or talk.question is None or talk.question.code != code:
            verdict = Verdict(False, "second factor was not asked for")
        elif talk.answered:
            # The same request once more: it was judged already.
            verdict = Verdict(same(response, talk.response), INVALID)
        else:
            verdict = self.factors.judge(talk.login, talk.question, response)
            talk.answered, talk.response = verdict.right, response
        self.note(talk.name, "COMPLETETWOFACT", verdict.right, verdict.value, talk.where)
        return verdict

    async def dispatcher(self, request: web.Request) -> web.StreamResponse:
        """POST /sso/Dispatcher: the end of a login (login.md §3 row 6, §9.4).

        Behind a gateway the good answer is 302: only then does it open the brokerage session.
        """
        form = {name: str(value) for name, value in (await request.post()).items()}
        talk = self._talk(request, form.get("user_name", ""))
        enters = talk is not None and talk.login is not None and self._may_enter(request, talk, form)
        self.note(form.get("user_name", ""), "DISPATCHER", enters)
        if talk is None or talk.login is None or not enters:
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
            and same(form.get("chlginput", ""), talk.response if needs_factor else "")
            and same(form.get("M1", ""), talk.proof.m1)
            and same(form.get("M2", ""), talk.proof.m2)
            and key_fits(request, talk, KEY_COOKIE)
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


def same(one: str, other: str) -> bool:
    """Compare two texts in any letter case, in constant time."""
    return hmac.compare_digest(one.lower().encode(), other.lower().encode())


def key_fits(request: web.Request, talk: Talk, cookie: str) -> bool:
    """The session key, where it was sent, must be the one of this conversation."""
    sent = cookies(request).get(cookie)
    return sent is None or same(sent.strip('"'), talk.proof.session_key)


def fresh_id() -> str:
    """A value for `JSESSIONID`."""
    return secrets.token_hex(16).upper()


def _auth_info(reached: bool) -> str:
    return f"<auth_info><reached_max_login>{str(reached).lower()}</reached_max_login></auth_info>"


def _verdict_xml(verdict: Verdict) -> str:
    if verdict.right:
        return "<auth_res>true</auth_res>"
    reached = _auth_info(True) if verdict.locked else ""
    return f"<auth_res>false</auth_res><error>{escape(verdict.error)}</error>{reached}"


def xml_reply(inside: str) -> web.Response:
    """A reply of the login host."""
    if inside.startswith("<error>"):
        inside = f"<error>{escape(inside[7:-8])}</error>"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<ib_auth_res>{inside}</ib_auth_res>\n'
    return web.Response(text=text, content_type="text/xml")
