"""The login host's IBKey enrollment: `/sso/AuthenticatorMgr`, `/sso/DynamicAuthenticatorAuth` (login.md §6).

The nine requests belong together by the cookie of the first; rows 3, 4, 8 and 9 name no user.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from ibtui.sim import ocra
from ibtui.sim.factors import IBKEY, SMS, Device
from ibtui.sim.scenario import Login
from ibtui.sim.seam import Quirks, SimClock, reply
from ibtui.sim.srp import KeyBox
from ibtui.sim.sso import COOKIE, Sso, Talk, cookies, fresh_id, key_fits, through_gateway, xml_reply

KEY_COOKIE = "XYZAB.LOGIN"
OS = "Android+9"
_LIFE_S = 600.0
_LIMIT = 200
_WHERE = "enroll"
_NOT_NOW = {"error": "not authenticated"}


@dataclass(slots=True)
class Enrolling:
    """One enrollment on its way."""

    began: float
    talk: Talk | None = None
    configured: bool = False
    """Row 5 was sent."""
    allowed: bool = False
    """Row 7 said yes."""
    challenge: str = ""


@dataclass(slots=True)
class Enrollment:
    """All enrollments, found again by their cookie."""

    sso: Sso
    quirks: Quirks
    clock: SimClock
    keys: KeyBox = field(default_factory=lambda: KeyBox(65537))
    _lives: dict[str, Enrolling] = field(default_factory=dict)

    def routes(self) -> list[web.RouteDef]:
        """Both addresses."""
        return [
            web.post("/sso/AuthenticatorMgr", self.manager),
            web.post("/sso/DynamicAuthenticatorAuth", self.dynamic),
        ]

    # --- /sso/AuthenticatorMgr ---------------------------------------------------------------

    async def manager(self, request: web.Request) -> web.StreamResponse:
        """Rows 1, 5, 7, 8 and 9."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        action = form.get("ACTION", "")
        if action == "INIT":
            return self._open(form)
        life = self._life(request)
        talk = None if life is None else life.talk
        if life is None or talk is None or not self._proved(request, talk):
            self.sso.note(form.get("USER", ""), action, False, where=_WHERE)
            return reply(_NOT_NOW)
        if action == "SECOND_FACTOR_CONFIG":
            life.configured = True
            self.sso.note(talk.name, action, True, where=_WHERE)
            return web.Response(text="<html></html>", content_type="text/html")
        if self.sso.offer(talk) and not talk.answered:
            self.sso.note(talk.name, action, False, where=_WHERE)
            return reply(_NOT_NOW)
        if action == "IS_USER_ENABLED":
            return self._is_enabled(life, talk, form)
        if action == "GET_PARAMS":
            return await self._params(life, talk)
        if action == "COMPLETE_SETUP":
            return reply(await self._set_up(request, life, talk, form))
        self.sso.note(talk.name, action, False, where=_WHERE)
        return reply({"error": "unknown action"})

    def _open(self, form: dict[str, str]) -> web.StreamResponse:
        """Row 1: its cookie carries the rest."""
        if (form.get("VERSION"), form.get("MODE")) != ("3", "ENABLE_USER"):
            return reply({"error": "unknown mode"})
        now, life_id = self.clock.now(), fresh_id()
        fresh = {name: one for name, one in self._lives.items() if now - one.began < _LIFE_S}
        self._lives = dict(list(fresh.items())[-_LIMIT:]) | {life_id: Enrolling(now)}
        response = web.Response(text="<html></html>", content_type="text/html")
        response.set_cookie(COOKIE, life_id, path="/")
        return response

    def _is_enabled(self, life: Enrolling, talk: Talk, form: dict[str, str]) -> web.StreamResponse:
        """Row 7. The plus of `Android+9` is a plus, not a blank."""
        answer = self.quirks.enroll_user_allowed if form.get("OS") == OS else 1
        life.allowed = answer == 0
        self.sso.note(talk.name, "IS_USER_ENABLED", life.allowed, where=_WHERE)
        return reply({"USER_ALLOWED": answer})

    async def _params(self, life: Enrolling, talk: Talk) -> web.StreamResponse:
        """Row 8: challenge, suite and the key for PIN and device id."""
        self.sso.note(talk.name, "GET_PARAMS", life.allowed, where=_WHERE)
        if not life.allowed:
            return reply(_NOT_NOW)
        modulus = await asyncio.to_thread(lambda: self.keys.modulus)
        life.challenge = self.sso.factors.draw()
        return reply(
            {
                "CHALLENGE": life.challenge,
                "ALGO": self.quirks.enroll_algo,
                "MODULUS": modulus,
                "EXPONENT": "10001",
            }
        )

    async def _set_up(
        self, request: web.Request, life: Enrolling, talk: Talk, form: dict[str, str]
    ) -> dict[str, Any]:
        """Row 9: check the answer, then store key, PIN and counter 1."""
        challenge, life.challenge = life.challenge, ""
        login = talk.login
        device = await asyncio.to_thread(self._device, talk, challenge, form) if challenge else None
        done = device is not None and login is not None and self.quirks.enroll_activation
        value = None if device is None else device.last
        self.sso.note(talk.name, "COMPLETE_SETUP", done, value, where=_WHERE)
        if device is None or login is None or not done:
            return {"ACTIVATION_RESULT": False}
        _adopt(login, device)
        self._lives.pop(cookies(request).get(COOKIE, ""), None)
        return {"ACTIVATION_RESULT": True, "SERIAL_NO": f"{secrets.randbelow(10**10):010d}"}

    def _device(self, talk: Talk, challenge: str, form: dict[str, str]) -> Device | None:
        """The new IBKey, or None when anything in row 9 is wrong."""
        if form.get("OS") != OS or form.get("KEY_TYPE") != "IKEY" or form.get("STORAGE") != "0":
            return None
        try:
            pin = self.keys.open(form.get("E_PIN", ""))
            device = self.keys.open(form.get("E_DEVICE_ID", ""))
        except ValueError:
            return None
        if not pin.isdecimal() or not device:
            return None
        key = ocra.derive_key(talk.proof.key, device)
        wanted = ocra.answer(key, 1, challenge, pin)
        if not hmac.compare_digest(wanted.encode(), form.get("CHALLENGE_RESPONSE", "").encode()):
            return None
        return Device(pin=pin, ocra=key.hex(), counter=2, last=1)

    # --- /sso/DynamicAuthenticatorAuth -------------------------------------------------------

    async def dynamic(self, request: web.Request) -> web.StreamResponse:
        """Rows 2, 3, 4 and 6."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        action = form.get("ACTION", "")
        life = self._life(request)
        if form.get("RESP_TYPE") != ("JSON" if action == "COMPLETETWOFACT" else "XML"):
            # A browser's page: what this address is when nobody asks for data.
            return web.Response(text="<html></html>", content_type="text/html")
        if life is None or form.get("VERSION") != "1":
            self.sso.note(form.get("USER", ""), action, False, where=_WHERE)
            return xml_reply("<error>session expired</error>")
        if action == "INIT":
            return await self._init(life, form)
        talk = life.talk
        if talk is not None and action == "COMPLETEAUTH":
            return xml_reply(self.sso.complete(talk, form))
        if talk is None or not self._proved(request, talk):
            self.sso.note(form.get("USER", ""), action, False, where=_WHERE)
            return xml_reply("<error>not authenticated</error>")
        if action == "COMPLETEAUTH_1":
            return xml_reply(self.sso.ask_factor(talk, form.get("SF", "")))
        if action == "COMPLETETWOFACT":
            return reply(self._confirm(life, talk, form))
        self.sso.note(talk.name, action, False, where=_WHERE)
        return xml_reply("<error>unknown action</error>")

    async def _init(self, life: Enrolling, form: dict[str, str]) -> web.StreamResponse:
        """Row 2; unlike a login this page tells that a user is unknown."""
        error = self.quirks.enroll_error
        if not error and self.sso.scenario.find(form.get("USER", "")) is None:
            error = "invalid user"
        if error:
            self.sso.note(form.get("USER", ""), "INIT", False, where=_WHERE)
            return xml_reply(f"<error>{error}</error>")
        rsapub = not self.quirks.enroll_without_rsapub
        talk, inside = await self.sso.begin(form, where=_WHERE, rsapub=rsapub)
        life.talk, life.configured, life.allowed, life.challenge = talk, False, False, ""
        return xml_reply(inside)

    def _confirm(self, life: Enrolling, talk: Talk, form: dict[str, str]) -> dict[str, str]:
        """Row 6: texts, not booleans."""
        named = form.get("USER", "").lower() == talk.name
        if not (named and life.configured and form.get("SF") == SMS):
            self.sso.note(talk.name, "COMPLETETWOFACT", False, where=_WHERE)
            return {"auth_res": "false", "error": "not authenticated"}
        verdict = self.sso.answer(talk, SMS, form.get("RESPONSE", ""))
        return {"auth_res": "true"} if verdict.right else {"auth_res": "false", "error": verdict.error}

    # --- both --------------------------------------------------------------------------------

    def _life(self, request: web.Request) -> Enrolling | None:
        life = self._lives.get(cookies(request).get(COOKIE, ""))
        return life if life is not None and self.clock.now() - life.began < _LIFE_S else None

    def _proved(self, request: web.Request, talk: Talk) -> bool:
        """The password is proved and the session key is in its cookie (a gateway keeps that back)."""
        sent = KEY_COOKIE in cookies(request) or through_gateway(request)
        return talk.proved and sent and key_fits(request, talk, KEY_COOKIE)


def _adopt(login: Login, device: Device) -> None:
    """The new IBKey takes the place of any former one; the other factors stay."""
    login.device.pin, login.device.ocra = device.pin, device.ocra
    login.device.counter, login.device.last, login.device.kind = device.counter, device.last, ""
    factors = login.user.factors
    former = next((n for n, code in enumerate(factors) if code in IBKEY), len(factors))
    kept = [code for code in factors if code not in IBKEY]
    login.user.factors = [*kept[:former], "5.2a", *kept[former:]]
