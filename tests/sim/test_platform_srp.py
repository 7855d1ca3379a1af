"""The server's password proof against the known answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ibtui.sim import srp

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "vectors" / "login.json").read_text(encoding="utf-8")
)


def group_of(given: dict[str, Any]) -> srp.Group:
    return srp.Group(int(given["N"], 16), int(given["g"]), given["proto"], not given["lp"])


@pytest.mark.parametrize("vector", VECTORS["srp"], ids=lambda one: one["name"])
def test_known_answers(vector: dict[str, Any]) -> None:
    given, wanted = vector["in"], vector["out"]
    group = group_of(given)
    a_public = int(wanted["A"], 16)
    proof = srp.Proof(
        group, given["user"], given["password"], a_public, salt=int(given["s"], 16), b=int(given["b"], 16)
    )
    assert f"{proof.b_public:x}" == given["B"]
    assert f"{group.k():x}" == wanted["k"]
    assert f"{group.x(proof.salt, given['user'], given['password']):x}" == wanted["x"]
    assert f"{group.u(a_public, proof.b_public):x}" == wanted["u"]
    assert proof.key.hex() == wanted["K"]
    assert proof.m1 == wanted["M1"]
    assert proof.proves(wanted["M1"])
    assert not proof.proves("0" + wanted["M1"][1:] if wanted["M1"][0] != "0" else "1" + wanted["M1"][1:])
    assert proof.m2 == wanted["M2"]
    assert proof.session_key == wanted["session_key"]


@pytest.mark.parametrize("step", VECTORS["steps"], ids=lambda one: one["name"])
def test_published_steps(step: dict[str, Any]) -> None:
    given, wanted = step["in"], step["out"]
    n, g = int(given.get("N", "1"), 16), int(given.get("g", "2"))
    group = srp.Group(n, g) if "N" in given else srp.Group()
    if step["step"] == "x":
        assert f"{group.x(int(given['s'], 16), given['user'], given['password']):x}" == wanted
    elif step["step"] == "u":
        assert f"{group.u(int(given['A'], 16), int(given['B'], 16)):x}" == wanted
    elif step["step"] == "K":
        assert srp.sha1(srp.mb(int(given["S"], 16))).hex() == wanted
    elif step["step"] == "M1":
        proof = group.m1(
            given["user"],
            int(given["s"], 16),
            int(given["A"], 16),
            int(given["B"], 16),
            bytes.fromhex(given["K"]),
        )
        assert proof.hex() == wanted
    elif step["step"] == "M2":
        assert (
            srp.m2(int(given["A"], 16), bytes.fromhex(given["M1"]), bytes.fromhex(given["K"])).hex() == wanted
        )
    else:
        # S is the client's formula: the server's S is covered by K of every vector above.
        assert step["step"] == "S"


@pytest.mark.parametrize("transcript", VECTORS["transcripts"], ids=lambda one: one["name"])
def test_transcripts_from_the_servers_side(transcript: dict[str, Any]) -> None:
    """What the server computes from A, B, s and K is what the transcript shows (its b is not given)."""
    from platform_tools import leaves

    init, complete = transcript["exchanges"][0], transcript["exchanges"][1]
    told, proved = leaves(init["reply"]), leaves(complete["reply"])
    sent = dict(complete["fields"])
    a_public = int(dict(init["fields"])["A"], 16)
    group = srp.Group(int(told["N"], 16), int(told["g"]), told["proto"], told["lp"] == "false")
    key = bytes.fromhex(transcript["K"])
    b_public, salt = int(told["B"], 16), int(told["s"], 16)
    # The verifier that belongs to this password gives the same key as the client's secret a.
    x = group.x(salt, transcript["user"], transcript["password"])
    base = (b_public - group.k() * pow(group.g, x, group.n)) % group.n
    shared = pow(base, int(transcript["a"], 16) + group.u(a_public, b_public) * x, group.n)
    assert srp.sha1(srp.mb(shared)) == key
    assert group.m1(transcript["user"], salt, a_public, b_public, key).hex() == sent["M1"]
    assert srp.m2(a_public, bytes.fromhex(sent["M1"]), key).hex() == proved["M2"]
    assert srp.session_key(b_public, key).hex() == transcript["session_key"]


def test_refuses_a_zero() -> None:
    for value in (0, srp.DEFAULT_N, 2 * srp.DEFAULT_N):
        with pytest.raises(ValueError, match="A is 0"):
            srp.Proof(srp.Group(), "someone", "secret", value)


def test_an_unknown_user_never_proves_anything() -> None:
    proof = srp.Proof(srp.Group(), "nobody", None, 5)
    assert not proof.proves(proof.m1)


def test_key_box_opens_what_was_sealed_and_nothing_else() -> None:
    from platform_tools import encrypt

    box = srp.KeyBox()
    text = "00" * 2 + "ab" * 18
    assert box.open(encrypt(text, int(box.modulus, 16))) == text
    for wrong in ("", "zz", "1", "f" * 4096):
        with pytest.raises(ValueError):
            if box.open(wrong) != text:
                raise ValueError("other text")
