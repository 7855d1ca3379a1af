"""Codes out of text messages, read by Twilio's own client from the simulator's message list."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ibtui.clock import FakeClock
from ibtui.errors import CertificateMismatch, IbtuiError, Unreachable, UsageError
from ibtui.secret import Secret
from ibtui.service.answers.sms import WAITS_S, TwilioReader, find
from tests.conftest import Sim

CODE = "Your requested authentication code: 314159"


class Linked(FakeClock):
    """Waiting moves the simulator's clock on instead of ours."""

    def __init__(self, sim: Sim) -> None:
        super().__init__()
        self._sim = sim

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if seconds:
            await asyncio.to_thread(self._sim.control, "clock", {"advance_s": seconds})


def reader(sim: Sim, token: str = "", **more: Any) -> TwilioReader:
    account = sim.ready["twilio"]
    options = {"url": account["url"], "ca_file": sim.cert or "", "clock": Linked(sim), **more}
    return TwilioReader(account["sid"], Secret(token or account["token"]), **options)


async def read(sim: Sim, since: datetime | None = None, **more: Any) -> str | None:
    found = await reader(sim, **more).code(since or datetime.now(UTC))
    return found.reveal() if found is not None else None


def plant(sim: Sim, body: str, **more: Any) -> None:
    sim.control("sms", {"body": body, **more})


def looks(sim: Sim) -> int:
    return sum("/Messages.json" in row["path"] for row in sim.journal())


async def test_a_code_that_is_there(sim: Sim) -> None:
    since = datetime.now(UTC)
    plant(sim, CODE)
    assert await read(sim, since) == "314159"
    assert looks(sim) == 1


async def test_a_late_one(sim: Sim) -> None:
    clock = Linked(sim)
    plant(sim, CODE, delay=5)
    assert await read(sim, clock=clock) == "314159"
    assert clock.slept == [0, 1, 2, 3]  # six seconds in all


async def test_none_in_time(sim: Sim) -> None:
    clock = Linked(sim)
    plant(sim, CODE, delay=30)
    assert await read(sim, clock=clock) is None
    assert clock.slept == list(WAITS_S) and looks(sim) == 6


async def test_old_and_unrelated_ones(sim: Sim) -> None:
    since = datetime.now(UTC)
    plant(sim, "Your requested authentication code: 111111", age_s=120)
    plant(sim, CODE)
    plant(sim, "your parcel 222222 is here")
    plant(sim, "call +1 555 000 123456789, no code")
    assert await read(sim, since) == "314159"
    assert looks(sim) == 1


async def test_another_wording_is_taken_at_the_end(sim: Sim) -> None:
    plant(sim, "271828 it is")
    assert await read(sim) == "271828"
    assert looks(sim) == 6


async def test_the_newest_counts(sim: Sim) -> None:
    since = datetime.now(UTC) - timedelta(seconds=60)
    plant(sim, CODE, age_s=20)
    plant(sim, "Your requested authentication code: 002002", age_s=5)
    assert await read(sim, since) == "002002"


async def test_the_filter_is_inclusive_in_whole_seconds_of_utc(sim: Sim) -> None:
    at = int(time.time()) - 300
    plant(sim, CODE, date_sent=at)
    since = datetime.fromtimestamp(at + 0.9, UTC)
    assert await read(sim, since) == "314159"
    far = since.astimezone(datetime.now(UTC).astimezone().tzinfo)
    assert await read(sim, far) == "314159"
    assert await read(sim, since + timedelta(seconds=1)) is None
    queries = {row["query"] for row in sim.journal() if "/Messages.json" in row["path"]}
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H")
    assert all("DateSent" in query and stamp in query and "PageSize=20" in query for query in queries)


async def test_the_code_of_a_real_login(sim: Sim) -> None:
    from ibtui.auth.effects import Answer, Challenge, Code, Credentials, Note
    from ibtui.auth.login import login
    from ibtui.clock import SystemClock
    from ibtui.core import drive
    from ibtui.core.client import IbkrClient
    from ibtui.core.trust import Trust

    since = datetime.now(UTC)
    user = sim.user("4.2")

    class ByTwilio:
        async def credentials(self, username: str) -> Credentials:
            raise AssertionError

        async def choose(self, offered: tuple[str, ...]) -> str:
            raise AssertionError

        async def ask(self, challenge: Challenge) -> Answer:
            found = await reader(sim).code(since)
            assert found is not None
            return Code(found)

        def note(self, note: Note) -> None:
            return

    assert sim.cert
    async with IbkrClient(sim.url, trust=Trust.ca(sim.cert)) as client:
        who = Credentials(user["username"], Secret(user["password"]))
        done = await drive.run(login(who), ByTwilio(), client.rest, SystemClock())
    assert done.factor == "4.2"


