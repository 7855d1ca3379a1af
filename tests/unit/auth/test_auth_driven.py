"""Whole conversations, driven: real HTTP, a real vault, cancellation at every step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ibtui.auth import ocra
from ibtui.auth.effects import (
    LOGIN_HOST,
    Answer,
    Cancel,
    Challenge,
    Choose,
    Code,
    Credentials,
    Enrolled,
    Flow,
    Note,
    Reply,
    Send,
    Spend,
    Store,
)
from ibtui.auth.vault import Vault
from ibtui.clock import SystemClock
from ibtui.core import drive
from ibtui.core.rest import Rest
from ibtui.errors import IbtuiError, LoginLocked, PersonNeeded, UsageError
from ibtui.secret import Secret
from tests.unit.auth.auth_talk import KEY
from tests.unit.auth.test_enroll import PIN as NEW_PIN
from tests.unit.auth.test_enroll import SMS, USER, server
from tests.unit.auth.test_enroll import start as start_enrolment
from tests.unit.auth.test_login import start
from tests.unit.auth.vault_tools import held, vault

Hook = Callable[[str], None]


class Somebody:
    """Answers IB Key from the vault, types the SMS, chooses."""

    def __init__(self, box: Vault, choice: str | Cancel = "5.2a") -> None:
        self.box = box
        self.choice = choice
        self.stuck = asyncio.Event()
        self.hang = ""

    async def credentials(self, username: str) -> Credentials:
        raise AssertionError("they are given")

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        if self.hang == "choose":
            self.stuck.set()
            await asyncio.sleep(60)
        return self.choice

    async def ask(self, challenge: Challenge) -> Answer:
        if self.hang == "ask":
            self.stuck.set()
            await asyncio.sleep(60)
        if challenge.kind == "SWTK":
            return Code(Secret(SMS))

        def answer() -> Code:
            key, counter = self.box.key(), self.box.next_counter()
            return Code(ocra.respond(key.ocra, key.pin, counter, challenge.challenge), counted=True)

        return await asyncio.to_thread(answer)

    def note(self, note: Note) -> None:
        return None


class Asked:
    """Only asks: answers made before there were several factors."""

    async def credentials(self, username: str) -> Credentials:
        raise AssertionError

    async def ask(self, challenge: Challenge) -> Answer:
        return Cancel()

    def note(self, note: Note) -> None:
        return None


@asynccontextmanager
async def serving(replies: list[Any], hook: Hook, hang: str = "") -> AsyncIterator[tuple[str, list[Any]]]:
    """A server that gives the replies in order; GET `/` has none of them. Yields its address."""
    left = iter(replies)
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(text="hello")
        fields = await request.post()
        word = str(fields.get("ACTION", "DISPATCH"))
        hook(word)
        seen.append((word, dict(fields), dict(request.cookies)))
        if word == hang:
            await asyncio.sleep(60)
        reply = next(left)
        return web.Response(status=reply.status, text=reply.text)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


def counting(box: Vault) -> drive.Count:
    async def spend(effect: Spend) -> None:
        await asyncio.to_thread(box.spend, effect.what)

    return spend


def keeping(box: Vault) -> drive.Keep:
    async def keep(enrolled: Enrolled) -> None:
        await asyncio.to_thread(box.store, enrolled)

    return keep


def enrolled(tmp_path: Path) -> Vault:
    box = vault(tmp_path, KEY["user"])
    box.import_secret(Secret(KEY["ocra"]), Secret(KEY["pin"]), KEY["counter"])
    return box


async def test_a_login_with_ib_key_over_http(tmp_path: Path) -> None:
    box = enrolled(tmp_path)
    there: list[tuple[str, int, int]] = []

    def look(word: str) -> None:
        there.append((word, held(box)["attempts"], held(box)["counter"]))

    replies = [Reply(200, exchange["reply"]) for exchange in KEY["exchanges"]]
    async with serving(replies, look) as (url, seen):
        rest = Rest(url)
        try:
            done = await drive.run(start(KEY), Somebody(box), rest, SystemClock(), counting(box))
        finally:
            await rest.close()
    assert done.session_key == KEY["session_key"]
    for (word, fields, _), exchange in zip(seen, KEY["exchanges"], strict=True):
        assert [list(pair) for pair in fields.items()] == exchange["fields"], word
    # What was on disk when the server saw each request.
    assert there == [
        ("INIT", 0, 4), ("COMPLETEAUTH", 1, 4), ("COMPLETEAUTH_1", 1, 4), ("COMPLETETWOFACT", 1, 5),
        ("DISPATCH", 1, 5),
    ]  # fmt: skip
    assert (held(box)["attempts"], held(box)["counter"]) == (0, 5)
    assert seen[-1][2]["XYZAB_AM.LOGIN"] == KEY["session_key"]


@pytest.mark.parametrize(
    ("where", "left"),
    [
        ("choose", 0),
        ("ask", 0),
        ("INIT", 0),
        ("COMPLETEAUTH", 1),
        ("COMPLETEAUTH_1", 0),
        ("COMPLETETWOFACT", 1),
    ],
)
async def test_cancelled_at_each_step(tmp_path: Path, where: str, left: int) -> None:
    box = enrolled(tmp_path)
    who = Somebody(box)
    who.hang = where

    def look(word: str) -> None:
        if word == where:
            who.stuck.set()

    replies = [Reply(200, exchange["reply"]) for exchange in KEY["exchanges"]]
    async with serving(replies, look, hang=where) as (url, _):
        rest = Rest(url)
        flow = start(KEY)
        work = asyncio.ensure_future(drive.run(flow, who, rest, SystemClock(), counting(box)))
        async with asyncio.timeout(10):
            await who.stuck.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(10):
                await work
        await rest.close()
    assert held(box)["attempts"] == left
    assert flow.gi_frame is None, "closed: its secrets are gone"


async def test_cancelled_while_counting_waits_for_the_disk(tmp_path: Path) -> None:
    box, begun = enrolled(tmp_path), asyncio.Event()
    count, words = counting(box), []

    async def slow(effect: Spend) -> None:
        words.append(effect.what)
        begun.set()
        if effect.what == "attempt":
            await asyncio.sleep(0.2)
        await count(effect)

    replies = [Reply(200, exchange["reply"]) for exchange in KEY["exchanges"]]
    async with serving(replies, lambda word: None) as (url, seen):
        rest = Rest(url)
        work = asyncio.ensure_future(drive.run(start(KEY), Somebody(box), rest, SystemClock(), slow))
        async with asyncio.timeout(10):
            await begun.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        await rest.close()
    assert [word for word, _, _ in seen] == ["INIT"]
    assert words == ["attempt", "refund"]
    assert held(box)["attempts"] == 0


async def test_a_refund_that_fails_leaves_the_cancellation(tmp_path: Path) -> None:
    async def fails(effect: Spend) -> None:
        if effect.what == "refund":
            raise IbtuiError("the disk is full")

    who = Somebody(enrolled(tmp_path))
    who.hang = "ask"
    replies = [Reply(200, exchange["reply"]) for exchange in KEY["exchanges"]]
    async with serving(replies, lambda word: None) as (url, _):
        rest = Rest(url)
        work = asyncio.ensure_future(drive.run(start(KEY), who, rest, SystemClock(), fails))
        async with asyncio.timeout(10):
            await who.stuck.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        await rest.close()


async def test_the_limit_keeps_the_proof_here(tmp_path: Path) -> None:
    box = enrolled(tmp_path)
    box.person = True
    for _ in range(4):
        box.attempt()
    replies = [Reply(200, exchange["reply"]) for exchange in KEY["exchanges"]]
    async with serving(replies, lambda word: None) as (url, seen):
        rest = Rest(url)
        with pytest.raises(LoginLocked):
            await drive.run(start(KEY), Somebody(box), rest, SystemClock(), counting(box))
        await rest.close()
    assert [word for word, _, _ in seen] == ["INIT"] and held(box)["attempts"] == 4


async def test_enrolment_goes_to_the_other_host_and_is_stored(tmp_path: Path) -> None:
    box = vault(tmp_path, USER)
    async with (
        serving([], lambda word: pytest.fail("the gateway has no part in it")) as (gateway, _),
        serving(server(), lambda word: None) as (host, seen),
    ):
        rest, login_host = Rest(gateway), Rest(host)
        try:
            done = await drive.run(
                start_enrolment(), Somebody(box), rest, SystemClock(), counting(box),
                store=keeping(box), login_host=login_host,
            )  # fmt: skip
        finally:
            await rest.close()
            await login_host.close()
    assert [word for word, _, _ in seen][-1] == "COMPLETE_SETUP"
    assert seen[3][2] == {"XYZAB.LOGIN": seen[-1][2]["XYZAB.LOGIN"]}
    assert seen[6][1]["OS"] == "Android+9"
    assert held(box)["ocra"] == done.ocra_hex.reveal() and held(box)["pin"] == NEW_PIN
    assert (held(box)["counter"], held(box)["attempts"]) == (2, 0)


async def run_one(effect: Any, answers: Any, **options: Any) -> Any:
    def flow() -> Flow[Any]:
        return (yield effect)

    rest = Rest("http://127.0.0.1:1")
    try:
        return await drive.run(flow(), answers, rest, SystemClock(), **options)
    finally:
        await rest.close()


async def test_what_the_driver_was_not_given(tmp_path: Path) -> None:
    who = Somebody(vault(tmp_path))
    key = Enrolled(Secret("1234"), Secret("ab" * 20))
    for effect, words in (
        (Send("GET", "/", host=LOGIN_HOST), "login host"),
        (Store(key), "nowhere to keep"),
        (Spend("counter"), "nowhere to count"),
    ):
        with pytest.raises(UsageError, match=words):
            await run_one(effect, who)
    assert await run_one(Spend("attempt"), who) is None


async def test_choosing(tmp_path: Path) -> None:
    offered = Choose(("4.2", "5.2a"))
    assert await run_one(offered, Somebody(vault(tmp_path), "4.2")) == "4.2"
    with pytest.raises(PersonNeeded, match="several second factors: text message"):
        await run_one(offered, Asked())
