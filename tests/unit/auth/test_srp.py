"""The password proof against known answers (login.md §2, tests/data/vectors/login.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ibtui.auth import srp
from ibtui.errors import UnknownReply
from ibtui.secret import Secret

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "data" / "vectors" / "login.json").read_text(encoding="utf-8")
)


def params_of(given: dict[str, Any]) -> srp.Params:
    return srp.Params(
        srp.Group(int(given["N"], 16), int(given["g"])),
        given["proto"],
        int(given["s"], 16),
        int(given["B"], 16),
        given["lp"],
    )


@pytest.mark.parametrize("case", VECTORS["srp"], ids=lambda case: case["name"])
def test_known_proofs(case: dict[str, Any]) -> None:
    given, out = case["in"], case["out"]
    params = params_of(given)
    a = srp.draw_a(params.group, int(given["a"], 16))
    A = srp.public(params.group, a)
    assert srp.hexn(A) == out["A"]
    assert (params.group != srp.DEFAULT_GROUP) == out["init_again"]
    proof = srp.prove(given["user"], Secret(given["password"]), params, a, A)
    assert proof.K.hex() == out["K"]
    assert (proof.M1, proof.M2, proof.session_key) == (out["M1"], out["M2"], out["session_key"])


@pytest.mark.parametrize("case", VECTORS["steps"], ids=lambda case: case["name"])
def test_known_steps(case: dict[str, Any]) -> None:
    text = case["in"]
    number = {name: int(text[name], 16) for name in ("N", "s", "A", "B", "S", "x", "u", "a") if name in text}
    raw = {name: bytes.fromhex(text[name]) for name in ("K", "M1") if name in text}
    group = srp.Group(number.get("N", 3), int(text.get("g", "2")))
    found: int | bytes
    match case["step"]:
        case "x":
            found = srp.secret_x(text["user"], text["password"], number["s"])
        case "u":
            found = srp.k_and_u(text["proto"], group, number["A"], number["B"])[1]
        case "S":
            given = (number[name] for name in "xau")
            found = srp.shared_s(group, number["B"], int(text["k"]), *given)
        case "K":
            found = srp.H(srp.mb(number["S"]))
        case "M1":
            found = srp.proof_m1(group, text["user"], number["s"], number["A"], number["B"], raw["K"])
        case _:
            found = srp.proof_m2(number["A"], raw["M1"], raw["K"])
    assert (found.hex() if isinstance(found, bytes) else srp.hexn(found)) == case["out"]


@pytest.mark.parametrize("case", VECTORS["rsa"], ids=lambda case: case["name"])
def test_known_encryptions(case: dict[str, Any]) -> None:
    out = srp.rsa_text(case["text"], int(case["n"], 16), int(case["e"], 16), bytes.fromhex(case["padding"]))
    assert out == case["cipher"]


def test_encryption_pads_with_non_zero_bytes() -> None:
    case = VECTORS["rsa"][0]
    first, second = (srp.rsa_text("0" * 40, int(case["n"], 16)) for _ in range(2))
    assert first != second
    assert len(first) % 2 == 0


def test_a_key_too_short_is_refused() -> None:
    with pytest.raises(UnknownReply, match="too short"):
        srp.rsa_text("x" * 40, 2**300 + 1)


def test_zero_b_is_refused_before_anything_is_computed() -> None:
    params = srp.Params(srp.DEFAULT_GROUP, "6", 1, srp.DEFAULT_GROUP.N)
    with pytest.raises(UnknownReply, match="B is 0"):
        srp.prove("u", Secret("p"), params, 2, 4)


def test_unknown_protocol_is_refused() -> None:
    params = srp.Params(srp.DEFAULT_GROUP, "7", 1, 5)
    with pytest.raises(UnknownReply, match="protocol '7'"):
        srp.prove("u", Secret("p"), params, 2, 4)


def test_a_is_brought_into_range() -> None:
    small = srp.Group(23, 5)
    assert srp.draw_a(small, 1000) == 1000 % 22
    assert srp.draw_a(small, 0) == 2
    assert 2 <= srp.draw_a(srp.DEFAULT_GROUP) < srp.DEFAULT_GROUP.N


def test_a_proof_prints_nothing() -> None:
    params = params_of(VECTORS["srp"][0]["in"])
    proof = srp.prove("u", Secret("p"), params, 3, srp.public(params.group, 3))
    assert proof.M1 not in repr(proof) and proof.session_key not in repr(proof)
