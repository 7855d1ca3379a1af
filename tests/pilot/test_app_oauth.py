"""The OAuth configurator on the screen: by keys alone, left and resumed, nothing secret in sight."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from ibtui import config, paths
from ibtui.profile import Addresses, Profile
from ibtui.service import keymaking
from ibtui.service.answers.fixed import ReadyAnswers
from ibtui.ui.app import IbtuiApp
from ibtui.ui.screens.oauth_steps import LongSecretInput
from tests import fakes
from tests.conftest import Sim
from tests.pilot.driving import make_app, running, shows, text, until
from tests.unit.auth.oauth_tools import (
    CONSUMER,
    DHPARAM,
    ENCRYPTION,
    KEYS,
    SECRET,
    SIGNATURE,
    TOKEN,
    mapping,
    put_files,
)

HELD_S = 0.05
"""The longest the screen may be held."""


@pytest.fixture
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child says at once what it made: the keys of the vectors."""
    ready = {"signature": SIGNATURE, "encryption": ENCRYPTION, "dhparam": DHPARAM}
    said = [{"making": step} for step in keymaking.STEPS] + [ready]
    code = "\n".join(f"print({json.dumps(it)!r}, flush=True)" for it in said)
    monkeypatch.setattr(keymaking, "CHILD", (sys.executable, "-c", code))


async def paste(pilot: Pilot[Any], given: str) -> None:
    assert pilot.app.screen.focused is not None
    pilot.app.screen.focused.post_message(events.Paste(given))
    await pilot.pause()


async def import_keys(pilot: Pilot[Any], source: Path) -> None:
    await pilot.press("6")
    await shows(pilot, "make them now")
    await pilot.press("i")
    await shows(pilot, "as openssl made them")
    await paste(pilot, str(source))
    await pilot.press("enter")


async def test_from_nothing_to_oauth1_json_by_keys_alone(quick_keys: None, tmp_path: Path) -> None:
    async with running(fakes.FakeRuntime()) as pilot:
        await pilot.press("6")
        await shows(pilot, "1 Keys ▸", "without the gateway, for default", "make them now")
        await pilot.press("enter")
        await shows(pilot, "The keys are here", "1 Keys ✓", "leave whenever you like")
        await pilot.press("enter")
        await shows(pilot, "2 Portal ▸", "action=OAUTH", "Enabled", "invalid consumer")
        copied = watch_clipboard(pilot.app)
        await pilot.press("y", "p")
        assert len(copied[0]) == 9 and "action=OAUTH" in copied[1]
        pilot.app.clear_notifications()  # they lie over what is read here
        await pilot.press("e")
        await pilot.press(*"testvect")
        await shows(pilot, "this has 8")
        await pilot.press("enter")
        await shows(pilot, "▲ The consumer key has nine letters")
        await pilot.press("a")
        await shows(pilot, "✓ nine letters")
        await pilot.press("enter")
        await shows(pilot, "Consumer key   TESTVECTA", "it is saved there")
        await pilot.press("enter")
        await shows(pilot, "3 Upload ▸", "Never upload a file called private_")
        await pilot.press("down", "v")
        await shows(pilot, "public_encryption.pem", "BEGIN PUBLIC KEY")
        await pilot.press("y", "escape", "y")
        assert copied[2] == copied[3] == KEYS["encryption_public_pem"]
        pilot.app.clear_notifications()
        await pilot.press("w")
        await shows(pilot, "for a browser to find")
        await pilot.press("ctrl+u")
        await paste(pilot, str(tmp_path / "up"))
        await pilot.press("enter")
        await shows(pilot, "✓ The three public files are in")
        assert len(list((tmp_path / "up").iterdir())) == 3
        await pilot.press("enter")
        await type_secrets(pilot)
        await shows(pilot, "All fits together", "5 Check ✓", "ibkr-client reads the same file")
        await pilot.press("enter")
        await shows(pilot, "Live test", "ibtui oauth check")
        await pilot.press("b", "b")
        await shows(pilot, "secret are here")
        await pilot.press("e")
        await shows(pilot, "Generate Token")
        await pilot.press("escape")
        await shows(pilot, "secret are here")
        await pilot.press("b")
        await shows(pilot, "3 Upload ✓", "Never upload")
        await pilot.press("enter", "enter")
        await shows(pilot, "see whether all fits")
        await pilot.press("enter")
        await shows(pilot, "All fits together")
    written = json.loads((paths.oauth_dir("default") / "oauth1.json").read_text())
    assert (written["consumerKey"], written["accessTokenSecret"]) == (CONSUMER, SECRET)


async def type_secrets(pilot: Pilot[Any]) -> None:
    await shows(pilot, "4 Secrets ▸", "Generate Token")
    await paste(pilot, TOKEN[:10])
    await shows(pilot, "this has 10")
    await pilot.press(*TOKEN[10:])
    await shows(pilot, "✓ 20 digits")
    await pilot.press("enter")
    await paste(pilot, SECRET[:129])
    await shows(pilot, "129 characters", "344")
    await pilot.press("enter")
    await shows(pilot, "▲ The access token secret has 129")
    await pilot.press("ctrl+u")
    await paste(pilot, f"{SECRET[:100]}\r\n{SECRET[100:]}\n")
    await shows(pilot, "our encryption key opens it")
    assert SECRET[:20] not in text(pilot.app) and TOKEN not in text(pilot.app)
    await pilot.press("enter")


