"""OAuth's secrets are planted: they are in the profile's own folder and nowhere else, no screen either."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual import events

from ibtui import config, log, paths
from ibtui.profile import Addresses, Profile
from ibtui.ui.screens.oauth import OAuthScreen
from tests import fakes
from tests.conftest import Sim
from tests.headless.conftest import Run
from tests.headless.test_oauth_words import write_settings
from tests.pilot.driving import make_app, shows, text, until
from tests.unit.auth.oauth_tools import SECRET, TOKEN, put_files
from tools.terminal import family


def planted(sim: Sim) -> list[str]:
    """Pieces of everything secret in the simulator's registration."""
    data: dict[str, str] = json.loads(Path(sim.ready["oauth1"]).read_text())
    inside = [data[name].splitlines()[at] for name in ("signature", "encryption") for at in (3, 12)]
    return [data["accessToken"], data["accessTokenSecret"][20:80], *inside]


def below(folder: Path) -> dict[str, bytes]:
    own = paths.oauth_dir("default")
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and own not in path.parents
    }


def search(secrets: list[str], everything: dict[str, bytes]) -> None:
    for secret in secrets:
        for where, content in everything.items():
            assert secret.encode() not in content, f"{secret[:4]}… in {where}"


def test_commands_leave_no_secret_anywhere(run: Run, sim: Sim, own_folders: Path, tmp_path: Path) -> None:
    write_settings(sim)
    said: list[str] = []

    def note(*words: str) -> int:
        done = run(*words, "--debug")
        said.append(done.out + done.err)
        return done.code

    assert note("oauth", "configure", "--import", sim.ready["oauth1"]) == 0
    assert note("oauth", "configure", "--import", sim.ready["oauth1"], "--json") == 0
    assert note("oauth", "check") == 0
    for kind in ("garble", "cut", "status"):
        sim.control("faults", {"path": "/oauth/live_session_token", "kind": kind, "count": 1})
        assert note("oauth", "check") != 0
    mangled = json.loads(Path(sim.ready["oauth1"]).read_text())
    for change in (
        {"accessTokenSecret": mangled["accessTokenSecret"][:-9]},
        {"signature": "x"},
        {"dhPrime": "y"},
    ):
        path = tmp_path / "oauth1.json"
        path.write_text(json.dumps({**mangled, **change}))
        path.chmod(0o600)
        assert note("oauth", "configure", "--import", str(path)) == 2
        path.unlink()
    everything = {**below(own_folders), "stdout and stderr": "\n".join(said).encode()}
    assert any(name.endswith("ibtui.log") for name in everything), "there must be something to search"
    search(planted(sim), everything)
    for path in paths.data_dir().rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path == paths.oauth_dir("default").parent, path


def test_no_secret_is_in_a_command_line_or_environment(sim: Sim) -> None:
    write_settings(sim)
    sim.control("faults", {"path": "/oauth/live_session_token", "kind": "delay", "count": 1, "seconds": 0.7})
    words = [sys.executable, "-m", "ibtui", "oauth"]
    quiet: dict[str, Any] = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "env": dict(os.environ),
    }
    subprocess.run([*words, "configure", "--import", sim.ready["oauth1"]], timeout=30, check=True, **quiet)
    seen: dict[str, bytes] = {}
    with subprocess.Popen([*words, "check"], **quiet) as process:
        while process.poll() is None:
            for pid in family(process.pid):
                for name in ("cmdline", "environ"):
                    try:
                        seen[f"{pid}/{name}"] = Path(f"/proc/{pid}/{name}").read_bytes()
                    except OSError:
                        continue
            time.sleep(0.05)
    assert process.returncode == 0 and len(seen) >= 2
    search(planted(sim), seen)


async def test_the_screen_shows_and_logs_none(
    sim: Sim, own_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.set_up(paths.log_dir(), debug=True)
    app = make_app(fakes.FakeRuntime(profile=Profile(account_type="paper")))
    addresses = Addresses(api_host=sim.url, api_ca_file=str(sim.cert))
    app.settings = replace(app.settings, addresses=addresses, path=config.default_path())
    given = json.loads(Path(sim.ready["oauth1"]).read_text())
    pictures: list[str] = []
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.runtime is not None and app.busy is None)
        await pilot.press("6")
        await shows(pilot, "make them now")
        await pilot.press("i")
        app.screen.focused.post_message(events.Paste(str(Path(sim.ready["oauth1"]).parent)))  # type: ignore[union-attr]
        await pilot.press("enter")
        await shows(pilot, "The keys are here")
        pictures.append(text(app) + app.export_screenshot())
        await pilot.press("enter", "enter", "enter")
        await shows(pilot, "Generate Token")
        for name in ("accessToken", "accessTokenSecret"):
            assert app.screen.focused is not None
            app.screen.focused.post_message(events.Paste(given[name]))
            await pilot.pause()
            pictures.append(text(app) + app.export_screenshot() + repr(app.screen) + repr(app.screen.focused))
            await pilot.press("enter")
        await shows(pilot, "All fits together")
        pictures.append(text(app) + app.export_screenshot())
        # Something inside breaks while a secret is being typed: it is told, and not with the secret.
        assert isinstance(app.screen, OAuthScreen)
        monkeypatch.setattr(app.screen.setup, "look", lambda name, given: 1 / 0)
        await pilot.press("b")
        await shows(pilot, "secret are here")
        await pilot.press("e")
        await shows(pilot, "Generate Token")
        app.screen.set_focus(app.screen.query_one("#secret"))
        app.screen.focused.post_message(events.Paste(SECRET))  # type: ignore[union-attr]
        await shows(pilot, "ZeroDivisionError")
        pictures.append(text(app) + app.export_screenshot())
    everything = {**below(own_folders), "the screen": "\n".join(pictures).encode()}
    assert any(name.endswith("ibtui.log") for name in everything)
    search([*planted(sim), SECRET[20:60], TOKEN], everything)


def test_a_name_that_leads_out_of_the_folder_is_refused(run: Run, tmp_path: Path) -> None:
    for words in (("keygen",), ("configure", "--import", str(put_files(tmp_path / "pem")))):
        done = run("oauth", *words, "--profile", "../../escape")
        assert done.code == 2 and "cannot be a profile's name" in done.err


def test_a_profile_that_is_not_in_the_settings_yet_can_be_registered(run: Run, sim: Sim) -> None:
    write_settings(sim)
    done = run("oauth", "configure", "--import", sim.ready["oauth1"], "--profile", "direct", "--json")
    assert done.code == 0 and done.json["profile"] == "direct"
    assert (paths.oauth_dir("direct") / "oauth1.json").exists()
