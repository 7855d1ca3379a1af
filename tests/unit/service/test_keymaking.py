"""Keys made in a process of its own: it tells what it makes, can be stopped at once, and ends with us."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import asymmetric

from ibtui.auth import keys
from ibtui.errors import IbtuiError, UsageError
from ibtui.service import keymaking
from tests.unit.auth.oauth_tools import DHPARAM, ENCRYPTION, SIGNATURE, other_key


def child(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(keymaking, "CHILD", (sys.executable, "-c", code))


def saying(*said: dict[str, str]) -> str:
    return "\n".join(f"print({json.dumps(it)!r}, flush=True)" for it in said)


READY = {"signature": SIGNATURE, "encryption": ENCRYPTION, "dhparam": DHPARAM}


async def test_what_the_child_makes_is_read_like_any_file(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    child(monkeypatch, saying({"making": "a"}, {"making": "b"}, READY))
    made = await keymaking.make(heard.append)
    assert heard == ["a", "b"]
    assert made.prime == keys.read_dh(DHPARAM)[0] and "PRIVATE" not in repr(made)
    child(monkeypatch, saying({**READY, "encryption": SIGNATURE}))
    with pytest.raises(UsageError, match="the same key"):
        await keymaking.make(heard.append)


@pytest.mark.parametrize("code", ["", "raise SystemExit(3)", "print('no json')", saying({"making": "a"})])
async def test_a_child_that_makes_nothing_is_told(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    child(monkeypatch, code)
    with pytest.raises(IbtuiError, match="ended without any"):
        await keymaking.make(lambda text: None)


async def test_a_child_that_cannot_be_started_or_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keymaking, "CHILD", ("/nowhere/python",))
    with pytest.raises(IbtuiError, match="cannot be started"):
        await keymaking.make(lambda text: None)
    monkeypatch.setattr(keymaking, "LONGEST_S", 0.3)
    child(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(IbtuiError, match="half an hour"):
        await keymaking.make(lambda text: None)


async def test_cancelling_the_real_search_ends_its_process_at_once() -> None:
    stage = asyncio.Event()
    heard: list[str] = []

    def progress(text: str) -> None:
        heard.append(text)
        if text == keymaking.PRIME:
            stage.set()

    before = children()
    making = asyncio.get_running_loop().create_task(keymaking.make(progress))
    async with asyncio.timeout(30):
        await stage.wait()
    assert heard == list(keymaking.STEPS)
    assert len(children() - before) == 1
    began = time.monotonic()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert time.monotonic() - began < 2
    assert children() == before


def children() -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.add(int(path.parent.name))
    return found


def test_the_child_makes_a_set_and_ends_with_its_input() -> None:
    done = subprocess.Popen(
        [*keymaking.CHILD, "512"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert done.stdout is not None
        said = [json.loads(row) for row in done.stdout]
    finally:
        done.kill()
        done.communicate()
    assert [it["making"] for it in said[:-1]] == list(keymaking.STEPS)
    assert keys.read_private_key(said[-1]["signature"]).key_size == 2048
    assert "DH PARAMETERS" in said[-1]["dhparam"]
    orphan = subprocess.Popen([*keymaking.CHILD, "2048"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        assert orphan.stdin is not None
        orphan.stdin.close()
        assert orphan.wait(timeout=30) in (0, 1)
    finally:
        orphan.kill()
        orphan.wait()


def test_a_safe_prime_is_found_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = keymaking.plain_safe_prime(320)
    for prime in (plain, keymaking.safe_prime(512)):
        assert keys.probably_prime(prime) and keys.probably_prime(prime >> 1)
        assert pow(2, prime >> 1, prime) == 1  # 2 generates the subgroup of order q
    assert plain.bit_length() == 320 and plain % 24 == 23
    monkeypatch.delattr(asymmetric, "dh", raising=False)
    monkeypatch.setitem(sys.modules, f"{asymmetric.__name__}.dh", None)
    assert keymaking.safe_prime(256) % 24 == 23


def test_the_childs_own_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(keymaking, "_end_with_input", lambda: None)
    monkeypatch.setattr(keymaking.keys, "make_key", lambda: keys.read_private_key(other_key()))
    keymaking.main(256)
    said = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert len(said) == 4 and set(said[-1]) == set(READY)


def test_the_signal_of_a_killed_search_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "keys"
    words = [sys.executable, "-m", "ibtui", "oauth", "keygen", "--folder", str(target)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        assert process.stderr is not None
        for row in process.stderr:
            if "Diffie" in row:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    finally:
        process.kill()
        process.communicate()
    assert not target.exists()
