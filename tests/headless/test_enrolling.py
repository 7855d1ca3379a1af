"""A new key that cannot be written at once: a person makes room, or it is said to be lost."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from ibtui.auth import lock
from ibtui.auth.effects import Answer, Cancel, Challenge, Credentials, Enrolled, Note, Spend
from ibtui.auth.fields import Prepared
from ibtui.auth.vault import Vault
from ibtui.errors import IbtuiError, PersonNeeded
from ibtui.secret import Secret
from ibtui.service import enrolling

KEY = Enrolled(Secret("0258"), Secret("ab" * 20))


class Person:
    """Says yes so often, and then makes room."""

    def __init__(self, yes: int, room: contextlib.ExitStack) -> None:
        self._yes, self._room = yes, room
        self.asked: list[str] = []
        self.noted: list[str] = []

    async def credentials(self, username: str) -> Credentials:
        raise PersonNeeded("nobody")

    async def ask(self, challenge: Challenge) -> Answer:
        return Cancel()

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        return Cancel()

    async def confirm(self, text: str) -> bool:
        self.asked.append(text)
        if len(self.asked) == self._yes:
            self._room.close()
        return len(self.asked) <= self._yes

    def note(self, note: Note) -> None:
        self.noted.append(note.text)


def blocked(folder: Path) -> tuple[Vault, contextlib.ExitStack]:
    """A vault that cannot be written until the stack is closed."""
    vault = Vault("me", folder, timeout=0.05)
    vault.reset()
    room = contextlib.ExitStack()
    room.enter_context(lock.held(folder / ".me.lock", "filling the disk"))
    return vault, room


async def test_a_person_makes_room(tmp_path: Path) -> None:
    vault, room = blocked(tmp_path / "auth")
    person = Person(2, room)
    await enrolling.keep(vault, KEY, person)
    assert vault.key().ocra.reveal() == "ab" * 20
    assert len(person.asked) == 2 and "kept as an unfinished one" in person.asked[0]
    assert "abab" not in person.asked[0] and "0258" not in person.asked[0]


async def test_nobody_makes_room(tmp_path: Path) -> None:
    vault, room = blocked(tmp_path / "auth")
    prepared = Prepared(KEY.pin, KEY.ocra_hex)
    with room, pytest.raises(IbtuiError, match="was not asked to activate") as caught:
        await enrolling.keep(vault, prepared, Person(0, room))
    assert "ibkey enroll" in caught.value.fix
    await enrolling.keep(vault, prepared, Person(0, room))
    with (
        lock.held(vault.folder / ".me.lock", "filling the disk"),
        pytest.raises(IbtuiError, match="kept as an unfinished") as caught,
    ):
        await enrolling.keep(vault, KEY, Person(0, room))
    assert "import --unfinished" in caught.value.fix
    assert not vault.status().enrolled
    vault.take_unfinished()
    assert vault.key().ocra.reveal() == KEY.ocra_hex.reveal()


async def test_a_success_that_cannot_be_written_is_one(tmp_path: Path) -> None:
    vault, room = blocked(tmp_path / "auth")
    person = Person(0, room)
    spend = enrolling.counting(vault, person)
    with room:
        await spend(Spend("success"))
        assert "still counts as an attempt" in person.noted[-1]
        with pytest.raises(IbtuiError, match="writing the auth data"):
            await spend(Spend("attempt"))
