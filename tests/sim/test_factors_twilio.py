"""Twilio's message list with plain httpx: what a client of login.md §4 sees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from ibtui.sim.server import Simulator
from tests.sim.factors_tools import FactorClient, code_in, default
from tests.sim.platform_stand_in import TinyBrokerage
from tests.sim.platform_tools import started


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    sim = await started(default(), brokerage=TinyBrokerage(), plain=True)
    try:
        yield sim
    finally:
        await sim.stop()


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[FactorClient]:
    async with FactorClient(sim) as client:
        yield client


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def ask(
    sim: Simulator, query: str = "", *, sid: str = "", auth: tuple[str, str] | None = None
) -> httpx.Response:
    account = sim.ready()["twilio"]
    path = f"/2010-04-01/Accounts/{sid or account['sid']}/Messages.json"
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(
            f"{account['url']}{path}{query}", auth=auth or (account["sid"], account["token"])
        )


async def bodies(sim: Simulator, query: str = "") -> list[str]:
    return [one["body"] for one in (await ask(sim, query)).json()["messages"]]


async def test_the_code_of_a_login_is_there(sim: Simulator, client: FactorClient) -> None:
    began = sim.clock.now()
    solved = await client.proved("sms12345")
    await client.ask("sms12345", solved, "4.2")
    reply = await ask(sim, f"?DateSent%3E={quote(stamp(began))}&PageSize=1")
    assert reply.status_code == 200
    body = reply.json()
    (message,) = body["messages"]
    assert message["sid"].startswith("SM") and message["account_sid"] == sim.twilio.sid
    assert message["direction"] == "inbound" and message["status"] == "received"
    assert message["date_sent"].endswith(" +0000")
    assert abs(parsedate_to_datetime(message["date_sent"]).timestamp() - sim.clock.now()) < 5
    assert (body["page"], body["page_size"], body["next_page_uri"]) == (0, 1, None)
    code = code_in(message["body"])
    assert await client.answer("sms12345", "4.2", code) == {"auth_res": "true"}


async def test_a_late_message(sim: Simulator, client: FactorClient) -> None:
    await client.control("/quirks", {"sms_delay_s": 7})
    solved = await client.proved("sms12345")
    await client.ask("sms12345", solved, "4.2")
    assert await bodies(sim) == []
    (row,) = await client.control("/sms")
    assert (row["arrived"], round(row["arrives"] - row["t"], 3)) == (False, 7)
    await client.control("/clock", {"advance_s": 8})
    assert len(await bodies(sim)) == 1


async def test_planted_messages_are_sorted_by_date(sim: Simulator, client: FactorClient) -> None:
    await client.control("/sms", {"body": "your parcel 111111"})
    await client.control("/sms", {"body": "an old code 222222", "age_s": 3600})
    await client.control("/sms", {"body": "later 333333", "delay": 30, "from": "+15550001"})
    assert await bodies(sim) == ["your parcel 111111", "an old code 222222"]
    await client.control("/clock", {"advance_s": 31})
    assert await bodies(sim) == ["later 333333", "your parcel 111111", "an old code 222222"]
    assert await bodies(sim, "?From=%2B15550001") == ["later 333333"]
    assert await bodies(sim, "?To=%2B15559999") == []
    await client.http.delete("/sim/sms")
    assert await bodies(sim) == []


async def test_the_date_filter_is_inclusive_in_whole_seconds(sim: Simulator, client: FactorClient) -> None:
    at = int(sim.clock.now()) - 100
    for off in (-1, 0, 1):
        await client.control("/sms", {"body": str(off), "date_sent": at + off})
    assert await bodies(sim, f"?DateSent%3E={stamp(at)}") == ["1", "0"]
    assert await bodies(sim, f"?DateSent>={stamp(at)}") == ["1", "0"]
    assert await bodies(sim, f"?DateSent%3C={stamp(at)}") == ["0", "-1"]
    assert len(await bodies(sim, f"?DateSent={stamp(at)[:10]}")) == 3
    await client.control("/sms", {"body": "x", "date_sent": "2020-02-03T04:05:06+00:00"})
    assert await bodies(sim, "?DateSent=2020-02-03") == ["x"]


async def test_pages(sim: Simulator, client: FactorClient) -> None:
    at = int(sim.clock.now()) - 100
    for n in range(5):
        await client.control("/sms", {"body": str(n), "date_sent": at + n})
    found, uri = [], f"?PageSize=2&DateSent%3E={stamp(at)}"
    first: dict[str, Any] = (await ask(sim, uri)).json()
    assert (first["start"], first["end"], first["page_size"]) == (0, 1, 2)
    # One that arrives between two pages shifts nothing.
    await client.control("/sms", {"body": "new"})
    async with httpx.AsyncClient(
        base_url=sim.url, auth=(sim.twilio.sid, sim.twilio.token), trust_env=False
    ) as http:
        page = first
        while True:
            found += [one["body"] for one in page["messages"]]
            if page["next_page_uri"] is None:
                break
            page = (await http.get(page["next_page_uri"])).json()
    assert found == ["4", "3", "2", "1", "0"]
    assert page["page"] == 2 and page["previous_page_uri"]
    assert (await ask(sim)).json()["page_size"] == 50


async def test_errors_in_twilios_words(sim: Simulator, client: FactorClient) -> None:
    for auth in ((sim.twilio.sid, "wrong"), ("ACwrong", sim.twilio.token)):
        reply = await ask(sim, auth=auth)
        assert (reply.status_code, reply.json()["code"], reply.json()["status"]) == (401, 20003, 401)
    async with httpx.AsyncClient(base_url=sim.url, trust_env=False) as http:
        assert (await http.get("/2010-04-01/Accounts.json")).status_code == 401
    reply = await ask(sim, sid="AC" + "0" * 32)
    assert (reply.status_code, reply.json()["code"]) == (404, 20404)
    assert reply.json()["more_info"] == "https://www.twilio.com/docs/errors/20404"
    for query in ("?DateSent%3E=yesterday", "?PageSize=many"):
        assert (await ask(sim, query)).status_code == 400
    await client.control("/faults", {"path": "/2010-04-01/*", "kind": "status", "status": 429})
    reply = await ask(sim)
    assert (reply.status_code, reply.json()["code"], reply.json()["message"]) == (
        429,
        20429,
        "Too Many Requests",
    )
    assert (await ask(sim)).status_code == 200


@pytest.mark.parametrize(
    "wish",
    [{}, {"body": 1}, {"body": "x", "delay": -1}, {"body": "x", "date_sent": "soon"}, {"body": "x", "at": 1}],
)
async def test_mistakes_when_planting(client: FactorClient, wish: dict[str, Any]) -> None:
    reply = await client.http.post("/sim/sms", json=wish)
    assert reply.status_code == 400 and reply.json()["error"]


async def test_same_seed_same_account(sim: Simulator) -> None:
    again = Simulator(default(), brokerage=TinyBrokerage())
    assert (again.twilio.sid, again.twilio.token) == (sim.twilio.sid, sim.twilio.token)
    assert len(sim.twilio.sid) == 34
