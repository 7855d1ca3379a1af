"""Secrets from a program, a file, systemd, the keyring and the environment; what is wrong is told."""

from __future__ import annotations

import os
import sys
import time
import types
from pathlib import Path

import pytest

from ibtui.errors import PersonNeeded, UsageError
from ibtui.profile import Source
from ibtui.secret import Secret
from ibtui.sources import SecretSource

PLANTED = "Planted-pass-4711"


def source(env: dict[str, str] | None = None, /, **how: object) -> SecretSource:
    return SecretSource("password", Source(**how), env if env is not None else dict(os.environ))  # type: ignore[arg-type]


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


async def test_nothing_set_is_nothing() -> None:
    assert await source().read() is None
    assert not source()


async def test_a_program_gives_its_first_line_and_sees_no_secret_of_ours() -> None:
    code = (
        f"import os; print('{PLANTED}' if 'IBTUI_X' not in os.environ and 'PATH' in os.environ else 'leak')"
    )
    code += "; print('x' * 300000)"
    env = {**os.environ, "IBTUI_X": "secret"}
    assert await source(env, command=python(code)).read() == Secret(PLANTED)


async def test_a_program_has_no_shell_and_no_input() -> None:
    assert await source(command=("echo", "$HOME; id")).read() == Secret("$HOME; id")
    with pytest.raises(PersonNeeded, match="is empty"):
        await source(command=("cat",)).read()


async def test_a_program_that_fails_or_is_not_there() -> None:
    code = f"import sys; print('{PLANTED}', file=sys.stderr); print('{PLANTED}'); sys.exit(3)"
    with pytest.raises(PersonNeeded, match="exit status 3") as caught:
        await source(command=python(code)).read()
    assert "by hand" in caught.value.fix and PLANTED not in str(caught.value)
    with pytest.raises(UsageError, match="cannot be started"):
        await source(command=("no-such-program-4711",)).read()


async def test_a_slow_program_is_ended_with_its_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ibtui import sources

    mark = tmp_path / "late"
    script = f"(sleep 1.5; touch '{mark}') & sleep 30"
    begun = time.monotonic()
    with pytest.raises(PersonNeeded, match=r"within 0\.3 s"):
        await sources.first_line(("sh", "-c", script), os.environ, "the password", 0.3)
    assert time.monotonic() - begun < 1.4
    time.sleep(1.6)
    assert not mark.exists()


async def test_a_file_must_be_private(tmp_path: Path) -> None:
    path = tmp_path / "a secret"
    path.write_text(f"{PLANTED}\nsecond line\n")
    path.chmod(0o640)
    with pytest.raises(UsageError, match="Others may read") as caught:
        await source(file=str(path)).read()
    assert caught.value.fix == f"Run: chmod 600 '{path}'"
    path.chmod(0o600)
    assert await source(file=str(path)).read() == Secret(PLANTED)
    with pytest.raises(UsageError, match="cannot be read"):
        await source(file=str(tmp_path / "none")).read()


async def test_a_systemd_credential(tmp_path: Path) -> None:
    (tmp_path / "ibkr").write_text(PLANTED)
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert await source(env, credential="ibkr").read() == Secret(PLANTED)
    with pytest.raises(UsageError, match="systemd gave none") as caught:
        await source({}, credential="ibkr").read()
    assert "LoadCredential=ibkr" in caught.value.fix
    with pytest.raises(UsageError, match="no name of a credential"):
        await source(env, credential="../ibkr").read()


async def test_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UsageError, match="not installed"):
        await source(keyring="ibkr/me").read()
    entries = {("ibkr", "me"): PLANTED}
    fake = types.SimpleNamespace(get_password=lambda service, user: entries.get((service, user)))
    monkeypatch.setitem(sys.modules, "keyring", fake)
    assert await source(keyring="ibkr/me").read() == Secret(PLANTED)
    with pytest.raises(UsageError, match="no entry"):
        await source(keyring="ibkr/you").read()
    with pytest.raises(UsageError, match="SERVICE/USER"):
        await source(keyring="ibkr").read()


async def test_a_variable() -> None:
    assert await source({"MINE": PLANTED}, env="MINE").read() == Secret(PLANTED)
    with pytest.raises(UsageError, match="MINE with the password is not set"):
        await source({}, env="MINE").read()
    assert PLANTED not in repr(source({"MINE": PLANTED}, env="MINE"))
