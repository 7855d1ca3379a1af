"""Opening the brokerage session over OAuth, where there is no gateway to be connected (oauth.md §7, §9)."""

from __future__ import annotations

from typing import Any

import pytest

from ibtui.clock import FakeClock
from ibtui.core.endpoints.common import Call
from ibtui.core.session import open_brokerage
from ibtui.errors import IbtuiError, NoBridge, NotLoggedIn, Rejected


class Script:
    """Answers by path, in their turn; the last one stays. Errors are raised."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def __call__(self, call: Call) -> Any:
        name = call.path.rsplit("/", 1)[-1]
        self.asked.append(name)
        turns = self.answers.get(name, [{}])
        found = turns.pop(0) if len(turns) > 1 else turns[0]
        if isinstance(found, IbtuiError):
            raise found
        return found


NO_DH = NotLoggedIn("POST /iserver/auth/ssodh/init: IBKR says: failed to generate sso dh token.", "")
UP = {"authenticated": True, "connected": True, "established": True}


async def test_over_oauth_nothing_is_connected_before_it_is_asked_for() -> None:
    ask = Script(status=[NoBridge("no bridge"), UP], init=[UP])
    assert (await open_brokerage(ask, FakeClock(), direct=True)).ready
    assert ask.asked == ["status", "init", "status"]
    through_a_gateway = Script(status=[NoBridge("no bridge")])
    with pytest.raises(NoBridge):
        await open_brokerage(through_a_gateway, FakeClock())


async def test_over_oauth_a_missing_dh_token_is_tried_once_more() -> None:
    ask = Script(status=[{}, UP], init=[NO_DH, UP])
    assert (await open_brokerage(ask, FakeClock(), direct=True)).ready
    assert ask.asked == ["status", "init", "tickle", "init", "status"]
    never = Script(status=[{}], init=[NO_DH])
    with pytest.raises(Rejected, match="sso dh token") as caught:
        await open_brokerage(never, FakeClock(), direct=True)
    assert "new paper accounts" in caught.value.fix and never.asked.count("init") == 2
    gone = Script(status=[{}], init=[NotLoggedIn("the session has ended")])
    with pytest.raises(NotLoggedIn, match="ended"):
        await open_brokerage(gone, FakeClock(), direct=True)
    for_good = Script(status=[{}], init=[NO_DH, NotLoggedIn("the session has ended")])
    with pytest.raises(NotLoggedIn, match="ended"):
        await open_brokerage(for_good, FakeClock(), direct=True)
