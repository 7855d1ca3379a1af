"""Registrations made elsewhere: an `oauth1.json`, ibind's variables and .env, IBKR's sample file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ibtui import paths
from ibtui.errors import UsageError
from ibtui.service import oauth_import
from ibtui.service.oauth_import import Found
from ibtui.service.oauth_setup import Setup
from ibtui.service.oauth_state import Step
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

NOW = datetime(2026, 4, 24, 14, 32, 10, tzinfo=UTC)
IBIND = {
    "IBIND_OAUTH1A_CONSUMER_KEY": CONSUMER.lower(),
    "IBIND_OAUTH1A_ACCESS_TOKEN": TOKEN,
    "IBIND_OAUTH1A_ACCESS_TOKEN_SECRET": SECRET,
    "IBIND_OAUTH1A_DH_PRIME": "0x" + KEYS["dh_prime_hex"],
    "IBIND_OAUTH1A_SIGNATURE_KEY": SIGNATURE.replace("\n", "\\n"),
    "IBIND_OAUTH1A_ENCRYPTION_KEY": ENCRYPTION,
}


def whole(found: Found) -> bool:
    return (
        found.consumer_key == CONSUMER
        and found.access_token.reveal() == TOKEN
        and found.access_token_secret.reveal() == SECRET
        and found.keys.prime == int(KEYS["dh_prime_hex"], 16)
        and "BEGIN PRIVATE KEY" in found.keys.signature.reveal()
    )


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def trouble(source: Any, *words: str, env: dict[str, str] | None = None, user: str = "") -> None:
    with pytest.raises(UsageError) as caught:
        oauth_import.from_source(str(source), env or {}, user)
    assert all(word in str(caught.value) for word in words), caught.value


def test_an_oauth1_json_is_a_whole_registration(tmp_path: Path) -> None:
    path = write(tmp_path / "oauth1.json", "\ufeff" + json.dumps(mapping()))
    assert whole(oauth_import.from_source(f" {path} ", {}))
    assert whole(oauth_import.from_path(tmp_path))  # the folder it lies in is as good
    path.chmod(0o644)
    assert "chmod 600" in oauth_import.from_path(path).remarks[0]
    other = mapping()
    other["signaturePrivateKey"] = other.pop("signature")
    other["encryptionPrivateKey"] = other.pop("encryption")
    assert whole(oauth_import.from_path(write(tmp_path / "other.json", json.dumps(other))))


def test_taking_a_whole_registration_goes_on_with_the_check(tmp_path: Path) -> None:
    path = write(tmp_path / "oauth1.json", json.dumps(mapping()))
    setup = Setup.open(paths.oauth_dir("default"))
    setup.take(oauth_import.from_path(path), NOW)
    assert setup.state.step is Step.CHECK
    assert all(it.ok for it in setup.self_test(NOW))


def test_taking_keys_alone_goes_on_with_the_portal(tmp_path: Path) -> None:
    found = oauth_import.from_path(put_files(tmp_path / "pem"))
    setup = Setup.open(paths.oauth_dir("default"))
    setup.take(found, NOW)
    assert setup.state.step is Step.PORTAL


def test_ibinds_variables(tmp_path: Path) -> None:
    assert whole(oauth_import.from_source("env", IBIND))
    files = {
        "IBIND_OAUTH1A_SIGNATURE_KEY_FP": str(write(tmp_path / "s.pem", SIGNATURE)),
        "IBIND_OAUTH1A_ENCRYPTION_KEY_FP": str(write(tmp_path / "e.pem", ENCRYPTION)),
    }
    by_path = {
        name: value for name, value in IBIND.items() if not name.endswith("_KEY") or "CONSUMER" in name
    }
    assert whole(oauth_import.from_environment({**by_path, **files}))
    away = oauth_import.from_environment(
        {**IBIND, "IBIND_OAUTH1A_REST_URL": "https://1.api.ibkr.com/v1/api/"}
    )
    assert "api_host" in away.remarks[0]
    home = oauth_import.from_environment({**IBIND, "IBIND_OAUTH1A_REST_URL": "https://api.ibkr.com/v1/api/"})
    assert home.remarks == ()
    trouble("env", "None of ibind's variables")
    trouble("env", "DH_GENERATOR is 5", env={**IBIND, "IBIND_OAUTH1A_DH_GENERATOR": "5"})
    trouble("env", "accessToken is missing", env={**IBIND, "IBIND_OAUTH1A_ACCESS_TOKEN": ""})


def test_ibinds_env_file(tmp_path: Path) -> None:
    lines = ["# mine", "export IBIND_USE_OAUTH=true"]
    lines += [f'{name}="{value}"' for name, value in IBIND.items() if "SECRET" not in name]
    lines += [f"IBIND_OAUTH1A_ACCESS_TOKEN_SECRET='{SECRET}'"]
    path = write(tmp_path / ".env", "\n".join(lines))
    assert whole(oauth_import.from_path(path))
    assert whole(oauth_import.from_source("env", {"IBIND_ENV_FILE": str(path)}))


def sample(folder: Path, **changed: str) -> dict[str, str]:
    put_files(folder / "pem")
    return {
        "consumer_key": CONSUMER,
        "access_token": TOKEN,
        "access_token_secret": SECRET,
        "dhparam": "pem/dhparam.pem",
        "signature": str(folder / "pem" / "private_signature.pem"),
        "encryption": "pem/private_encryption.pem",
        **changed,
    }


def test_ibkrs_sample_file(tmp_path: Path) -> None:
    one = write(tmp_path / "one.json", json.dumps({"me": sample(tmp_path)}))
    assert whole(oauth_import.from_path(one))
    assert whole(oauth_import.from_path(write(tmp_path / "flat.json", json.dumps(sample(tmp_path)))))
    two = write(tmp_path / "two.json", json.dumps({"me": sample(tmp_path), "her": sample(tmp_path)}))
    trouble(two, "several users", "her, me", "--user")
    assert whole(oauth_import.from_path(two, "her"))
    trouble(two, "no user 'him'", user="him")
    trouble(
        write(tmp_path / "x.json", json.dumps({"me": sample(tmp_path, dhparam="")})), "dhparam is missing"
    )


def test_what_is_none_of_them_is_named(tmp_path: Path) -> None:
    trouble(tmp_path / "nowhere", "cannot be read")
    trouble(tmp_path, "has no private_signature.pem")
    trouble(write(tmp_path / "a.json", "{ not json"), "is not JSON")
    trouble(write(tmp_path / "b.json", "{}"), "dhPrime is missing")
    trouble(write(tmp_path / "c.txt", "hello"), "none of the files")
    trouble(write(tmp_path / "d.pem", DHPARAM), "one file of several", "dhparam.pem")
    trouble(write(tmp_path / "e.json", json.dumps(mapping(accessTokenSecret=SECRET[:129]))), "129 characters")
