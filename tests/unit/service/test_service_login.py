"""The guarded login's parts by themselves: turns, outcomes, automatic answers and the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ibtui import errors
from ibtui.auth import ocra
from ibtui.auth.effects import Answer, Cancel, Challenge, Code, Credentials, Note, OtherFactor, Resend
from ibtui.auth.vault import Vault
from ibtui.clock import FakeClock, SystemClock
from ibtui.config import Profile, Settings, Source
from ibtui.core.models import LoginFacts
from ibtui.errors import (
    Backoff,
    CodeRefused,
    IbtuiError,
    LoginLocked,
    LoginRefused,
    PersonNeeded,
    Unreachable,
)
from ibtui.secret import Secret
from ibtui.service import vaults
from ibtui.service.answers.auto import AutoAnswers
from ibtui.service.login import GuardedLogin
from ibtui.service.vaults import Memory, facts_of

SECRET = "JBSWY3DPEHPK3PXP"
NOW = datetime(2026, 4, 24, 14, 32, 0, tzinfo=UTC)


class Person:
    """Types what it was given, in turn; notes what it was shown."""

    has_password = True

    def __init__(self, *answers: Answer, yes: bool = True) -> None:
        self.answers = list(answers)
        self.said: list[str] = []
        self.asked: list[Challenge] = []
        self.yes = yes

    async def credentials(self, username: str) -> Credentials:
        return Credentials(username or "me", Secret("pw"))

    async def ask(self, challenge: Challenge) -> Answer:
        self.asked.append(challenge)
        if not self.answers:
            raise PersonNeeded("nobody")
        return self.answers.pop(0)

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        return offered[0]

    async def confirm(self, text: str) -> bool:
        self.said.append(text)
        return self.yes

    def note(self, note: Note) -> None:
        self.said.append(note.text)


def settings(**keys: Any) -> Settings:
    return Settings(profiles={"default": Profile(username="me", **keys)})


def made(person: Person, clock: Any = None, **keys: Any) -> AutoAnswers:
    clock = clock or FakeClock(NOW)
    answers = AutoAnswers(settings(**keys), person, clock)
    profile = settings(**keys).chosen()
    answers.use(vaults.vault_for(profile, "me", clock=clock), Memory(profile, "me"))
    return answers


@pytest.fixture
def totp(monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setenv("MY_TOTP", SECRET)
    return Source(env="MY_TOTP")


def code_at(at: datetime) -> str:
    return ocra.read_totp(Secret(SECRET)).code(at.timestamp()).reveal()


@pytest.mark.parametrize("second", range(30))
async def test_a_totp_code_lasts_another_eight_seconds(second: int, totp: Source) -> None:
    clock = FakeClock(NOW + timedelta(seconds=second))
    answer = await made(Person(), clock, totp_secret=totp).ask(Challenge("4", "SWTK"))
    assert isinstance(answer, Code) and answer.text == Secret(code_at(clock.now()))
    assert 30 - clock.now().timestamp() % 30 >= 8
    assert bool(clock.slept) == (second > 22)


@pytest.mark.parametrize("skew", [-3000.0, -29.0, 7.5, 100.0])
async def test_a_totp_code_is_made_for_the_servers_clock(skew: float, totp: Source) -> None:
    clock, person = FakeClock(NOW), Person()
    answer = await made(person, clock, totp_secret=totp).ask(Challenge("4", "SWTK", skew=skew))
    assert isinstance(answer, Code)
    assert answer.text == Secret(code_at(clock.now() + timedelta(seconds=skew)))
    assert any("IBKR's clock" in text for text in person.said)


@pytest.mark.parametrize("skew", [0.0, -3000.0, 100.0])
async def test_the_next_login_does_not_send_the_same_totp_code(skew: float, totp: Source) -> None:
    clock = FakeClock(NOW)
    challenge = Challenge("4", "SWTK", skew=skew)
    codes = [await made(Person(), clock, totp_secret=totp).ask(challenge) for _ in range(3)]
    texts = [code.text.reveal() for code in codes if isinstance(code, Code)]
    assert len(set(texts)) == 3 and (clock.now() - NOW).total_seconds() <= 62, "one window each"


async def test_an_automatic_answer_is_given_once(totp: Source) -> None:
    typed = Code(Secret("123456"))
    answers = made(Person(typed), totp_secret=totp)
    assert await answers.ask(Challenge("4", "SWTK")) != typed
    assert await answers.ask(Challenge("4", "SWTK")) == typed


async def test_a_bad_totp_secret_leaves_it_to_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOTP", "0189!")
    source = Source(env="MY_TOTP")
    typed = Code(Secret("123456"))
    assert await made(Person(typed), totp_secret=source).ask(Challenge("4", "SWTK")) == typed
    with pytest.raises(PersonNeeded, match="not base32") as caught:
        await made(Person(), totp_secret=source).ask(Challenge("4", "SWTK"))
    assert "0189" not in str(caught.value)


async def test_another_factor_and_resend_are_the_persons() -> None:
    answers = made(Person(Resend(), OtherFactor("4")))
    assert await answers.ask(Challenge("4.2", "SWTK", others=("4",))) == Resend()
    assert await answers.ask(Challenge("4.2", "SWTK", others=("4",))) == OtherFactor("4")
    assert answers.chosen == "4"


async def test_what_is_preferred(totp: Source) -> None:
    memory = Memory(Profile(), "me")
    memory.ended(NOW, None, factor="5.2a")
    assert await made(Person()).prefer() == ["5.2a"]
    assert await made(Person(), totp_secret=totp).prefer() == ["totp", "5.2a"]
    Vault("me").import_secret(Secret("ab" * 20), Secret("1234"), 5)
    found = made(Person(), second_factor="sms", totp_secret=totp, twilio_sid="AC", twilio_token=totp)
    assert await found.prefer() == ["sms", "totp", "ibkey", "sms", "5.2a"]
    assert Memory(Profile(name="other"), "me").factor == "", "each profile has its own"


async def test_ibkeys_counter_is_spent_before_there_is_an_answer() -> None:
    vault = Vault("me")
    vault.import_secret(Secret("ab" * 20), Secret("1234"), 93)
    for counter in (93, 94):
        answer = await made(Person()).ask(Challenge("5.2a", "SWCR", "708362"))
        wanted = ocra.respond(Secret("ab" * 20), Secret("1234"), counter, "708362")
        assert answer == Code(wanted, counted=True)
    with pytest.raises(PersonNeeded, match="counter 95 of 95"):
        await made(Person()).ask(Challenge("5.2a", "SWCR", "708362"))
    typed = Code(Secret("12345678"))
    assert await made(Person(typed)).ask(Challenge("5.2a", "SWCR", "708362")) == typed


@pytest.mark.parametrize("encoding", ["digits", "rfc"])
async def test_the_counters_encoding_is_a_setting(encoding: ocra.Encoding) -> None:
    Vault("me").import_secret(Secret("ab" * 20), Secret("1234"), 57)
    answer = await made(Person(), counter_encoding=encoding).ask(Challenge("5.2a", "SWCR", "708362"))
    wanted = ocra.respond(Secret("ab" * 20), Secret("1234"), 57, "708362", encoding)
    assert answer == Code(wanted, counted=True)


# What is remembered --------------------------------------------------------------------------


KINDS = [
    LoginRefused("a", "b"),
    CodeRefused("c"),
    LoginLocked("d", "e"),
    Unreachable("f"),
    PersonNeeded("g"),
    IbtuiError("h"),
]


@pytest.mark.parametrize("error", KINDS, ids=lambda error: type(error).__name__)
def test_an_outcome_is_told_as_it_was(error: IbtuiError) -> None:
    memory = Memory(Profile(), "me")
    assert memory.outcome() is None
    memory.ended(NOW, error)
    found = memory.outcome()
    assert found is not None and found.at == NOW and type(found.error) is type(error)
    assert str(found.error) == str(error)
    memory.begun()
    assert memory.outcome() is None
    memory.ended(NOW, None)
    assert memory.outcome() == vaults.Outcome(NOW)


def test_a_wait_is_told_as_a_refusal() -> None:
    memory = Memory(Profile(), "me")
    memory.ended(NOW, Backoff("x", until=NOW))
    found = memory.outcome()
    assert found is not None and type(found.error) is LoginRefused


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"outcome": {"at": 3}}', b'{"outcome": {"at": "2026-04-24T14:32:00"}}', b'{"factors": 3}'],
)
def test_what_is_remembered_may_be_damaged(content: bytes) -> None:
    memory = Memory(Profile(), "me")
    memory.ended(NOW, LoginRefused("x"), factor="4")
    path = next(errors_path().rglob("me.json"))
    path.write_bytes(content)
    assert memory.outcome() is None and memory.factor == "" and not memory.refused(1)
    memory.ended(NOW, None, factor="4.2")
    assert memory.factor == "4.2"


def errors_path() -> Path:
    from ibtui import paths

    return paths.state_dir()


def test_a_refusal_is_remembered_until_the_source_is_right_or_a_person_resets() -> None:
    memory = Memory(Profile(), "me")
    memory.ended(NOW, LoginRefused("x"))
    assert not memory.refused(1), "a typed one"
    memory.ended(NOW, LoginRefused("x"), source=True)
    for error in (Unreachable("x"), CodeRefused("x"), PersonNeeded("x")):
        memory.ended(NOW, error, source=True)
        assert memory.refused(1) and not memory.refused(0), "attempts set to 0 by hand"
    memory.ended(NOW, None)
    assert memory.refused(0), "a typed one was right: the source's is as wrong as before"
    memory.ended(NOW, None, source=True)
    assert not memory.refused(1)
    memory.ended(NOW, LoginLocked("x"), source=True)
    assert memory.refused(1) and memory.locked(1) and not memory.locked(0)
    memory.forgive()
    assert not memory.refused(1) and not memory.locked(1)


def test_an_unknown_error_in_the_file_is_a_plain_one() -> None:
    assert type(vaults._error({"error": "datetime", "what": "x"})) is IbtuiError
    assert type(vaults._error({"error": "Nonsense", "what": "x"})) is IbtuiError
    assert issubclass(errors.WrongAccountType, IbtuiError)


def test_facts_of_nobody_and_of_damaged_data() -> None:
    profile = Profile(max_attempts=3)
    assert facts_of(profile, "") == LoginFacts(limit=3)
    vault = Vault("me")
    vault.attempt()
    found = facts_of(profile, "me")
    assert (found.attempts, found.limit, found.logins_left) == (1, 3, None) and found.wait_until is not None
    vault.path.write_text("nonsense")
    assert facts_of(profile, "me") == LoginFacts(limit=3)


# Turns ---------------------------------------------------------------------------------------


class NoNetwork:
    """A connection that nothing may use."""

    async def send(self, send: Any) -> Any:
        raise AssertionError("nothing may be sent")

    async def new_conversation(self) -> None:
        return


@pytest.fixture
def busy() -> Iterator[Any]:
    """Another process's login of the same user name."""
    held = Vault("me").conversation(0.0)
    held.__enter__()
    open_ = [held]

    def let_go() -> None:
        if open_:
            open_.pop().__exit__(None, None, None)

    yield let_go
    let_go()


