"""Settings: layers, origins, and complaints that name file, key and the nearest known key."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from ibtui import config
from ibtui.config import Addresses, Profile, Serve, Settings, Source, Ui, load
from ibtui.errors import UsageError


def write(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_the_example_is_the_defaults_key_for_key() -> None:
    example = tomllib.loads(config.example_text())
    plain = {"profile": Settings().profile, "ui": table(Ui()), "addresses": table(Addresses())}
    plain["serve"] = table(Serve())
    assert example == {**plain, "profiles": {"default": table(Profile())}}


def table(section: object) -> dict[str, object]:
    values = {f.name: getattr(section, f.name) for f in fields(section) if f.name != "name"}  # type: ignore[arg-type]
    return {key: plain(value) for key, value in values.items()}


def plain(value: object) -> object:
    if isinstance(value, Source):
        return {how: plain(getattr(value, how)) for how in ([value.kind] if value else [])}
    return list(value) if isinstance(value, tuple) else value


def test_the_example_loads_as_it_is(tmp_path: Path) -> None:
    settings = load(write(tmp_path, config.example_text()), env={})
    assert settings.profiles["default"] == Profile()
    assert settings.ui == Ui()


def test_later_layers_win_and_each_value_knows_its_origin(tmp_path: Path) -> None:
    path = write(tmp_path, 'profile = "live"\n[ui]\nrefresh_hz = 4\n[profiles.live]\nusername = "a"\n')
    env = {"IBTUI_UI_REFRESH_HZ": "5", "IBTUI_PROFILES_LIVE_TRADING": "true", "HOME": "/"}
    settings = load(path, env=env, flags={"profiles.live.username": "b"})
    assert settings.chosen().username == "b"
    assert settings.chosen().trading is True
    assert settings.ui.refresh_hz == 5
    assert settings.origins["profile"] == f"file {path}"
    assert settings.origins["ui.refresh_hz"] == "environment IBTUI_UI_REFRESH_HZ"
    assert settings.origins["profiles.live.username"] == "flag"
    assert "ui.theme" not in settings.origins


def test_an_environment_variable_names_a_dashed_profile(tmp_path: Path) -> None:
    path = write(tmp_path, "[profiles.paper-two]\n")
    settings = load(path, env={"IBTUI_PROFILES_PAPER_TWO_GATEWAY_URL": "https://localhost:5001"})
    assert settings.profiles["paper-two"].gateway_url == "https://localhost:5001"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[ui]\ntheem = 'x'\n", "ui.theem.*did you mean 'theme'"),
        ("[uii]\n", "unknown key 'uii'.*did you mean 'ui'"),
        ("[ui]\nrefresh_hz = 'fast'\n", "ui.refresh_hz: must be a whole number"),
        ("[ui]\nrefresh_hz = 0\n", "from 1 to 60"),
        ("[ui]\nprivacy = 3\n", "ui.privacy: must be true or false"),
        ("ui = 3\n", "ui must be a table"),
        ("[profiles]\nx = 1\n", "profiles.x must be a table"),
        ("[profiles.a]\nmode = 'gatway'\n", "mode: must be one of .*did you mean 'gateway'"),
        ("[profiles.a]\naccount_type = 'demo'\n", "paper, live"),
        ("[profiles.a]\ngateway_url = 'localhost:5000'\n", "must look like https"),
        ("[profiles.a]\ngateway_url = 'http://10.0.0.1:5000'\n", "in clear"),
        ("[profiles.a]\nfingerprint = 'abc'\n", "64 hex digits"),
        ("[profiles.a]\ngateway_command = 'run me'\n", "a list of texts"),
        ("profiles = 3\n", "profiles must be tables"),
        ("[profiles.'../x']\n", "'../x' cannot be a profile's name"),
        ("[profiles.a]\ngateway_url = 'https://localhost:port'\n", "must look like https"),
        ("[profiles.a]\nupstream = 'api.ibkr.com'\n", "upstream: must look like https"),
        ("[profiles.a]\nproxy = 'proxy:3128'\n", "proxy: must look like http"),
        ("[addresses]\napi_host = 'x'\n", "addresses.api_host: must look like https"),
        (f"[profiles.a]\nfingerprint = '{'z' * 64}'\n", "64 hex digits"),
        ("not toml", "is not TOML"),
        ("[profiles.a]\ncompete = true\n", "did you mean 'competing'"),
        ("[profiles.a]\ncompeting = 'takes'\n", "ask, yield, take .did you mean 'take'"),
        ("[profiles.a]\nmax_counter = 101\n", "max_counter: must be from 3 to 100"),
        ("[profiles.a]\nmax_attempts = 0\n", "from 1 to 10"),
        ("[profiles.a]\nsecond_factor = 'smss'\n", "sms, ibkey, totp"),
        ("[profiles.a]\nallowed_addresses = ['*']\n", "breaks the gateway: it answers 500"),
        ("[profiles.a]\nallowed_addresses = ['172.17.0.0/16']\n", "does not understand the range.*172.17"),
        ("[profiles.a]\nallowed_addresses = ['localhost']\n", "'localhost' is not an IPv4 address"),
        ("[profiles.a]\nallowed_addresses = ['300.1.1.1']\n", "is not an IPv4 address"),
        ("[profiles.a]\nallowed_addresses = ['1.2.3.4.*']\n", "is not an IPv4 address"),
        ("[profiles.a]\nallowed_addresses = ['::1']\n", "is not an IPv4 address"),
        ("[profiles.a]\nregion = 'USA'\n", "two letters"),
        ("[profiles.a]\nyield_minutes = 0\n", "yield_minutes: must be from 1 to 1440"),
        ("[profiles.a]\nrelogin = 'yes'\n", "relogin: must be one of off, source, memory"),
        ("[serve]\nport = 70000\n", "serve.port: must be a port"),
        ("[serve]\nhost = ''\n", "serve.host: must be an address"),
        ("[profiles.a.password]\ncomand = ['pass']\n", "password.comand.*did you mean 'command'"),
        ("[profiles.a.password]\ncommand = ['pass']\nenv = 'X'\n", "command and env: only one"),
        ("[profiles.a]\nhook = ['']\n", "line 2: profiles.a.hook: must begin with a program"),
        ("[profiles.a]\nhook = [' ', 'x']\n", "hook: must begin with a program"),
        ("[profiles.a]\ngateway_command = ['']\n", "gateway_command: must begin with a program"),
        (
            "[profiles.a]\n\n[profiles.a.password]\ncommand = ['']\n",
            "line 4: profiles.a.password.command: must begin with a program",
        ),
        ("[profiles.a.totp_secret]\nfile = 3\n", "totp_secret.file: must be a text"),
    ],
)
def test_mistakes_are_told_with_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=words) as caught:
        load(path, env={})
    assert str(path) in caught.value.what
    assert caught.value.fix
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# [ui]\n[ui]\n\nprivacy = 3\n", "line 4: ui.privacy"),
        ("ui.privacy = 3\n", "line 1: ui.privacy"),
        ("[ ui ]\nmouse = true\n  'privacy'=3 # [x]\n", "line 3: ui.privacy"),
        ("[profiles.a]\nprivacy = 1\n", "line 2: profiles.a.privacy"),
        ("[profiles.a]\npassword = {comand = ['x']}\n", "line 2: profiles.a.password.comand"),
        ("[profiles.a.password]\nfile = 'x'\nenv = 'y'\n", "line 1: profiles.a.password"),
        ("\nx = 3\n", "line 2: x: unknown key"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(write(tmp_path, text), env={})
    assert words in caught.value.what


def test_what_the_environment_sets_has_no_line(tmp_path: Path) -> None:
    path = write(tmp_path, "[ui]\nrefresh_hz = 3\n")
    with pytest.raises(UsageError, match="environment IBTUI_UI_REFRESH_HZ: ui.refresh_hz: must be"):
        load(path, env={"IBTUI_UI_REFRESH_HZ": "x"})


def test_plain_http_is_fine_on_loopback_or_when_asked_for(tmp_path: Path) -> None:
    text = "[profiles.a]\ngateway_url = 'http://127.0.0.1:5000'\n"
    text += "[profiles.b]\ngateway_url = 'http://10.0.0.1:5000'\ninsecure_http = true\n"
    assert set(load(write(tmp_path, text), env={}).profiles) == {"a", "b"}


def test_a_file_others_may_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Others may write") as caught:
        load(write(tmp_path, "", 0o666), env={})
    assert "chmod go-w" in caught.value.fix


def test_a_named_file_must_exist_but_the_usual_one_need_not(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path / "none.toml", env={})
    with pytest.raises(UsageError, match="cannot be read"):
        load(env={"IBTUI_CONFIG": str(tmp_path / "none.toml")})


def test_an_unknown_profile_names_the_nearest(tmp_path: Path) -> None:
    settings = load(write(tmp_path, "[profiles.paper]\n"), env={}, flags={"profile": "papr"})
    with pytest.raises(UsageError, match=r"'papr' \(did you mean 'paper'\?\)"):
        settings.chosen()


def test_the_only_profile_is_the_chosen_one(tmp_path: Path) -> None:
    assert load(write(tmp_path, "[profiles.paper]\n"), env={}).chosen().name == "paper"


def test_a_secret_in_the_settings_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"password: must be a table") as caught:
        load(write(tmp_path, "[profiles.a]\npassword = 'Planted-4711'\n"), env={})
    assert "Planted" not in str(caught.value)


def test_sources_from_the_environment_stay_where_they_are(tmp_path: Path) -> None:
    path = write(
        tmp_path, "[profiles.a.password]\ncommand = ['pass']\n[profiles.a.totp_secret]\nfile = '/x'\n"
    )
    env = {"IBTUI_PROFILES_A_PASSWORD": "Planted-4711", "IBTUI_PROFILES_A_TOTP_SECRET_FILE": "/y"}
    profile = load(path, env=env).chosen()
    assert profile.password == Source(env="IBTUI_PROFILES_A_PASSWORD")
    assert profile.totp_secret == Source(file="/y")
    assert "Planted" not in repr(load(path, env=env))


NODE = {
    "IB_GATEWAY_SCHEME": "https://",
    "IB_GATEWAY_PORT": "5055",
    "IB_GATEWAY_DATA_STORE_PATH": "/var/lib/ib",
    "IB_AUTH_MAX_ATTEMPTS": "3",
    "IB_AUTH_USE_IBKEY": "1",
    "IB_AUTH_MAX_COUNTER": "90",
    "IB_AUTH_TWILIO_ACCOUNT_SID": "AC1",
    "IB_AUTH_TWILIO_AUTH_TOKEN": "Planted-4711",
}


def test_variables_of_the_node_service_are_other_names() -> None:
    settings = load(env=NODE)
    profile = settings.chosen()
    assert profile.gateway_url == "https://localhost:5055"
    assert (profile.data_store_path, profile.max_attempts, profile.max_counter) == ("/var/lib/ib", 3, 90)
    assert profile.use_ibkey is True and profile.twilio_sid == "AC1"
    assert profile.twilio_token == Source(env="IB_AUTH_TWILIO_AUTH_TOKEN")
    assert settings.origins["profiles.default.max_attempts"] == "environment IB_AUTH_MAX_ATTEMPTS"
    assert "Planted" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "on"), [("false", False), ("0", False), ("off", False), ("true", True), ("x", True)]
)
def test_false_means_false(text: str, on: bool) -> None:
    assert load(env={"IB_AUTH_USE_IBKEY": text}).chosen().use_ibkey is on


def test_a_counter_over_100_is_refused_and_names_the_variable() -> None:
    with pytest.raises(UsageError, match="IB_AUTH_MAX_COUNTER.*refuses the counter 100"):
        load(env={"IB_AUTH_MAX_COUNTER": "101"})


def test_our_own_variables_beat_the_node_services_and_those_beat_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[profiles.a]\nmax_attempts = 2\nmax_counter = 50\n")
    env = {**NODE, "IBTUI_PROFILES_A_MAX_ATTEMPTS": "5"}
    profile = load(path, env=env).chosen()
    assert (profile.max_attempts, profile.max_counter) == (5, 90)


def test_the_demo_ignores_them(tmp_path: Path) -> None:
    path = write(tmp_path, "[profiles.a]\nmode = 'demo'\n")
    assert load(path, env=NODE).chosen().data_store_path == ""
