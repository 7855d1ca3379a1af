"""`ibtui oauth keygen` and `configure`: made, imported, registered at the simulator, tested, used."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest

from ibtui import config, paths
from ibtui.service import keyfiles, keymaking
from tests.conftest import Sim
from tests.headless.conftest import Run
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

WORDS = [SIGNATURE[70:120], ENCRYPTION[70:120]]
"""Of secrets that must not be printed."""


@pytest.fixture
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child says at once what it made: the keys of the vectors."""
    ready = {"signature": SIGNATURE, "encryption": ENCRYPTION, "dhparam": DHPARAM}
    said = [{"making": step} for step in keymaking.STEPS] + [ready]
    code = "\n".join(f"print({json.dumps(it)!r}, flush=True)" for it in said)
    monkeypatch.setattr(keymaking, "CHILD", (sys.executable, "-c", code))


def own() -> Path:
    return paths.oauth_dir("default")


def write_settings(sim: Sim, **more: Any) -> Path:
    path = config.default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"account_type": "paper", **more}.items()]
    path.write_text(
        f'# mine\n[addresses]\napi_host = "{sim.url}"\napi_ca_file = {json.dumps(sim.cert)}\n'
        "[profiles.default]\n" + "\n".join(lines) + "\n"
    )
    path.chmod(0o600)
    return path


def test_keygen_makes_five_private_files_and_never_overwrites(run: Run, quick_keys: None) -> None:
    done = run("oauth", "keygen")
    assert done.code == 0, done.err
    folder = own() / "keys"
    assert sorted(it.name for it in folder.iterdir()) == sorted(keyfiles.NAMES)
    assert {stat.S_IMODE(it.stat().st_mode) for it in folder.iterdir()} == {0o600}
    assert "Next: ibtui oauth configure" in done.err and "Public Signing Key" in done.err
    assert not any(word in done.err + done.out for word in WORDS)
    before = {it: it.read_bytes() for it in folder.iterdir()}
    again = run("oauth", "keygen")
    assert again.code == 2
    assert "nothing was made or overwritten" in again.err and "ibtui oauth configure" in again.err
    assert before == {it: it.read_bytes() for it in folder.iterdir()}


def test_keygen_into_a_folder_of_ones_own(run: Run, quick_keys: None, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    done = run("oauth", "keygen", "--folder", str(target), "--json")
    assert done.code == 0, done.err
    assert done.json["folder"] == str(target) and done.json["files"] == list(keyfiles.NAMES)
    assert set(done.json["fingerprints"]) == set(keyfiles.UPLOADS)
    assert not own().exists() or not (own() / "keys").exists()
    again = run("oauth", "keygen", "--folder", str(target))
    assert again.code == 2 and f"--import '{target}'" in again.err


def test_keygen_refuses_a_place_before_it_makes_anything(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def made(_: object) -> None:
        raise AssertionError("too late")

    monkeypatch.setattr("ibtui.service.keymaking.make", made)
    file = tmp_path / "file"
    file.write_text("x")
    everybodys = tmp_path / "everybodys"
    everybodys.mkdir()
    everybodys.chmod(0o777)
    for folder, said in ((file / "new", "cannot be written to"), (everybodys, "open to")):
        result = run("oauth", "keygen", "--folder", str(folder))
        assert result.code == 2 and said in result.err, result


def test_a_whole_registration_is_imported_checked_and_written_without_a_terminal(
    run: Run, tmp_path: Path
) -> None:
    source = tmp_path / "oauth1.json"
    source.write_text(json.dumps(mapping(consumerKey=CONSUMER.lower())))
    source.chmod(0o600)
    done = run("oauth", "configure", "--import", str(source), "--json")
    assert done.code == 0, done.err
    assert done.json["step"] == "Live test" and done.json["oauth1"] == str(own() / "oauth1.json")
    written = json.loads((own() / "oauth1.json").read_text())
    assert written["consumerKey"] == CONSUMER
    assert source.exists()
    assert not any(word in done.err + done.out for word in (*WORDS, SECRET, TOKEN))
    done = run("oauth", "check", "--offline")
    assert done.code == 0, done.err


def test_ibinds_variables_are_imported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "CONSUMER_KEY": CONSUMER,
        "ACCESS_TOKEN": TOKEN,
        "ACCESS_TOKEN_SECRET": SECRET,
        "DH_PRIME": KEYS["dh_prime_hex"],
        "SIGNATURE_KEY": SIGNATURE,
        "ENCRYPTION_KEY": ENCRYPTION,
    }.items():
        monkeypatch.setenv(f"IBIND_OAUTH1A_{name}", value)
    assert run("oauth", "configure", "--import", "env").code == 0
    assert (own() / "oauth1.json").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"accessTokenSecret": SECRET[:129]}, "129 characters"),
        ({"signature": ENCRYPTION, "encryption": SIGNATURE}, "swapped"),
        ({"signature": KEYS["signature_public_pem"]}, "there is a public key"),
        ({"dhPrime": KEYS["dh_prime_hex"][:-1] + "d"}, "not a safe prime"),
    ],
)
def test_a_wrong_registration_is_named_and_nothing_is_written(
    run: Run, tmp_path: Path, changed: dict[str, str], words: str
) -> None:
    source = tmp_path / "oauth1.json"
    source.write_text(json.dumps(mapping(**changed)))
    source.chmod(0o600)
    done = run("oauth", "configure", "--import", str(source))
    assert done.code == 2 and words in done.err
    assert not (own() / "oauth1.json").exists()


