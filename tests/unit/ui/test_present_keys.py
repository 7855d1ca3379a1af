"""The key map, the bridge, the P&L history and theme files, without a screen."""

from __future__ import annotations

import asyncio
from decimal import Decimal as D
from pathlib import Path

import pytest

from ibtui.auth.effects import Cancel, Challenge, Note, Resend
from ibtui.core.feed import Change, Hub
from ibtui.ui import bridge, history, keymap, themes
from ibtui.ui.answers import ScreenAnswers
from ibtui.ui.messages import Changed, FillsChanged, OrdersChanged, PositionsChanged, SummaryChanged
from ibtui.ui.present.spans import plain
from ibtui.ui.screens.detail import help_lines
from ibtui.ui.widgets.too_small import fits, sentence


def test_ids_are_unique_and_no_key_is_bound_twice_on_a_screen() -> None:
    ids = [key.id for key in keymap.KEYS]
    assert len(ids) == len(set(ids))
    everywhere = {part for key in keymap.of("") for part in key.key.split(",")}
    for screen in ("session", "positions", "orders", "account", "login"):
        here = [part for key in keymap.of(screen) for part in key.key.split(",")]
        assert len(here) == len(set(here))
        assert everywhere.isdisjoint(here)


def test_keys_that_terminals_and_multiplexers_take_are_not_used() -> None:
    taken = {"ctrl+a", "ctrl+b", "ctrl+i", "ctrl+m", "ctrl+h", "ctrl+s", "ctrl+z", "ctrl+c"}
    assert taken.isdisjoint({part for key in keymap.KEYS for part in key.key.split(",")})


@pytest.mark.parametrize("screen", ["session", "positions", "orders", "account"])
def test_hints_and_help_name_the_keys_of_the_screen(screen: str) -> None:
    hints = keymap.hints(screen)
    assert ("?", "help", "app.show_help") in hints
    assert sum(len(key) + len(word) + 3 for key, word, _ in hints) <= 79 or screen == "session"
    page = "\n".join(plain(spans) for spans in help_lines(screen))
    for key in keymap.of(screen):
        assert key.description in page


def test_one_message_a_kind() -> None:
    changes = [
        Change("position", "a"),
        Change("quote", "7"),
        Change("order", "1"),
        Change("ledger", "U"),
        Change("odd", "x"),
    ]
    found = {type(message): message.keys for message in bridge.messages(changes)}
    assert found == {
        PositionsChanged: frozenset({"a", "7"}),
        OrdersChanged: frozenset({"1"}),
        SummaryChanged: frozenset({"U"}),
    }
    assert bridge.messages([Change("execution", "*")])[0].everything
    assert not FillsChanged(frozenset({"x"})).everything


async def test_a_burst_is_carried_as_one_message() -> None:
    hub, got = Hub(), []  # type: ignore[var-annotated]
    feed = hub.subscribe()
    task = asyncio.create_task(bridge.carry(feed, 50, got.append))
    for number in range(100):
        hub.publish([Change("order", str(number))])
    async with asyncio.timeout(5):
        while not got:
            await asyncio.sleep(0.01)
    assert len(got) == 1
    assert isinstance(got[0], Changed)
    assert len(got[0].keys) == 100
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert hub._feeds == []


class Pages:
    """A wizard that only remembers what it was asked to show."""

    def __init__(self) -> None:
        self.shown: list[object] = []

    def show_credentials(self, username: str) -> None:
        self.shown.append(username)

    def show_challenge(self, challenge: Challenge) -> None:
        self.shown.append(challenge)

    def show_choice(self, offered: tuple[str, ...]) -> None:
        self.shown.append(offered)

    def show_question(self, text: str) -> None:
        self.shown.append(text)

    def show_working(self) -> None:
        self.shown.append("working")

    def show_note(self, note: Note) -> None:
        self.shown.append(note)


async def test_a_question_is_open_until_it_is_answered() -> None:
    pages = Pages()
    answers = ScreenAnswers(pages)
    answers.give_choice("4")  # nobody has asked yet
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        choice = group.create_task(answers.choose(("4.2", "5.2a")))
        await asyncio.sleep(0)
        answers.give_answer(Resend())  # not what was asked
        answers.give_choice("5.2a")
        answers.leave()  # too late
    assert choice.result() == "5.2a"
    assert pages.shown == [("4.2", "5.2a"), "working"]


async def test_leaving_answers_every_question_with_no() -> None:
    answers = ScreenAnswers(Pages())
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        answer = group.create_task(answers.ask(Challenge("4.2", "SWTK")))
        choice = group.create_task(answers.choose(("4.2", "5.2a")))
        yes = group.create_task(answers.confirm("go on?"))
        await asyncio.sleep(0)
        answers.leave()
    assert (answer.result(), choice.result(), yes.result()) == (Cancel(), Cancel(), False)


async def test_an_answer_from_elsewhere_ends_the_question() -> None:
    pages = Pages()
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(ScreenAnswers(pages).ask(Challenge("4.2", "SWTK")))
        await asyncio.sleep(0)
        asked.cancel()
    assert pages.shown[-1] == "working"


def test_history_is_bounded_and_sampled() -> None:
    seen = history.PnlHistory()
    assert seen.samples("U1") == ()
    seen.add("U1", D(1), 0)
    seen.add("U1", D(2), 1)
    seen.add("U1", D(3), 6)
    assert seen.samples("U1") == (D(2), D(3))
    for number in range(history.KEPT + 10):
        seen.add("U1", D(number), 10.0 * number + 20)
    assert len(seen.samples("U1")) == history.KEPT


def test_our_themes_load(tmp_path: Path) -> None:
    names = [theme.name for theme in themes.load_all(tmp_path) if not isinstance(theme, ValueError)]
    assert sorted(names) == sorted(themes.OURS)
    for name in themes.OURS:
        file = themes.find(name, tmp_path)
        assert file is not None
        variables = themes.load(file).variables
        assert "pnl-up" in variables


@pytest.mark.parametrize(
    "content",
    [
        "primary = ",
        'primary = "#12"',
        'primary = "red"\nodd = 1',
        'primary = "red"\ndark = "yes"',
        'primary = "red"\nvariables = 3',
        "dark = true",
        'primary = "red"\n[variables]\nx = 3',
        "primary = 5",
    ],
)
def test_broken_theme_files_are_named(content: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"mine\.toml"):
        themes.load(file)


def test_own_theme_wins_and_names_stay_inside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "themes").mkdir()
    own = tmp_path / "themes" / "ibtui-dark.toml"
    own.write_text('primary = "red"')
    assert themes.find("ibtui-dark", tmp_path) == own
    assert themes.find("../config", tmp_path) is None
    assert themes.find("nowhere", tmp_path) is None


def test_fitting() -> None:
    assert themes.fitting("ibtui-dark", "truecolor", no_color=False) == "ibtui-dark"
    assert themes.fitting("ibtui-light", "standard", no_color=False) == "ansi-light"
    assert themes.fitting("ibtui-dark", None, no_color=False) == "ansi-dark"
    assert themes.fitting("ansi-light", "standard", no_color=False) == "ansi-light"
    assert themes.fitting("ibtui-light", "256", no_color=True) == "ibtui-contrast"


def test_too_small() -> None:
    from textual.geometry import Size

    assert fits(Size(80, 24))
    assert not fits(Size(79, 24))
    assert not fits(Size(80, 23))
    assert "60×10" in plain(sentence(Size(60, 10))[1])