def watch_clipboard(app: IbtuiApp) -> list[str]:
    copied: list[str] = []
    app.copy_to_clipboard = copied.append  # type: ignore[method-assign]
    return copied


async def test_it_resumes_where_it_was_left(tmp_path: Path) -> None:
    async with running(fakes.FakeRuntime()) as pilot:
        await import_keys(pilot, put_files(tmp_path / "pem"))
        await shows(pilot, "The keys are here")
        await pilot.press("enter")
        await shows(pilot, "Consumer key ")
        await pilot.press("1")
        await shows(pilot, "Keep-alive")
        await pilot.press("6")
        await shows(pilot, "2 Portal ▸")
    async with running(fakes.FakeRuntime()) as pilot:
        await pilot.press("6")
        await shows(pilot, "2 Portal ▸", "it is saved there")
        await pilot.press("b")
        await shows(pilot, "The keys are here")
        await pilot.press("n")
        await shows(pilot, "Begin a new registration for default?")
        await pilot.press("escape", "n")
        await pilot.press("y")
        await shows(pilot, "make them now")
    assert (paths.oauth_dir("default") / "setup-1.json").exists()


async def test_a_whole_registration_is_imported_and_checked_at_once(tmp_path: Path) -> None:
    source = tmp_path / "oauth1.json"
    source.write_text(json.dumps(mapping()))
    source.chmod(0o644)
    async with running(fakes.FakeRuntime()) as pilot:
        await import_keys(pilot, source)
        await shows(pilot, "All fits together", "▲ Others could read", "chmod 600")
        assert SECRET[:20] not in text(pilot.app) and TOKEN not in text(pilot.app)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"accessTokenSecret": SECRET[:129]}, ("129 characters", "cut off")),
        ({"signature": ENCRYPTION, "encryption": SIGNATURE}, ("The two keys are swapped",)),
        ({"signature": KEYS["signature_public_pem"]}, ("there is a public key",)),
    ],
)
async def test_a_wrong_import_is_named(
    tmp_path: Path, changed: dict[str, str], words: tuple[str, ...]
) -> None:
    source = tmp_path / "oauth1.json"
    source.write_text(json.dumps(mapping(**changed)))
    source.chmod(0o600)
    async with running(fakes.FakeRuntime()) as pilot:
        await import_keys(pilot, source)
        await shows(pilot, *words)


async def test_a_setup_that_cannot_be_read_is_told_and_can_be_begun_anew() -> None:
    folder = paths.oauth_dir("default")
    folder.mkdir(parents=True)
    (folder / "setup.json").write_text("{")
    (folder / "setup.json").chmod(0o600)
    async with running(fakes.FakeRuntime()) as pilot:
        await pilot.press("6")
        await shows(pilot, "is not a JSON object", "n new registration")
        await pilot.press("enter", "b", "e", "y", "v", "w", "m", "o", "i", "escape")  # nothing to do yet
        await pilot.press("n")
        await shows(pilot, "Begin a new registration")
        await pilot.press("y")
        await shows(pilot, "make them now")


async def test_the_search_never_holds_the_screen_and_stops_at_once() -> None:
    """Counted in CPU time of this process, so that a busy machine does not count: what holds the
    screen is work between two beats of the event loop, in whichever thread it has the lock.
    """
    async with running(fakes.FakeRuntime()) as pilot:
        await pilot.press("6")
        await shows(pilot, "make them now")
        beats, stop = [], asyncio.Event()

        async def heart() -> None:
            last = time.process_time()
            while not stop.is_set():
                await asyncio.sleep(0.005)
                now = time.process_time()
                beats.append(now - last)
                last = now

        beating = asyncio.get_running_loop().create_task(heart())
        await pilot.press("enter")
        await shows(pilot, "◐ the Diffie-Hellman parameters")
        await asyncio.sleep(1.0)
        began = time.monotonic()
        await pilot.press("escape")
        await shows(pilot, "Stopped; nothing was made")
        stop.set()
        await beating
        assert time.monotonic() - began < 2
        assert len(beats) > 50 and max(beats) < HELD_S, max(beats)
    assert not (paths.oauth_dir("default") / "keys").exists()


# Against the simulator ------------------------------------------------------------------------


def direct(sim: Sim, **more: Any) -> IbtuiApp:
    """The app over a fake runtime, with the simulator as IBKR's API host."""
    profile = Profile(account_type="paper", **more)
    app = make_app(fakes.FakeRuntime(profile=profile))
    addresses = Addresses(api_host=sim.url, api_ca_file=str(sim.cert))
    app.settings = replace(app.settings, addresses=addresses, path=config.default_path())
    return app


async def live(app: IbtuiApp, act: Callable[[Pilot[Any]], Any]) -> None:
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.runtime is not None and app.busy is None)
        await act(pilot)