def test_without_a_terminal_a_person_is_needed(run: Run, tmp_path: Path) -> None:
    done = run("oauth", "configure")
    assert done.code == 6 and "'Keys'" in done.err and "--import" in done.err
    done = run("oauth", "configure", "--import", str(put_files(tmp_path / "pem")))
    assert done.code == 6 and "'Portal'" in done.err
    assert (own() / "keys" / "dhparam.pem").read_text() == DHPARAM
    run("oauth", "configure", "--start-over")
    assert (own() / "setup-1.json").exists() and (own() / "keys").exists()


@contextmanager
def terminal(*words: str) -> Iterator[tuple[Any, list[str]]]:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "ibtui", "oauth", *words],
        encoding="utf-8",
        timeout=30,
        env=dict(os.environ),
        dimensions=(40, 200),
    )
    said: list[str] = []
    child.logfile_read = type("Log", (), {"write": lambda _, s: said.append(s), "flush": lambda _: None})()
    try:
        yield child, said
    finally:
        child.close(force=True)


def ended(child: Any, said: list[str]) -> int:
    child.expect(pexpect.EOF)
    child.close()
    assert "Traceback" not in "".join(said)
    assert child.exitstatus is not None, "".join(said)
    return int(child.exitstatus)


def register(sim: Sim, files: Path, key: str, activation: str) -> dict[str, str]:
    """What a person does on IBKR's page; the portal keeps the key in capitals."""
    body = {"action": "register", "consumer_key": key, "activation": activation}
    names = {"signature": "public_signature", "encryption": "public_encryption", "dhparam": "dhparam"}
    found: dict[str, str] = sim.control(
        "oauth", {**body, **{field: (files / f"{name}.pem").read_text() for field, name in names.items()}}
    )
    return found


def test_from_nothing_to_a_profile_that_runs_on_it_over_two_visits(sim: Sim, tmp_path: Path) -> None:
    settings = write_settings(sim)
    files, up = put_files(tmp_path / "pem"), tmp_path / "up"
    with terminal("configure") as (child, said):
        child.expect("1 of 6: Keys")
        child.sendline(str(tmp_path / "nowhere"))
        child.expect("cannot be read")
        child.expect("Enter makes them")
        child.sendline(str(files))
        child.expect("Consumer key: ([A-Z]{9})")
        child.expect("Or type the one")
        child.sendline("abc")
        child.expect("nine letters; this has 3")
        child.expect("Or type the one")
        child.sendline("testvectq")
        child.expect("3 of 6: Upload")
        child.expect("q leaves")
        child.sendline("1")
        child.expect("BEGIN PUBLIC KEY")
        child.expect("q leaves")
        child.sendline("c3")
        child.expect("clipboard")
        child.expect("q leaves")
        child.sendline(f"w {up}")
        child.expect("public files are in")
        child.expect("q leaves")
        child.sendline("7")
        child.expect("or nothing")
        child.expect("q leaves")
        child.sendline("")
        child.expect("4 of 6: Secrets")
        child.expect("Access Token .q leaves.")
        child.sendline("q")
        child.expect("Saved")
        assert ended(child, said) == 0
    text = "".join(said)
    assert not any(word in text for word in WORDS)
    assert "]52;c;" in text

    given = register(sim, up, "testvectq", "midnight")
    with terminal("configure") as (child, said):
        child.expect("4 of 6: Secrets")
        child.expect("Access Token .q leaves.")
        child.sendline(given["access_token"][:-1])
        child.expect("this has 19")
        child.sendline(given["access_token"])
        child.expect("Token Secret .q leaves.")
        child.sendline(given["access_token_secret"][:129])
        child.expect("129 characters")
        child.sendline(given["access_token_secret"])
        child.expect("All fits together")
        child.expect("Test it at IBKR now")
        child.sendline("")
        child.expect("invalid consumer")
        child.expect("not active yet")
        child.expect("ibtui oauth check")
        assert ended(child, said) == 5
    text = re.sub(r"\s", "", "".join(said))
    assert given["access_token"] not in text and given["access_token_secret"] not in text

    sim.control("oauth", {"action": "activate", "consumer_key": "TESTVECTQ"})
    with terminal("configure") as (child, said):
        child.expect("Test it at IBKR now")
        child.sendline("y")
        child.expect("Accounts")
        child.expect("Write that now")
        child.sendline("y")
        child.expect("Written")
        assert ended(child, said) == 0
    assert tomllib.loads(settings.read_text())["profiles"]["default"]["mode"] == "oauth1"
    assert settings.read_text().startswith("# mine")
    with terminal("configure") as (child, said):
        child.expect("Test it at IBKR now")
        child.sendline("n")
        assert ended(child, said) == 0


def test_keys_are_made_at_the_terminal_with_a_clock_and_ctrl_c_leaves_nothing(sim: Sim) -> None:
    write_settings(sim)
    with terminal("configure") as (child, said):
        child.expect("Enter makes them")
        child.sendline("")
        child.expect("Making the Diffie-Hellman parameters")
        child.expect("Ctrl.C stops")
        child.sendintr()
        assert ended(child, said) == 130
    assert not (own() / "keys").exists()