async def test_wrong_token(sim: Sim, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UsageError, match="refused the account id or the token") as caught:
        await read(sim, token="0123456789abcdef0123456789abcdef")
    assert "twilio_sid" in caught.value.fix
    assert looks(sim) == 1
    said = caplog.text + str(caught.value) + repr(caught.value.__cause__)
    assert "0123456789abcdef" not in said


async def test_nothing_secret_is_logged(sim: Sim, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    plant(sim, CODE)
    assert await read(sim) == "314159"
    account = sim.ready["twilio"]
    for secret in (account["token"], account["sid"], "314159", "DateSent"):
        assert secret not in caplog.text
    assert account["token"] not in repr(reader(sim).__dict__)


async def test_the_environment_is_not_read(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(sim, CODE)
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert await read(sim, clock=FakeClock()) == "314159"


async def test_away_and_back(sim: Sim) -> None:
    sim.control("faults", {"path": "/2010-04-01/*", "kind": "status", "status": 500, "count": 2})
    plant(sim, CODE)
    assert await read(sim) == "314159"
    sim.control("faults", {"path": "/2010-04-01/*", "kind": "status", "status": 429, "count": None})
    with pytest.raises(Unreachable, match="429"):
        await read(sim)


async def test_nobody_there(sim: Sim) -> None:
    sim.stop()
    with pytest.raises(Unreachable, match="cannot be reached"):
        await read(sim, clock=FakeClock())


async def test_a_silent_one(sim: Sim) -> None:
    sim.control("faults", {"path": "/2010-04-01/*", "kind": "hang", "seconds": 60, "count": None})
    with pytest.raises(Unreachable, match="no answer within"):
        await read(sim, timeout=0.2)


async def test_another_certificate(sim: Sim) -> None:
    with pytest.raises(CertificateMismatch):
        await read(sim, ca_file="")
    assert looks(sim) == 0


async def test_cancelled_and_stopped(sim: Sim) -> None:
    from ibtui.clock import SystemClock

    slow = reader(sim, clock=SystemClock())
    stop = asyncio.Event()
    began = time.monotonic()
    waiting = asyncio.gather(slow.code(datetime.now(UTC), stop))
    await asyncio.sleep(0.3)
    stop.set()
    assert await waiting == [None]
    task = asyncio.gather(slow.code(datetime.now(UTC)))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 3
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(
    "options",
    [{"sid": ""}, {"token": ""}, {"url": "http://api.twilio.com"}, {"url": "api.twilio.com"}],
)
def test_what_makes_no_sense(options: dict[str, str]) -> None:
    words = {"sid": "AC1", "token": "t", **options}
    with pytest.raises(UsageError):
        TwilioReader(words.pop("sid"), Secret(words.pop("token")), **words)


def test_six_digits() -> None:
    def code(*bodies: str) -> str | None:
        found = find(bodies, anything=True)
        return found.reveal() if found else None

    assert code("IBKR: 12345 then 123456, or 654321") == "123456"
    assert code("code 1234567") is None
    assert code("a 111111", "Code: 222222 (IBKR)") == "222222"
    assert code("IBKR: sold 111111 shares", "Interactive Brokers\nyour code is 222222") == "222222"
    assert code("IBKR: sold 111111 shares", "222222") == "111111"
    assert code() is None


def test_the_package_is_loaded_only_when_used() -> None:
    import subprocess

    words = "import ibtui.service.answers.sms, sys; print('twilio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "False", done.stderr


async def test_errors_are_ours(sim: Sim) -> None:
    account = sim.ready["twilio"]
    other = re.sub("^AC.", "AC0", account["sid"])
    one = TwilioReader(other, Secret(account["token"]), url=account["url"], ca_file=sim.cert or "")
    with pytest.raises(IbtuiError):
        await one.code(datetime.now(UTC))
