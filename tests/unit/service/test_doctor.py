"""Each link of the chain is judged by what is there; nothing is changed and no secret read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ibtui import paths
from ibtui.config import Profile, Settings, Source
from ibtui.core.models import Keeping, Lamp, LoginFacts
from ibtui.errors import UsageError
from ibtui.service import doctor
from tests import fakes
from tests.unit.gateway.install_zips import jar


def settings(**keys: Any) -> Settings:
    return Settings(profiles={"default": Profile(**keys)})


def states(found: Any) -> dict[str, str]:
    return {one.link: one.state for one in found}


async def test_a_chain_that_holds() -> None:
    runtime = fakes.FakeRuntime()
    runtime.keeping = Keeping(mode="on", shared=True)
    found = await doctor.look(settings(gateway_url="https://gw.example:5000"), runtime)
    assert not [one for one in found if one.state in ("warn", "broken")], found
    assert [one.link for one in found][-5:] == ["gateway", "login", "brokerage", "keep-alive", "attempts"]


async def test_auth_data_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text("[]")
    (tmp_path / "data.json").chmod(0o600)
    tmp_path.chmod(0o700)
    (one,) = doctor.auth_data(Profile(username="joe", data_store_path=str(tmp_path)))
    assert one.state == "broken" and "data.json" in one.text and one.fix
    assert not [*doctor.auth_data(Profile(username="joe"))] and not [*doctor.auth_data(Profile())]


async def test_a_setting_that_cannot_be_used_hides_nothing_else(tmp_path: Path) -> None:
    class Refusing(fakes.FakeRuntime):
        async def refresh(self) -> Any:
            raise UsageError("/x is a pipe, not a file.", "Correct ca_file.")

    found = await doctor.look(settings(gateway_url="https://gw.example:5000"), Refusing())
    assert doctor.Finding("settings", "broken", "/x is a pipe, not a file.", "Correct ca_file.") in found
    assert "attempts" in states(found)
    secret = Profile(password=Source(file="/dev/zero"), totp_secret=Source(file=str(tmp_path)))
    assert {one.text for one in doctor.sources(secret)} == {"/dev/zero is no file", f"{tmp_path} is no file"}


async def test_a_user_name_that_is_guarded_twice(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "store")
    (tmp_path / "store").mkdir(mode=0o700)
    profiles = {
        "a": Profile(name="a", username="Joe"),
        "b": Profile(name="b", username="joe", data_store_path=str(tmp_path / "store")),
        "c": Profile(name="c", username="joe", data_store_path=str(link)),
        "d": Profile(name="d", username="ann", data_store_path=str(tmp_path / "other")),
        "e": Profile(name="e", username="ann", mode="oauth1"),
        "f": Profile(name="f"),
    }
    (one,) = doctor.guarded_twice(Settings(profiles=profiles))
    assert one.state == "warn" and "data_store_path" in one.fix
    assert f"{tmp_path}/store/data.json (profile b, c)" in one.text and "(profile a)" in one.text
    assert str(paths.data_dir()) in one.text and "of Joe" in one.text
    same = {name: profiles[name] for name in "bcd"}
    assert not [*doctor.guarded_twice(Settings(profiles=same))]
    runtime = fakes.FakeRuntime()
    found = await doctor.look(Settings(profile="a", profiles=profiles), runtime)
    assert one in found


async def test_nothing_installed_and_no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {one.link: one for one in await doctor.program(Profile(gateway_dir=str(tmp_path)))}
    assert found["installation"].state == "broken" and "ibtui gateway install" in found["installation"].fix
    for part in ("root", "dist", "build/lib/runtime"):
        (tmp_path / part).mkdir(parents=True)
    (tmp_path / "dist/ibgroup.web.core.iblink.router.clientportal.gw.jar").write_bytes(jar("2020-01-02"))
    (tmp_path / "build/lib/runtime/x.jar").write_bytes(b"")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    found = {one.link: one for one in await doctor.program(Profile(gateway_dir=str(tmp_path)))}
    assert (found["installation"].state, found["java"].state) == ("warn", "broken")
    assert "more than a year" in found["installation"].text
    assert "none was found" in found["java"].text and "Install" in found["java"].fix
    assert states(await doctor.program(Profile())) == {"program": "ok"}
    assert states(await doctor.program(Profile(gateway_command=("x", "y")))) == {"program": "ok"}


def test_who_can_reach_the_gateway(tmp_path: Path) -> None:
    ours = Profile(gateway_dir=str(tmp_path))
    (alone,) = doctor.reach(ours)
    assert alone.state == "ok" and "this machine alone" in alone.text
    (wide,) = doctor.reach(Profile(gateway_dir=str(tmp_path), allowed_addresses=("172.17.*",)))
    assert wide.state == "warn" and "172.17.*" in wide.text and "every interface" in wide.text
    (far,) = doctor.reach(Profile(gateway_url="https://gw.example:5000"))
    (theirs,) = doctor.reach(Profile())
    assert (far.state, theirs.state) == ("note", "note") and "cors" in theirs.text
    conf = paths.run_dir("default") / "conf.yaml"
    conf.parent.mkdir(parents=True)
    conf.write_text("")
    conf.chmod(0o644)
    loose, _ = doctor.reach(ours)
    assert loose.state == "warn" and loose.fix == f"Run: chmod 600 '{conf}'"


def test_folders_are_private() -> None:
    assert states(doctor.folders()) == {"data folder": "ok", "state folder": "ok"}
    paths.private(paths.data_dir() / "auth")
    assert paths.data_dir().stat().st_mode & 0o777 == 0o700, "also what was missing above it"
    assert states(doctor.folders())["data folder"] == "ok"
    paths.data_dir().chmod(0o755)
    assert states(doctor.folders())["data folder"] == "warn"


def test_a_variable_that_sets_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IBTUI_UI_THEEM", "x")
    found = [*doctor.settings_of(settings())]
    assert [one.state for one in found] == ["ok", "warn"] and "IBTUI_UI_THEEM" in found[1].text


def test_attempts_and_ib_key() -> None:
    def look(**facts: Any) -> dict[str, str]:
        return states(doctor.attempts(Profile(), LoginFacts(**facts)))

    soon = datetime.now(UTC) + timedelta(minutes=3)
    assert look() == {"attempts": "ok"}
    assert look(attempts=4) == {"attempts": "broken"}
    assert look(attempts=1, wait_until=soon, logins_left=60) == {"attempts": "warn", "IB Key": "ok"}
    assert look(logins_left=3)["IB Key"] == "warn"
    assert look(logins_left=60, unfinished=soon)["IB Key"] == "warn"
    assert [*doctor.attempts(Profile(mode="oauth1"), LoginFacts())] == []


def test_sources_are_judged_without_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "pw"
    monkeypatch.setenv("THERE", "planted")
    cases = {
        Source(command=("no-such-program", "x")): "no-such-program is no program",
        Source(env="NOT_THERE"): "NOT_THERE is not set",
        Source(file=str(secret)): "does not exist",
    }
    for source, text in cases.items():
        (found,) = doctor.sources(Profile(password=source))
        assert found.state == "broken" and text in found.text
    secret.write_text("planted")
    secret.chmod(0o644)
    (found,) = doctor.sources(Profile(password=Source(file=str(secret))))
    assert found.state == "broken" and "chmod 600" in found.fix
    secret.chmod(0o600)
    fine = Profile(password=Source(file=str(secret)), totp_secret=Source(env="THERE"), hook=("no-such-hook",))
    all_ = [*doctor.sources(fine)]
    assert states(all_) == {"hook": "warn", "password": "ok", "totp secret": "ok"}
    assert "planted" not in str(all_)


@pytest.mark.parametrize(
    ("keeping", "profile", "state"),
    [
        (Keeping(mode="on", shared=True), Profile(), "ok"),
        (Keeping(mode="person", why="a code", shared=True), Profile(), "warn"),
        (Keeping(mode="on"), Profile(), "note"),
        (Keeping(), Profile(keep_alive=False), "note"),
    ],
)
def test_the_keep_alive(keeping: Keeping, profile: Profile, state: str) -> None:
    assert doctor.keep_alive(profile, keeping).state == state


def test_a_keep_alive_that_waits_for_another_program_names_the_way_to_take_over() -> None:
    found = doctor.keep_alive(Profile(), Keeping(mode="person", why="held", shared=True), contested=True)
    assert "--take-over" in found.fix


def test_lamps_are_links() -> None:
    assert doctor.lamp("login", Lamp(state="off", reason="nobody", fix="log in")).state == "broken"
    assert "link before" in doctor.lamp("login", Lamp()).text


def test_an_ib_key_that_lies_in_a_variable_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IB_AUTH_OCRA_SECRET", "ab" * 20)
    (_, found) = doctor.attempts(Profile(), LoginFacts(limit=4))
    assert (found.link, found.state) == ("IB Key", "warn") and "ab" * 20 not in found.text
    assert "IB_AUTH_OCRA_SECRET is set" in found.text and "ibtui ibkey import --counter" in found.fix
    (_, found) = doctor.attempts(Profile(), LoginFacts(limit=4, logins_left=50))
    assert found.state == "ok", "a key is enrolled here: the variable does not matter"
    monkeypatch.setenv("IB_AUTH_OCRA_SECRET", " ")
    assert len(list(doctor.attempts(Profile(), LoginFacts(limit=4)))) == 1
