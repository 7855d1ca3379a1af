"""The configurator without a screen: what it keeps, checks, imports, writes; nothing is ever overwritten."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ibtui import paths
from ibtui.auth import keys
from ibtui.auth.oauth_fields import OAuth1Fields
from ibtui.errors import IbtuiError, UsageError
from ibtui.profile import Profile
from ibtui.secret import Secret
from ibtui.service import keyfiles, oauth_two
from ibtui.service.keyfiles import KeySet
from ibtui.service.oauth_setup import Setup
from ibtui.service.oauth_state import STEPS, Check, State, Step, works
from tests.unit.auth.oauth_tools import (
    CONSUMER,
    ENCRYPTION,
    KEYS,
    SECRET,
    SIGNATURE,
    TOKEN,
    other_key,
    put_files,
)

NOW = datetime(2026, 4, 24, 14, 32, 10, tzinfo=UTC)


def key_set(signature: str = SIGNATURE, encryption: str = ENCRYPTION) -> KeySet:
    return KeySet(Secret(signature), Secret(encryption), int(KEYS["dh_prime_hex"], 16))


@pytest.fixture
def folder() -> Path:
    return paths.oauth_dir("default")


def complete(folder: Path) -> Setup:
    setup = Setup.open(folder)
    setup.take_keys(key_set())
    setup.set_consumer_key(CONSUMER.lower())
    setup.registered(NOW)
    setup.uploaded()
    setup.set_access_token(TOKEN)
    setup.set_access_token_secret(SECRET)
    return setup


def test_it_goes_on_where_it_was_left_at_every_step(folder: Path) -> None:
    acts = {
        Step.KEYS: lambda it: it.take_keys(key_set()),
        Step.PORTAL: lambda it: (it.set_consumer_key(CONSUMER), it.registered(NOW)),
        Step.UPLOAD: lambda it: it.uploaded(),
        Step.SECRETS: lambda it: (it.set_access_token(TOKEN), it.set_access_token_secret(SECRET)),
        Step.CHECK: lambda it: it.write(NOW),
        Step.LIVE: lambda it: it.tested(NOW),
    }
    for number, step in enumerate(STEPS):
        setup = Setup.open(folder)
        assert setup.state.step is step
        assert [it for it in STEPS if setup.state.is_done(it)] == list(STEPS[:number])
        acts[step](setup)  # type: ignore[no-untyped-call]
    last = Setup.open(folder)
    assert last.state.step is Step.LIVE and last.state.is_done(Step.LIVE)
    assert last.keys is not None and last.keys.fingerprints == key_set().fingerprints


def test_everything_on_disk_is_private_and_in_the_clients_format(folder: Path) -> None:
    setup = complete(folder)
    path = setup.write(NOW)
    assert path == folder / "oauth1.json"
    for found in folder.rglob("*"):
        wanted = 0o700 if found.is_dir() else 0o600
        assert stat.S_IMODE(found.stat().st_mode) == wanted, found
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    data = json.loads(path.read_text())
    assert list(data) == [
        *("realm", "dhPrime", "consumerKey", "accessToken", "accessTokenSecret", "signature", "encryption")
    ]
    assert (data["consumerKey"], data["accessToken"]) == (CONSUMER, TOKEN)
    assert data["dhPrime"] == "00" + KEYS["dh_prime_hex"]
    assert OAuth1Fields.parse(path.read_bytes()).prime == int(KEYS["dh_prime_hex"], 16)
    assert sorted(it.name for it in (folder / "keys").iterdir()) == sorted(keyfiles.NAMES)


def test_the_self_test_names_every_part_and_what_is_wrong(folder: Path) -> None:
    setup = complete(folder)
    good = setup.self_test(NOW)
    assert [it.name for it in good if it.ok] == [it.name for it in good] and len(good) == 7
    assert not any(SECRET[:30] in str(it) or TOKEN in str(it) for it in good)
    # A token of other keys: what the person pasted did not fit, but a file was edited since.
    state = json.loads((folder / "setup.json").read_text())
    other = key_set(encryption=other_key())
    keyfiles.write(folder / "keys-9", other)
    (folder / "setup.json").write_text(json.dumps({**state, "keys": "keys-9"}))
    bad = [it for it in Setup.open(folder).self_test(NOW) if not it.ok]
    assert [it.name for it in bad] == ["Access token secret", "A token and a signature"]
    assert all("does not belong" in it.problem and it.fix for it in bad)


def test_a_step_that_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(UsageError, match="'Keys' is not done"):
        Setup.open(folder).fields()
    setup = Setup.open(folder)
    setup.take_keys(key_set())
    setup.propose_consumer_key()
    with pytest.raises(UsageError, match="'Secrets' is not done"):
        setup.write(NOW)


def test_a_consumer_key_is_proposed_once(folder: Path) -> None:
    setup = Setup.open(folder)
    first = setup.propose_consumer_key()
    assert len(first) == 9 and setup.propose_consumer_key() == first
    setup.registered(NOW)
    setup.registered(datetime(2030, 1, 1, tzinfo=UTC))
    assert setup.state.registered_at.startswith("2026-04-24")
    setup.set_consumer_key(first)
    assert setup.state.registered_at
    setup.set_consumer_key("ABCDEFGHI")
    assert not setup.state.registered_at  # another key waits anew


def test_a_change_asks_for_another_test(folder: Path) -> None:
    setup = complete(folder)
    setup.write(NOW)
    setup.tested(NOW)
    setup.set_access_token(TOKEN.upper())
    assert setup.state.step is Step.CHECK
    setup.write(NOW)
    old = (folder / "oauth1.json.old").read_text()
    assert json.loads(old)["accessToken"] == TOKEN
    assert json.loads((folder / "oauth1.json").read_text())["accessToken"] == TOKEN.upper()


def test_a_disk_that_refuses_leaves_what_was_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = complete(folder)
    before = setup.write(NOW).read_bytes()
    setup.set_access_token(TOKEN.upper())
    real = paths.write_private
    nowhere = Path("/dev/null/nowhere")
    monkeypatch.setattr(
        paths, "write_private", lambda at, it: real(at if at.suffix == ".old" else nowhere, it)
    )
    with pytest.raises(IbtuiError, match="could not be written"):
        setup.write(NOW)
    assert setup.result.read_bytes() == before


def test_new_keys_never_take_the_place_of_old_ones(folder: Path) -> None:
    setup = complete(folder)
    before = (folder / "keys" / "private_signature.pem").read_bytes()
    setup.take_keys(key_set(signature=other_key()))
    assert (folder / "keys" / "private_signature.pem").read_bytes() == before
    assert setup.state.keys == "keys-2"
    # A registration belongs to its keys.
    assert not setup.state.access_token and not setup.state.uploaded
    assert setup.state.consumer_key == CONSUMER


def test_beginning_anew_loses_nothing(folder: Path) -> None:
    setup = complete(folder)
    setup.start_over()
    assert setup.state == State() and setup.keys is None
    assert json.loads((folder / "setup-1.json").read_text())["access_token_secret"] == SECRET
    again = Setup.open(folder)
    assert again.state.step is Step.KEYS
    again.take_keys(key_set())
    assert again.state.keys == "keys-2"
    again.start_over()
    Setup.open(folder).start_over()  # nothing to forget
    assert (folder / "setup-2.json").exists()


def test_two_configurators_do_not_undo_each_other(folder: Path) -> None:
    one = Setup.open(folder)
    one.take_keys(key_set())
    two = Setup.open(folder)
    one.set_access_token_secret(SECRET)
    two.set_access_token(TOKEN)
    found = Setup.open(folder).state
    assert found.access_token.reveal() == TOKEN and found.access_token_secret.reveal() == SECRET


def test_what_is_typed_is_looked_at_without_keeping_it(folder: Path) -> None:
    setup = Setup.open(folder)
    setup.take_keys(key_set())
    assert setup.look("consumer_key", "  ") is None

    def verdict(name: str, text: str) -> str:
        found = setup.look(name, text)
        assert found is not None
        return found.problem or f"fine: {found.detail}"

    assert verdict("consumer_key", "qhxrbmkta") == "fine: nine letters"
    assert "nine letters" in verdict("consumer_key", "qhx")
    assert "paper accounts" in verdict("consumer_key", "testcons")
    assert verdict("access_token", TOKEN) == "fine: 20 digits"
    assert "19" in verdict("access_token", TOKEN[1:])
    assert "opens it" in verdict("access_token_secret", SECRET)
    assert "129 characters" in verdict("access_token_secret", SECRET[:129])
    swapped = Setup(folder)
    swapped.keys = key_set(ENCRYPTION, SIGNATURE)
    found = swapped.look("access_token_secret", SECRET)
    assert found is not None and "swapped" in found.problem
    assert not setup.state.access_token


def test_secrets_show_in_no_repr(folder: Path) -> None:
    setup = complete(folder)
    shown = repr(setup.state) + repr(setup.keys) + repr(setup.fields())
    assert not any(it in shown for it in (TOKEN, SECRET, SIGNATURE[60:100], ENCRYPTION[60:100]))


def test_a_state_file_that_others_may_read_or_that_is_broken_is_refused(folder: Path) -> None:
    complete(folder)
    path = folder / "setup.json"
    path.chmod(0o644)
    with pytest.raises(UsageError, match="open to other users"):
        Setup.open(folder)
    path.chmod(0o600)
    path.write_text("{")
    with pytest.raises(UsageError, match="not a JSON object"):
        Setup.open(folder)
    path.write_text(json.dumps({"keys": 7, "uploaded": "yes", "access_token": 3, "strange": 1}))
    assert Setup.open(folder).state == State()


def test_a_folder_of_ours_becomes_private_again(folder: Path) -> None:
    complete(folder)
    folder.chmod(0o755)
    Setup.open(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_disk_that_refuses_is_told(folder: Path) -> None:
    setup = complete(folder)
    (folder / "oauth1.json").mkdir()
    with pytest.raises(IbtuiError, match="could not be written"):
        setup.write(NOW)
    folder.parent.parent.mkdir(exist_ok=True)
    other = paths.oauth_dir("other")
    other.parent.mkdir(exist_ok=True)
    other.write_text("a file where a folder should be")
    with pytest.raises(IbtuiError):
        Setup(other).propose_consumer_key()


def test_the_switch_names_another_file_only_where_one_was_named(folder: Path) -> None:
    setup = Setup(folder)
    assert setup.switch(Profile()) == {"profiles.default.mode": "oauth1"}
    named = Profile(name="x", oauth_file="/elsewhere/oauth1.json")
    assert setup.switch(named)["profiles.x.oauth_file"] == str(folder / "oauth1.json")


def test_a_registration_that_is_there_already_is_offered(folder: Path, tmp_path: Path) -> None:
    assert Setup.open(folder).elsewhere(Profile()) is None
    folder.mkdir(parents=True)
    (folder / "oauth1.json").write_text("{}")
    assert Setup.open(folder).elsewhere(Profile()) == folder / "oauth1.json"
    other = tmp_path / "oauth1.json"
    assert Setup.open(folder).elsewhere(Profile(oauth_file=str(other))) == folder / "oauth1.json"
    other.write_text("{}")
    assert Setup.open(folder).elsewhere(Profile(oauth_file=str(other))) == other
    setup = Setup.open(folder)
    setup.take_keys(key_set())
    assert setup.elsewhere(Profile()) is None


def test_a_registration_works_once_a_signature_was_taken() -> None:
    fine, bad = Check("a"), Check("b", "no")
    assert works([fine, fine, bad]) and not works([fine, bad]) and not works([fine]) and not works([])


# Files --------------------------------------------------------------------------------------


def test_keys_are_written_all_or_none(tmp_path: Path) -> None:
    target = tmp_path / "keys"
    keyfiles.write(target, key_set())
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert {stat.S_IMODE(it.stat().st_mode) for it in target.iterdir()} == {0o600}
    assert (target / "dhparam.pem").read_text() == KEYS["dhparam_pem"]
    with pytest.raises(UsageError, match="already holds") as caught:
        keyfiles.write(target, key_set())
    assert "ibtui oauth configure --import" in caught.value.fix
    partly = tmp_path / "partly"
    partly.mkdir()
    (partly / "dhparam.pem").write_text("somebody's")
    with pytest.raises(UsageError, match="dhparam"):
        keyfiles.write(partly, key_set())
    assert [it.name for it in partly.iterdir()] == ["dhparam.pem"]


KILLED = """
import os, pathlib, sys
from ibtui.service import keyfiles
from tests.unit.service.test_oauth_setup import key_set
keyfiles.os.link = lambda *_: os.kill(os.getpid(), 9)
keyfiles.write(pathlib.Path(sys.argv[1]), key_set())
"""


def test_private_keys_that_a_killed_process_left_are_removed(folder: Path) -> None:
    target = folder / "keys"
    died = subprocess.run([sys.executable, "-c", KILLED, str(target)], timeout=60)
    assert died.returncode == -9
    (left,) = target.iterdir()
    assert "private_signature.pem" in os.listdir(left)
    others = {"young": left, "theirs": target / ".keys.theirs", "file": target / ".keys.file"}
    others["theirs"].mkdir(mode=0o700)
    (others["theirs"] / "notes.txt").write_text("mine")
    others["file"].write_text("")
    os.utime(others["theirs"], (1, 1))
    keyfiles.sweep(target)
    assert all(it.exists() for it in others.values())
    os.utime(left, (1, 1))
    Setup.open(folder).take_keys(key_set())
    assert not left.exists() and others["theirs"].exists() and others["file"].exists()
    assert keyfiles.there(folder / "keys-2") == [*keyfiles.NAMES]


def test_a_name_taken_in_the_last_moment_takes_all_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "keys"
    link = os.link

    def racing(source: Path, name: Path) -> None:
        if name.name == "dhparam.pem":
            name.write_text("somebody was quicker")
        link(source, name)

    monkeypatch.setattr(keyfiles.os, "link", racing)
    with pytest.raises(UsageError, match="already holds dhparam.pem"):
        keyfiles.write(target, key_set())
    assert [it.name for it in target.iterdir()] == ["dhparam.pem"]
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(IbtuiError, match="could not be written"):
        keyfiles.write(file, key_set())
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    with pytest.raises(UsageError, match="open to other users"):
        keyfiles.write(loose, key_set())


def test_a_folder_of_openssl_files_is_read(tmp_path: Path) -> None:
    found, remarks = keyfiles.read(put_files(tmp_path / "pem"))
    assert remarks == [] and found.prime == int(KEYS["dh_prime_hex"], 16)
    assert found.signature.reveal().startswith("-----BEGIN PRIVATE KEY-----")
    loose = put_files(tmp_path / "loose", private_signature=SIGNATURE.replace("\n", "\r\n"))
    (loose / "private_signature.pem").chmod(0o644)
    found, remarks = keyfiles.read(loose)
    assert keys.fingerprint(found.signature_key) and "chmod 600" in remarks[0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"private_encryption": ""}, "has no private_encryption.pem"),
        ({"private_signature": ENCRYPTION}, "does not belong to the private signing key"),
        ({"private_signature": ENCRYPTION, "public_signature": ""}, "the same key"),
        ({"private_signature": KEYS["signature_public_pem"]}, "there is a public key"),
        ({"public_signature": SIGNATURE}, "Never upload it"),
        ({"dhparam": SIGNATURE}, "Give dhparam.pem"),
        ({"dhparam": "x" * 70_000}, "too large"),
    ],
)
def test_a_wrong_folder_is_named(tmp_path: Path, changed: dict[str, str], words: str) -> None:
    folder = put_files(tmp_path / "pem", **changed)
    with pytest.raises(UsageError) as caught:
        keyfiles.read(folder)
    assert words in str(caught.value)


def test_public_files_are_handed_out_and_private_ones_never(tmp_path: Path) -> None:
    target = tmp_path / "up" / "load"
    done = keyfiles.save_uploads(target, key_set())
    assert sorted(it.name for it in target.iterdir()) == sorted(it.name for it in done)
    assert not any("PRIVATE" in it.read_text() for it in done)
    assert keyfiles.save_uploads(target, key_set()) == done  # once more is no trouble
    with pytest.raises(UsageError, match="is another one"):
        keyfiles.save_uploads(target, key_set(signature=other_key()))
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(IbtuiError, match="could not be written"):
        keyfiles.save_uploads(file, key_set())


# OAuth 2.0 ----------------------------------------------------------------------------------


def test_values_of_oauth2_are_checked(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(SIGNATURE)
    key.chmod(0o600)
    good = {"client_id": "c", "key_id": "main", "credential": "me", "key_file": str(key), "ip": "8.8.8.8"}
    oauth_two.check(good)

    def trouble(**changed: str) -> str:
        with pytest.raises(UsageError) as caught:
            oauth_two.check({**good, **changed})
        return str(caught.value)

    assert "client id is missing" in trouble(client_id="")
    assert "user name" in trouble(credential="")
    assert "private key is missing" in trouble(key_file="")
    assert "cannot be read" in trouble(key_file="/nowhere")
    assert "public address is missing" in trouble(ip="")
    assert "no address" in trouble(ip="home")
    assert "inside your own network" in trouble(ip="192.168.1.7")
    key.write_text(KEYS["signature_public_pem"])
    assert "no unlocked private key" in trouble()
    key.write_text(other_key(1024))
    assert "no RSA key of 2048" in trouble()
    key.chmod(0o644)
    assert "chmod 600" in trouble()
