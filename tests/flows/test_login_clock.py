"""A machine whose clock is wrong: the text message that Twilio has is found all the same."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ibtui.clock import SystemClock
from ibtui.config import Addresses, Profile, Settings, Source
from ibtui.core.rest import Rest
from ibtui.core.trust import Trust
from ibtui.secret import Secret
from ibtui.service.answers.fixed import FixedAnswers
from ibtui.service.login import GuardedLogin
from tests.conftest import Sim


class Wrong(SystemClock):
    """Off by so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._off = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return super().now() + self._off


@pytest.mark.parametrize("seconds", [40.0, -40.0, 0.0])
async def test_a_message_by_a_clock_that_is_wrong(
    sim: Sim, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    user, twilio = sim.user("4.2"), sim.ready["twilio"]
    # Twenty seconds old: not this login's, whatever the clock here says.
    sim.control("sms", {"body": "Your IBKR authentication code: 111111", "age_s": 20})
    sim.control("quirks", {"sms_delay_s": 0.5})
    monkeypatch.setenv("MY_TOKEN", twilio["token"])
    cert = str(sim.cert)
    profile = Profile(
        username=user["username"], twilio_sid=twilio["sid"], twilio_token=Source(env="MY_TOKEN"), ca_file=cert
    )
    settings = Settings(
        profiles={"default": profile}, addresses=Addresses(twilio=twilio["url"], twilio_ca_file=cert)
    )
    rest = Rest(sim.url, Trust.ca(Path(cert)))
    person = FixedAnswers(user["username"], Secret(user["password"]))
    try:
        done = await GuardedLogin(settings, Wrong(seconds)).run(person, rest)
    finally:
        await rest.close()
    assert done.factor == "4.2"