def guarded(person: Person) -> Any:
    return GuardedLogin(settings(), SystemClock()).run(person, NoNetwork())  # type: ignore[arg-type]


async def waiting(task: asyncio.Task[Any], person: Person) -> None:
    end = time.monotonic() + 5
    while not any("another ibtui" in text for text in person.said):
        assert not task.done() and time.monotonic() < end
        await asyncio.sleep(0.01)


async def test_who_waited_hears_the_others_error(busy: Any) -> None:
    person = Person()
    task = asyncio.create_task(guarded(person))
    await waiting(task, person)
    Memory(Profile(), "me").ended(datetime.now(UTC), CodeRefused("the code was wrong", "again"))
    busy()
    with pytest.raises(CodeRefused, match="the code was wrong"):
        await asyncio.wait_for(task, 5)


async def test_who_waited_hears_the_others_success(busy: Any) -> None:
    person = Person()
    task = asyncio.create_task(guarded(person))
    await waiting(task, person)
    Memory(Profile(), "me").ended(datetime.now(UTC), None)
    busy()
    done = await asyncio.wait_for(task, 5)
    assert done.shared and done.username == "me"


async def test_a_login_at_another_gateway_is_not_ours(busy: Any) -> None:
    person = Person()
    task = asyncio.create_task(guarded(person))
    await waiting(task, person)
    Memory(Profile(gateway_url="https://localhost:5999"), "me").ended(datetime.now(UTC), None)
    busy()
    with pytest.raises(AssertionError, match="nothing may be sent"):  # it logs in itself
        await asyncio.wait_for(task, 5)


