"""Words, options, help, settings and exit statuses that need no gateway."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ibtui import config
from tests.headless.conftest import Run, write_profile

COMMANDS = (
    *("demo", "sim", "login", "logout", "status", "accounts", "positions", "orders", "trades", "pnl"),
    *("request", "ws", "completion", "gateway start", "gateway stop", "gateway restart"),
    *("gateway status", "gateway logs", "config init", "config path", "config check", "config show"),
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    done = run(*command.split(), "--help")
    assert done.code == 0
    assert "ibtui" in " ".join(done.out.split()).split("Example:")[1]


@pytest.mark.parametrize(
    ("words", "example"),
    [
        ("ws", "ibtui ws 'sor+{}' spl"),
        ("login", "pass show ibkr | ibtui login --user me --password-stdin"),
        ("config import", "ibtui --profile paper config import --dry-run"),
        ("serve", "ibtui serve --port 5050"),
        ("gateway stop", "ibtui gateway stop"),
        ("", "ibtui demo"),
    ],
)
def test_an_example_can_be_copied(run: Run, words: str, example: str) -> None:
    assert f"\n\n  Example: {example}\n\n" in run(*words.split(), "--help").out


def test_version_and_help(run: Run) -> None:
    assert run("--version").out.startswith("ibtui")
    done = run("-h")
    assert done.code == 0 and "positions" in done.out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["positons"], "positions"),
        (["gateway", "strat"], "start"),
        (["status", "--jsn"], "--json"),
        (["completion", "bsh"], "bash"),
        (["request", "FETCH", "/x"], "GET"),
    ],
)
def test_a_misspelt_word_names_the_nearest(run: Run, words: list[str], hint: str) -> None:
    done = run(*words)
    assert done.code == 2
    assert hint in done.err


def test_a_misspelt_profile_names_the_nearest(run: Run) -> None:
    write_profile("https://localhost:5000", name="paper")
    for words in (["--profile", "papr", "status"], ["status", "--profile", "papr"]):
        done = run(*words)
        assert done.code == 2
        assert "did you mean 'paper'" in done.err


def test_a_misspelt_key_names_file_key_and_nearest(run: Run) -> None:
    path = write_profile("https://localhost:5000", gatway_dir="/x")
    done = run("config", "check")
    assert done.code == 2
    assert str(path) in done.err and "gateway_dir" in done.err


def test_with_json_a_failure_is_a_document_too(run: Run) -> None:
    write_profile("https://localhost:5000", name="paper")
    done = run("status", "--profile", "nobody", "--json")
    assert done.code == 2
    assert done.json["exit"] == 2 and done.json["fix"]


@pytest.mark.parametrize(
    "words",
    ["nonsense --json", "login --wrong --json", "--json wait never", "--json gateway", "--json request GET"],
)
def test_with_json_wrong_words_are_a_document_too(run: Run, words: str) -> None:
    done = run(*words.split())
    assert done.code == 2 and "ibtui" in done.err
    assert done.json["exit"] == 2 and "Usage:" not in done.json["error"]
    assert "--help" in done.json["fix"]


def test_with_json_a_fault_of_ours_is_a_document_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("planted")

    monkeypatch.setattr(config, "load", broken)
    done = run("config", "check", "--json")
    assert done.code == 1 and done.json["exit"] == 1
    assert "ValueError" in done.json["error"] and "ibtui.log" in done.json["fix"]


def test_with_json_the_path_is_an_object(run: Run) -> None:
    found = {"path": str(config.default_path()), "exists": False}
    assert run("config", "path", "--json").json == found == run("--json", "config", "path").json
    assert run("config", "init", "--json").json == {**found, "exists": True}


def test_config_before_and_after_the_command(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('profile = "b"\n[profiles.b]\nusername = "bob"\n')
    other.chmod(0o600)
    for words in (["--config", str(other), "config", "show"], ["config", "show", "--config", str(other)]):
        assert "bob" in run(*words).out
    for words in (["--config", str(other), "config", "path"], ["config", "path", "--config", str(other)]):
        assert run(*words).out.strip() == str(other)


def test_a_fix_names_no_key_of_the_screen(run: Run) -> None:
    write_profile(f"https://127.0.0.1:{free_port()}")
    for command in ("status", "doctor", "gateway status", "positions"):
        for words in (command.split(), [*command.split(), "--json"]):
            found = run(*words)
            assert found.code == 3
            assert "ibtui gateway install" in found.out + found.err
            assert " here, or" not in found.out + found.err


def test_a_fix_names_the_profile_at_work(run: Run, tmp_path: Path) -> None:
    path = write_profile(f"https://127.0.0.1:{free_port()}", name="my-own").rename(tmp_path / "a b.toml")
    words = ("--profile", "my-own", "--config", str(path))
    start = f"ibtui --profile my-own --config '{path}' gateway install"
    for command in ("status", "doctor", "positions", "gateway status"):
        assert start in run(*command.split(), *words).out + run(*words, *command.split()).err, command
        assert start in run(*command.split(), *words, "--json").out.replace('\\"', '"')
    write_profile(f"https://127.0.0.1:{free_port()}")
    assert "ibtui gateway install" in run("status").out, "nothing was named"
    assert "ibtui config init --config FILE" in run("config", "set", "mode", "x", "--profile", "default").err


def test_json_before_the_command(run: Run) -> None:
    assert run("--json", "config", "check").json["ok"] is True


def test_config_path_obeys_the_environment(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IBTUI_CONFIG", str(tmp_path / "mine.toml"))
    assert run("config", "path").out.strip() == str(tmp_path / "mine.toml")
    assert run("config", "init").code == 0
    assert (tmp_path / "mine.toml").stat().st_mode & 0o777 == 0o600
    assert run("config", "check").code == 0


def test_config_init_check_show(run: Run) -> None:
    assert run("config", "path").out.strip() == str(config.default_path())
    assert "does not exist" in run("config", "check").err
    assert run("config", "init").out.strip() == str(config.default_path())
    again = run("config", "init")
    assert again.code == 2 and "exists already" in again.err
    assert run("config", "check").code == 0
    rows = {row["key"]: row for row in run("config", "show", "--json").json}
    assert rows["ui.theme"]["value"] == "ibtui-dark"
    assert rows["ui.theme"]["origin"].startswith("file ")
    assert "ui.refresh_hz" in run("config", "show").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run: Run, shell: str) -> None:
    assert "_IBTUI_COMPLETE" in run("completion", shell).out


def test_completion_completes() -> None:
    env = dict(os.environ, _IBTUI_COMPLETE="bash_complete", COMP_WORDS="ibtui pos", COMP_CWORD="1")
    done = subprocess.run([sys.executable, "-c", "from ibtui.cli import main; main([])"], env=env,
                          capture_output=True, text=True, timeout=30)  # fmt: skip
    assert "positions" in done.stdout


def test_without_a_terminal_the_status_and_exit_two(run: Run) -> None:
    write_profile(f"https://127.0.0.1:{free_port()}")
    done = run()
    assert done.code == 2
    assert all(word in done.out for word in ("gateway", "sso", "brokerage"))
    assert "no terminal" in done.err


@pytest.mark.parametrize(
    "words",
    [["status"], ["positions"], ["orders", "--watch"], ["request", "GET", "/tickle"], ["ws", "spl"],
     ["login", "--user", "me", "--password-stdin"], ["logout"], ["gateway", "status"], ["gateway", "start"]],
)  # fmt: skip
def test_gateway_down_is_three_with_a_fix(run: Run, words: list[str]) -> None:
    write_profile(f"https://127.0.0.1:{free_port()}")
    done = run(*words, stdin="something\n")
    assert done.code == 3
    said = done.out + done.err
    assert "nothing answers at" in said.lower()
    assert "start" in said.lower()


def test_status_json_has_the_promised_shape(run: Run) -> None:
    write_profile(f"https://127.0.0.1:{free_port()}")
    done = run("status", "--json")
    assert done.code == 3
    assert set(done.json) == {"ready", "gateway", "sso", "brokerage"}
    assert set(done.json["gateway"]) == {"state", "since", "reason", "fix"}
    assert done.json["ready"] is False and done.json["gateway"]["fix"]


def test_data_that_is_no_json_and_a_parameter_without_a_value(run: Run) -> None:
    assert run("request", "POST", "/tickle", "--data", "{").code == 2
    assert run("request", "GET", "/tickle", "--param", "conids").code == 2


def test_direct_access_without_a_registration(run: Run) -> None:
    write_profile("https://localhost:5000", mode="oauth1")
    done = run("status")
    assert done.code == 4 and "There is no OAuth registration" in done.out
    assert "Make one: ibtui oauth configure" in done.out


def test_a_settings_file_that_others_may_write_is_refused(run: Run) -> None:
    path = write_profile("https://localhost:5000")
    path.chmod(0o666)
    done = run("status")
    assert done.code == 2 and "chmod go-w" in done.err


def test_nothing_unexpected_shows_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> object:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr("ibtui.service.commands.session.status", broken)
    done = run("status")
    assert done.code == 1 and "ZeroDivisionError" in done.err
    log = Path(done.err.split("Details are in ")[1].split(";")[0])
    assert "Traceback" in log.read_text()


def test_json_documents_stay_json_when_the_words_are_wrong(run: Run) -> None:
    write_profile("https://localhost:5000")
    done = run("request", "GET", "/tickle", "--param", "x", "--json")
    assert json.loads(done.out)["exit"] == 2


def test_waiting_for_no_number_of_seconds(run: Run) -> None:
    done = run("wait", "ready", "--timeout", "nan")
    assert done.code == 2 and "no number" in done.err
