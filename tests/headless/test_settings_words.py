"""`ibtui config set` and `ibtui config import`, from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibtui import config
from tests.headless.conftest import Run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "c.toml"


def test_set_a_key_of_the_profile_and_one_beside_it(run: Run, file: Path) -> None:
    file.write_text("[profiles.default]\n# keep me\n")
    file.chmod(0o600)
    assert run("config", "set", "account_type", "live", "--config", str(file)).code == 0
    assert run("config", "set", "serve.port", "5055", "--config", str(file)).code == 0
    assert run("config", "set", "hook", '["notify", "a b"]', "--config", str(file)).code == 0
    found = config.load(file, env={})
    assert (found.chosen().account_type, found.serve.port) == ("live", 5055)
    assert found.chosen().hook == ("notify", "a b") and "# keep me" in file.read_text()
    shown = run("config", "show", "--config", str(file)).out
    assert "serve.port" in shown and str(file) in shown


def test_a_bad_value_is_refused_and_changes_nothing(run: Run, file: Path) -> None:
    file.write_text("[profiles.default]\n")
    file.chmod(0o600)
    done = run("config", "set", "account_type", "lvie", "--config", str(file))
    assert done.code == 2 and "did you mean 'live'" in done.err and str(file) in done.err
    assert file.read_text() == "[profiles.default]\n"


def test_the_environment_beats_what_was_set(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[profiles.default]\n")
    file.chmod(0o600)
    monkeypatch.setenv("IBTUI_PROFILES_DEFAULT_USERNAME", "ann")
    done = run("config", "set", "username", "joe", "--config", str(file))
    assert done.code == 0 and "IBTUI_PROFILES_DEFAULT_USERNAME is set in the environment" in done.err
    key, beaten = "profiles.default.username", "IBTUI_PROFILES_DEFAULT_USERNAME"
    done = run("config", "set", "username", "joe", "--config", str(file), "--json")
    assert done.json == {"key": key, "path": str(file), "beaten_by": beaten}
    done = run("config", "set", "account_type", "live", "--config", str(file), "--json")
    assert done.json["beaten_by"] is None


def test_variables_of_other_programs_are_taken_over_without_their_secrets(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "IBEAM_ACCOUNT": "joe",
        "IBEAM_PASSWORD": "planted-password",
        "IBEAM_USE_PAPER_ACCOUNT": "True",
        "IBEAM_MAX_FAILED_AUTH": "50",
        "IBEAM_GATEWAY_BASE_URL": "https://localhost:5123/",
        "IBEAM_TWO_FA_HANDLER": "GOOGLE_MSG",
        "IBEAM_KEY": "planted-key",
        "IBEAM_LOG_LEVEL": "DEBUG",
        "IB_AUTH_MAX_COUNTER": "90",
        "IB_AUTH_OCRA_SECRET": "planted-ocra",
    }
    file.write_text("[profiles.default]\n")
    file.chmod(0o600)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    dry = run("config", "import", "--dry-run", "--config", str(file))
    assert dry.code == 0 and file.read_text() == "[profiles.default]\n"
    done = run("config", "import", "--config", str(file), "--json")
    assert done.code == 0 and "IBEAM_LOG_LEVEL" in done.json["left"] and done.json["written"]
    profile = config.load(file, env={}).chosen()
    assert (profile.username, profile.account_type, profile.max_attempts) == ("joe", "paper", 10)
    assert profile.gateway_url == "https://localhost:5123" and profile.max_counter == 90
    assert profile.password.env == "IBEAM_PASSWORD"
    assert "planted" not in file.read_text() + done.out + done.err + dry.out + dry.err


def test_variables_that_mean_nothing_here_are_named(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("[profiles.default]\n")
    file.chmod(0o600)
    given = {
        "IB_GATEWAY_BIN": "/opt/other",
        "IB_GATEWAY_SERVICE_PORT": "5055",
        "IB_AUTH_MAX_ATEMPTS": "3",
        "IB_NONSENSE": "x",
        "IB_AUTH_MAX_COUNTER": "90",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    done = run("config", "import", "--config", str(file), "--json")
    left = done.json["left"]
    assert left.keys() == {"IB_GATEWAY_BIN", "IB_AUTH_MAX_ATEMPTS", "IB_NONSENSE"}
    assert (
        "'IB_AUTH_MAX_ATTEMPTS'" in left["IB_AUTH_MAX_ATEMPTS"]
        and "IB_GATEWAY_CONF" in left["IB_GATEWAY_BIN"]
    )
    found = config.load(file, env={})
    assert (found.serve.port, found.chosen().max_counter) == (5055, 90)


def test_a_user_name_guarded_twice_is_told(run: Run, file: Path, tmp_path: Path) -> None:
    file.write_text(
        "[profiles.default]\nusername = 'joe'\n[profiles.two]\nusername = 'joe'\n"
        f"data_store_path = '{tmp_path}/store'\n"
    )
    file.chmod(0o600)
    done = run("config", "check", "--config", str(file), "--json")
    assert done.code == 0 and f"{tmp_path}/store/data.json (profile two)" in done.err
    (warning,) = done.json["warnings"]
    assert "joe" in warning and "2 files" in warning


def test_the_defaults_are_written_where_a_link_leads(run: Run, tmp_path: Path) -> None:
    link, file = tmp_path / "link.toml", tmp_path / "dotfiles" / "c.toml"
    link.symlink_to(file)
    assert run("config", "init", "--config", str(link)).code == 0
    assert link.is_symlink() and file.read_text() == config.example_text()
    assert run("config", "init", "--config", str(link)).code == 2


def test_nothing_to_take_over(run: Run, file: Path) -> None:
    file.write_text("")
    file.chmod(0o600)
    done = run("config", "import", "--config", str(file))
    assert done.code == 2 and "None of the variables" in done.err
