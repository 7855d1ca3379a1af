"""A login makes the requests of login.md §3 and §6, in their order, and no more."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from ibtui.auth.effects import Answer, Cancel, Challenge, Code, Credentials, Note
from ibtui.auth.enroll import enroll
from ibtui.auth.login import login
from ibtui.clock import SystemClock
from ibtui.core import drive
from ibtui.core.rest import Rest
from ibtui.core.trust import Trust
from ibtui.secret import Secret
from ibtui.sim import totp
from tests.conftest import Sim

PLAIN = ["GET /", "GET /sso/Login", *["POST /sso/Authenticator"] * 2, "POST /sso/Dispatcher"]
FACTOR = [*PLAIN[:2], *["POST /sso/Authenticator"] * 4, "POST /sso/Dispatcher"]
MANAGER, AUTH = "POST /sso/AuthenticatorMgr", "POST /sso/DynamicAuthenticatorAuth"
ENROLLMENT = [MANAGER, AUTH, AUTH, AUTH, MANAGER, AUTH, MANAGER, MANAGER, MANAGER]


class Answering:
    """Knows every code at once."""

    def __init__(self, sim: Sim, user: dict[str, Any]) -> None:
        self._sim, self._user = sim, user

    async def credentials(self, username: str) -> Credentials:
        raise AssertionError("the flow has them")

    async def ask(self, challenge: Challenge) -> Answer:
        if challenge.code == "4":
            return Code(Secret(totp.code_at(self._user["totp_secret"], time.time())))
        sms = await asyncio.to_thread(self._sim.control, "sms")
        return Code(Secret(sms[-1]["body"][-6:]))

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        return offered[0]

    async def confirm(self, text: str) -> bool:
        return False

    def note(self, note: Note) -> None:
        return


def requests(sim: Sim) -> list[str]:
    """What arrived, without the control's own."""
    return [
        f"{row['method']} {row['path'].split('?')[0]}"
        for row in sim.journal()
        if not row["path"].startswith("/sim/")
    ]


@pytest.mark.parametrize(("factors", "wanted"), [((), PLAIN), (("4.2",), FACTOR), (("4",), FACTOR)])
async def test_a_login(sim: Sim, factors: tuple[str, ...], wanted: list[str]) -> None:
    user = sim.user(*factors)
    rest = Rest(sim.url, Trust.ca(Path(str(sim.cert))))
    flow = login(Credentials(user["username"], Secret(user["password"])))
    try:
        await drive.run(flow, Answering(sim, user), rest, SystemClock())
    finally:
        await rest.close()
    assert requests(sim) == wanted


async def test_an_enrollment(sim: Sim) -> None:
    user = sim.user("4.2")
    rest = Rest(sim.url, Trust.ca(Path(str(sim.cert))))
    who = Credentials(user["username"], Secret(user["password"]))

    async def keep(_: Any) -> None:
        return

    try:
        await drive.run(
            enroll(who, Secret("4711")),
            Answering(sim, user),
            rest,
            SystemClock(),
            store=keep,
            login_host=rest,
        )
    finally:
        await rest.close()
    assert requests(sim) == ENROLLMENT
