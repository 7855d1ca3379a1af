"""What holds on every screen: keys, palette, help, themes, small terminals, and leaving in good order."""

from __future__ import annotations

import os
import pty
import signal
import sys
import time
from pathlib import Path

import pytest
from textual.color import Color

from ibtui import paths
from ibtui.ui import app as app_module
from ibtui.ui import ending, keymap
from ibtui.ui.widgets.bar import Hints
from tests import fakes
from tests.pilot.driving import make_app, running, says, shows, text, until


async def test_digits_and_clicks_reach_every_screen() -> None:
    async with running(fakes.FakeRuntime()) as pilot:
        for digit, title in (("2", "Positions"), ("3", "[Working"), ("4", "Account"), ("1", "Session")):
            await pilot.press(digit)
            await shows(pilot, title)
        hints = pilot.app.screen.query_one(Hints)
        line = text(pilot.app).splitlines()[-1]
        await pilot.click(hints, offset=(line.rindex("3"), 0))
        await shows(pilot, "[Working")
        line = text(pilot.app).splitlines()[-1]
        await pilot.click(pilot.app.screen.query_one(Hints), offset=(line.index("view"), 0))
        await shows(pilot, "[Today")


@pytest.mark.parametrize("digit", ["1", "2", "3", "4"])
async def test_help_comes_from_the_key_map(digit: str) -> None:
    async with running(fakes.FakeRuntime(), (100, 60)) as pilot:
        await pilot.press(digit, "question_mark")
        await shows(pilot, "Everywhere", "Mask amounts and account ids everywhere")
        await pilot.press("escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)


async def test_the_palette_runs_the_same_verbs_and_takes_no_pictures() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        titles = [command.title for command in pilot.app.get_system_commands(pilot.app.screen)]
        assert not [title for title in titles if "creenshot" in title]
        await pilot.press("ctrl+p", *"look at gateway")
        await pilot.pause(0.3)
        await pilot.press("down", "enter")
        await until(pilot, lambda: runtime.calls.count("refresh") == 2)
        await pilot.press("ctrl+p", *"go to orders")
        await pilot.pause(0.3)
        await pilot.press("down", "enter")
        await shows(pilot, "[Working 4]")


async def test_an_error_of_a_palette_verb_is_told_on_any_screen() -> None:
    runtime = fakes.FakeRuntime(fakes.COMPETING)
    async with running(runtime) as pilot:
        from ibtui.errors import Competing

        runtime.fails["open_brokerage"] = Competing("TWS holds it.", "Close it.")
        await pilot.press("2")
        pilot.app.verbs.take_over()
        await says(pilot, "TWS holds it. Close it.")


async def test_too_small_says_so_and_comes_back() -> None:
    async with running(fakes.FakeRuntime(), (79, 24)) as pilot:
        await shows(pilot, "This terminal is 79×24; ibtui needs 80×24.")
        await pilot.resize_terminal(60, 10)
        await shows(pilot, "60×10")
        await pilot.resize_terminal(120, 40)
        await shows(pilot, "● Gateway")
        assert "needs 80×24" not in text(pilot.app)


async def test_every_screen_fits_80_by_24() -> None:
    async with running(fakes.FakeRuntime()) as pilot:
        for digit in "1234":
            await pilot.press(digit)
            await pilot.pause(0.05)
            lines = text(pilot.app).splitlines()
            assert len(lines) == 24
            assert lines[-1].rstrip().endswith(" ".join(digit for digit, _, _ in keymap.SCREENS))
            assert "help" in lines[-1]
            assert lines[0].rstrip().endswith("14:32:10")


# Themes ------------------------------------------------------------------------------


async def test_a_broken_theme_is_told_by_its_file() -> None:
    folder = paths.config_dir() / "themes"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('primary = "no colour at all"\n')
    (folder / "good.toml").write_text('primary = "#ff0000"\n[variables]\npnl-up = "#00ff00"\n')
    async with running(fakes.FakeRuntime(), theme="mine") as pilot:
        await says(pilot, "mine.toml")
        assert pilot.app.theme == "ibtui-dark"
        assert "good" in pilot.app.available_themes
        pilot.app.theme = "good"
        await pilot.press("2")
        await shows(pilot, "AAPL")


async def test_an_unknown_theme_falls_back() -> None:
    async with running(fakes.FakeRuntime(), theme="../../etc/passwd") as pilot:
        await says(pilot, "There is no theme")
        assert pilot.app.theme == "ibtui-dark"


@pytest.mark.parametrize(
    ("theme", "least"),
    [("ibtui-dark", 4.5), ("ibtui-light", 4.5), ("ibtui-contrast", 7.0), ("ibtui-blue", 4.5), ("nord", 2.5)],
)
async def test_every_theme_can_be_read(theme: str, least: float) -> None:
    async with running(fakes.FakeRuntime(), theme=theme) as pilot:
        for digit in "1234":
            await pilot.press(digit)
            await pilot.pause(0.05)
        await pilot.press("2")
        await shows(pilot, "AAPL")
        assert pilot.app.theme == theme
        assert worst_contrast(pilot.app) >= least


@pytest.mark.parametrize(
    ("env", "theme"),
    [
        ({"TERM": "xterm", "COLORTERM": ""}, "ansi-dark"),
        ({"TERM": "dumb", "COLORTERM": ""}, "ansi-dark"),
        ({"NO_COLOR": "1"}, "ibtui-contrast"),
        ({"NO_COLOR": "1", "TERM": "xterm", "COLORTERM": ""}, "ibtui-contrast"),
    ],
)
async def test_poor_terminals(env: dict[str, str], theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR an ansi theme would be black on black."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    async with running(fakes.FakeRuntime()) as pilot:
        assert pilot.app.theme == theme
        await pilot.press("2")
        await shows(pilot, "▲+182.50", "▼-64.00")
        if "NO_COLOR" in env:
            assert worst_contrast(pilot.app) >= 3.0


def worst_contrast(app: app_module.IbtuiApp) -> float:
    """The lowest contrast ratio of any visible letter, filters applied."""
    worst = 21.0
    for strip in app.screen._compositor.render_strips():
        shown = strip.apply_filter(app._filters[-1], Color(0, 0, 0)) if app.no_color else strip
        for segment in shown:
            style = segment.style
            letters = segment.text.strip(" ─▄▁│")
            if not letters or style is None or style.color is None or style.bgcolor is None:
                continue
            front, back = (Color.from_rich_color(it) for it in (style.color, style.bgcolor))
            if style.reverse:
                front, back = back, front
            bright = [
                0.2126 * it.normalized[0] + 0.7152 * it.normalized[1] + 0.0722 * it.normalized[2]
                for it in (front, back)
            ]
            linear = sorted(value**2.2 + 0.05 for value in bright)
            worst = min(worst, linear[1] / linear[0])
    return worst


# Leaving -----------------------------------------------------------------------------


async def test_the_runtime_is_closed_however_the_app_ends() -> None:
    runtime = fakes.FakeRuntime()
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "● Brokerage")
    assert runtime.closed


def test_terminal_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as stdin:
        monkeypatch.setattr(sys, "__stdin__", stdin)
        assert not ending.terminal_gone()
        os.close(ours)
        assert ending.terminal_gone()
    assert ending.terminal_gone()


PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from ibtui.config import Settings
from ibtui.ui.app import IbtuiApp
from tests import fakes

class Runtime(fakes.FakeRuntime):
    async def close(self):
        open({mark!r}, "w").close()

async def make():
    return Runtime()

app = IbtuiApp(Settings(), make)
app.run()
sys.exit(app.return_code)
"""


@pytest.mark.parametrize(
    ("way", "status"), [("hangup", 129), ("close", 129), ("term", 143), ("detached", 129), ("quit", 0)]
)
def test_a_real_terminal_that_goes_away_ends_it(way: str, status: int, tmp_path: Path) -> None:
    """No spinning, the runtime is let go of, and the exit status says why."""
    mark = tmp_path / "closed"
    program = PROGRAM.format(root=str(Path(__file__).parents[2]), mark=str(mark))
    pid, master = pty.fork()
    if pid == 0:
        if way == "detached":  # no hang-up signal reaches it: only the end of input tells
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            program = "import signal\n" + program.replace(
                "app.run()", "from ibtui.ui import ending; ending.SIGNALS.clear(); app.run()"
            )
        os.environ.update(TERM="xterm-256color", COLUMNS="80", LINES="24")
        os.execv(sys.executable, [sys.executable, "-c", program])
    try:
        read_until(master, b"caught", 20)
        if way == "hangup":
            os.kill(pid, signal.SIGHUP)
        elif way == "term":
            os.kill(pid, signal.SIGTERM)
        elif way == "quit":
            os.write(master, b"qq")  # the second one answers what the first one asks: leave
        if way in ("close", "detached"):
            os.close(master)
            master = -1
        assert wait_for(pid, master, 15) == status
        assert mark.exists()
    finally:
        if master >= 0:
            os.close(master)


def read_until(master: int, words: bytes, seconds: float) -> None:
    """Read what the program paints until `words` came."""
    seen, end = b"", time.monotonic() + seconds
    while words not in seen:
        assert time.monotonic() < end, seen
        seen += os.read(master, 65536)


def wait_for(pid: int, master: int, seconds: float) -> int:
    """Its exit status; kills it after `seconds`."""
    if master >= 0:
        os.set_blocking(master, False)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if master >= 0:
            try:
                os.read(master, 65536)
            except OSError:
                pass
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("it was still running")


async def test_a_second_that_passes_while_a_page_is_being_made() -> None:
    """The clock ticks between a push and the page's first widgets: nothing to show it on, and no crash."""
    async with running(fakes.FakeRuntime(fakes.NOBODY)) as pilot:
        app = pilot.app
        app.verbs.open_wizard()
        assert not app.screen_stack[-1].is_mounted
        app._tick()
        app.action_toggle_privacy()
        await shows(pilot, "User name", "Password")
