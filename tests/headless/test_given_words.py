"""Commands that read a file which a person names: a folder, a pipe or a device is a sentence, no wait."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.headless.conftest import Run, write_profile

URL = "https://127.0.0.1:1"
LONG_S = 8.0
"""Far less than a wait for ever, and enough on a busy machine."""


@pytest.fixture(params=["folder", "fifo", "/dev/zero"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What is no file."""
    path = tmp_path / "odd"
    if request.param == "folder":
        path.mkdir()
        (path / "x").touch()
    elif request.param == "fifo":
        os.mkfifo(path, 0o600)
    else:
        return Path(request.param)
    return path


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "words",
    [
        "--config FILE config check",
        "--config FILE config import",
        "config show --config FILE",
        "config set username joe --config FILE",
        "config init --config FILE",
        "login --user joe --code-file FILE",
        "ibkey enroll --user joe --yes --password-stdin --pin-file FILE",
        "ibkey enroll --user joe --yes --password-stdin --make-pin --code-file FILE",
        "ibkey import --user joe --secret-file FILE --pin-file FILE",
        "ibkey import FILE --user joe",
        "oauth configure --import FILE",
        "gateway install --from FILE",
        "sim --scenario FILE",
        "sim --ready FILE",
    ],
)
def test_what_is_no_file_is_told(run: Run, odd: Path, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_profile(URL)
    monkeypatch.setenv("IBEAM_ACCOUNT", "joe")
    began = time.monotonic()
    done = run(*words.replace("FILE", str(odd)).split(), stdin="planted\n")
    assert time.monotonic() - began < LONG_S
    assert done.code in (1, 2, 6) and str(odd) in done.err and odd.exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("ca_file", "gateway status"),
        ("ca_file", "request GET /tickle"),
        ("oauth_file", "oauth check"),
        ("oauth2_key_file", "status"),
        ("password.file", "login --user joe"),
    ],
)
def test_so_it_is_where_the_settings_name_it(run: Run, odd: Path, key: str, words: str) -> None:
    mode = {"oauth_file": "oauth1", "oauth2_key_file": "oauth2"}.get(key, "gateway")
    more = {key: str(odd)} if "." not in key else {}
    path = write_profile(URL, mode=mode, **more)
    if "." in key:
        table, _, how = key.partition(".")
        path.write_text(path.read_text() + f'[profiles.default.{table}]\n{how} = "{odd}"\n')
    began = time.monotonic()
    done = run(*words.split())
    assert time.monotonic() - began < LONG_S
    assert done.code and done.err + done.out


@pytest.mark.timeout(60)
def test_a_password_without_end_is_refused(run: Run) -> None:
    write_profile(URL)
    for command in ("login", "ibkey enroll --yes --make-pin"):
        done = run(*command.split(), "--user", "joe", "--password-stdin", stdin="\0" * 1_000_000)
        assert done.code == 2 and "no password" in done.err


@pytest.mark.timeout(60)
def test_a_body_without_end_is_refused(run: Run) -> None:
    write_profile(URL)
    done = run("request", "POST", "/x", "--data", "-", stdin=" " * 5_000_000)
    assert done.code == 2 and "too large" in done.err