async def test_the_live_test_and_the_switch(sim: Sim) -> None:
    async def act(pilot: Pilot[Any]) -> None:
        await import_keys(pilot, Path(sim.ready["oauth1"]))
        await shows(pilot, "All fits together")
        await pilot.press("enter")
        await shows(pilot, "test it now")
        await pilot.press("enter")
        await shows(pilot, "✓ Accounts", "The registration works", 'mode = "oauth1"', "6 Live test ✓")
        await pilot.press("m")
        await shows(pilot, "✓ Written to")

    await live(direct(sim), act)
    assert config.load().chosen().mode == "oauth1"


async def test_a_fresh_registration_is_not_active_yet(sim: Sim) -> None:
    key = json.loads(Path(sim.ready["oauth1"]).read_text())["consumerKey"]
    sim.control("oauth", {"action": "deactivate", "consumer_key": key})

    async def act(pilot: Pilot[Any]) -> None:
        await import_keys(pilot, Path(sim.ready["oauth1"]))
        await shows(pilot, "All fits together")
        await pilot.press("enter", "enter")
        await shows(pilot, "✕ Token", "not active yet", "was saved at IBKR", "test again")
        sim.control("oauth", {"action": "activate", "consumer_key": key})
        await pilot.press("enter")
        await shows(pilot, "The registration works")

    await live(direct(sim), act)


async def test_the_demo_asks_its_own_simulator(sim: Sim, tmp_path: Path) -> None:
    ready = tmp_path / "demo" / "ready.json"
    ready.parent.mkdir()

    async def act(pilot: Pilot[Any]) -> None:
        pilot.app.runtime.unattended = lambda: ReadyAnswers(ready)
        await pilot.press("6")
        await shows(pilot, "make them now")
        await pilot.press("i")
        await pilot.press("escape")
        await pilot.press("1", "6")
        ready.write_text(json.dumps(sim.ready))
        pilot.app.screen.query_one("#source").value = sim.ready["oauth1"]
        await pilot.press("i", "enter")
        await shows(pilot, "All fits together", str(ready.parent)[:40])
        ready.unlink()
        await pilot.press("enter", "enter")
        await shows(pilot, "The demo's simulator is not running")
        ready.write_text(json.dumps(sim.ready))
        await pilot.press("enter")
        await shows(pilot, "The registration works", "the demo's own simulator")
        await pilot.press("m")
        assert "use it" not in text(pilot.app)

    app = direct(sim, mode="demo")
    app.settings = replace(app.settings, addresses=Addresses(api_host="https://127.0.0.1:9"))
    await live(app, act)
    assert not paths.oauth_dir("default").exists()
    assert not config.default_path().exists()


async def test_the_demo_offers_its_own_registration(sim: Sim, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    ready.write_text(json.dumps(sim.ready))

    async def act(pilot: Pilot[Any]) -> None:
        pilot.app.runtime.unattended = lambda: ReadyAnswers(ready)
        await pilot.press("6")
        await shows(pilot, "there is one:")
        await pilot.press("i", "enter")
        await shows(pilot, "All fits together")

    await live(direct(sim, mode="demo"), act)


async def test_oauth2_values_are_checked_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IBIND_OAUTH2_CLIENT_KEY_ID", "theirs")
    key = tmp_path / "key.pem"
    key.write_text(SIGNATURE)
    key.chmod(0o600)
    app = make_app(fakes.FakeRuntime())
    app.settings = replace(app.settings, path=config.default_path())
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.runtime is not None and app.busy is None)
        await pilot.press("6")
        await shows(pilot, "make them now")
        await pilot.press("o")
        await shows(pilot, "OAuth 2.0", "Not certain", "Client id")
        await paste(pilot, "TESTCLIENT")
        await pilot.press("enter", "enter")
        await paste(pilot, "demo456")
        await pilot.press("enter")
        await paste(pilot, str(key))
        await pilot.press("enter")
        await paste(pilot, "192.168.1.7")
        await pilot.press("enter")
        await shows(pilot, "inside your own network")
        await pilot.press("ctrl+u")
        await paste(pilot, "8.8.8.8")
        await pilot.press("enter")
        await shows(pilot, "✓ Written to")
        await pilot.press("escape")
        await shows(pilot, "make them now")
    found = config.load().chosen()
    assert (found.mode, found.oauth2_client_id, found.oauth2_ip) == ("oauth2", "TESTCLIENT", "8.8.8.8")
    assert found.oauth2_key_id == "theirs"


async def test_the_help_page_and_the_palette_name_it() -> None:
    async with running(fakes.FakeRuntime()) as pilot:
        await pilot.press("6")
        await shows(pilot, "make them now")
        await pilot.press("question_mark")
        await shows(pilot, "Write the public files to a folder")
        await pilot.press("escape")
        names = [command.title for command in pilot.app.get_system_commands(pilot.app.screen)]
        assert "Go to OAuth" in names and "Import keys or a registration made elsewhere" in names


def test_a_pasted_secret_is_seen_by_nobody() -> None:
    field = LongSecretInput()
    field.add(SECRET)
    assert SECRET[:10] not in repr(field) + repr(field.peek())
    assert base64.b64decode(field.peek().reveal())