async def test_an_old_outcome_is_not_the_others(busy: Any) -> None:
    person = Person()
    Memory(Profile(), "me").ended(datetime.now(UTC) - timedelta(hours=1), None)
    task = asyncio.create_task(guarded(person))
    await waiting(task, person)
    busy()
    with pytest.raises(AssertionError, match="nothing may be sent"):  # it tries itself
        await asyncio.wait_for(task, 5)


async def test_a_cancelled_wait_leaves_no_lock(busy: Any) -> None:
    person = Person()
    task = asyncio.create_task(guarded(person))
    await waiting(task, person)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    busy()
    await asyncio.sleep(0.1)
    with Vault("me").conversation(0.0):
        pass


async def test_at_the_limit_nothing_is_asked_or_sent() -> None:
    vault = Vault("me", person=True)
    for _ in range(4):
        vault.attempt()
    person = Person()
    with pytest.raises(LoginLocked, match="the limit is 4"):
        await guarded(person)
    assert not any("go on" in text for text in person.said)


async def test_who_says_no_has_tried_nothing() -> None:
    Vault("me").attempt()
    person = Person(yes=False)
    with pytest.raises(Backoff):
        await guarded(person)
    assert "attempt 2 of 4 - go on?" in person.said[-1]
    assert Vault("me").status().record.attempts == 1


async def test_what_a_profile_means_is_written_once_a_login_has_shown_it(tmp_path: Path) -> None:
    from ibtui.core.feed import Hub
    from ibtui.service.board import Board
    from ibtui.service.entry import Entry
    from ibtui.service.host import host_for

    given = replace(settings(), path=tmp_path / "c" / "config.toml")
    board = Board(FakeClock(), Hub())
    entry = Entry(given, FakeClock(), board, host_for(given.chosen()))
    entry.mean(account_type="live")
    assert entry.profile == replace(given.chosen(), account_type="live")
    assert given.chosen().account_type == "paper" and not given.path.exists()
    await entry._remember()
    assert 'account_type = "live"' in given.path.read_text()
    assert 'account_type = "live" was written' in board.events[-1].text
    given.path.write_text("no toml [")
    entry.mean(account_type="paper")
    await entry._remember()
    assert "not TOML" in board.events[-1].text and given.path.read_text() == "no toml ["
