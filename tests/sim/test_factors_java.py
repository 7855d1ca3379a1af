"""Second factors and enrollment with the real Java gateway in front, which forwards `/sso/*`."""

from __future__ import annotations

import pytest

from ibtui.sim import totp
from tests.sim.factors_tools import Enroller, FactorClient, login_of, response
from tests.sim.test_platform_java import Behind, behind, pytestmark

__all__ = ["behind", "pytestmark"]
DONE = "Client login succeeds"


class Factored(FactorClient):
    """`FactorClient` that talks through a gateway."""

    def __init__(self, behind: Behind) -> None:
        self.sim, self.tls, self.http = behind.sim, behind.tls, behind.http
        self.direct = FactorClient(behind.sim)

    async def control(self, path: str, body: object = None) -> object:
        return await self.direct.control(path, body)


async def answer_for(client: Factored, user: str, code: str, asked: dict[str, str]) -> str:
    if code == "4.2":
        return await client.sms()
    if code == "4":
        return totp.code_at(login_of(client.sim, user).device.totp_secret, client.sim.clock.now())
    return response(client.sim, user, asked["challenge"], 2)


@pytest.mark.parametrize(
    ("user", "code"), [("sms12345", "4.2"), ("totp123", "4"), ("ibkey123", "5.2a"), ("every123", "5.2a")]
)
async def test_login_through_the_gateway(behind: Behind, user: str, code: str) -> None:
    client = Factored(behind)
    try:
        solved = await client.proved(user)
        asked = await client.ask(user, solved, code)
        wrong = await client.answer(user, code, "12345678")
        assert wrong["auth_res"] == "false"
        text = await answer_for(client, user, code, asked)
        assert await client.answer(user, code, text) == {"auth_res": "true"}
        assert (await client.dispatch(user, solved, text)).text == DONE
        await behind.ready()
        assert behind.sim.sessions.jar is not None
        assert behind.sim.sessions.jar.session.user.username == user
    finally:
        await client.direct.http.aclose()


async def test_maintenance_reaches_the_client(behind: Behind) -> None:
    behind.sim.maintenance_until = behind.sim.clock.now() + 60
    assert (await behind.http.get("/")).status_code == 302
    assert (await behind.http.get("/sso/Login")).status_code == 503
    assert (await behind.post_form("/sso/Authenticator", ACTION="INIT")).status_code == 503


async def test_enrollment_through_the_gateway(behind: Behind) -> None:
    """Not what a client does (it goes to the login host directly), but the gateway lets it."""
    enroller = Enroller(behind.sim, "sms12345")
    direct, enroller.http = enroller.http, behind.http
    try:
        found = await enroller.prove_password(await enroller.begin())
        assert found["sftypes"] == "4.2"
        await enroller.ask_sms()
        code = behind.sim.sms.rows()[-1]["body"][-6:]
        assert await enroller.confirm(code) == {"auth_res": "true"}
        assert await enroller.is_enabled() == {"USER_ALLOWED": 0}
        assert (await enroller.set_up(await enroller.params()))["ACTIVATION_RESULT"] is True
    finally:
        await direct.aclose()
