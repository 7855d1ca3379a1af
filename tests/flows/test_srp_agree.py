"""The client's password proof against the simulator's, which shares no code with it: 2,000 seeded logins."""

from __future__ import annotations

import random
import string
from collections import Counter

import pytest

from ibtui.auth import srp as client
from ibtui.secret import Secret
from ibtui.sim import srp as server

ROUNDS = 2_000
LETTERS = string.ascii_letters + string.digits + string.punctuation + "äßéÅ€漢字𝄞🦓 "
SMALL = (0x7FFFFFED, 7), (0xFFFFFFFB, 2), (0xFFF1, 17)
"""Tiny primes: their numbers begin with zero bytes often."""


def group_of(rng: random.Random) -> server.Group:
    n, g = rng.choice(
        [(server.DEFAULT_N, server.DEFAULT_G)] * 6
        + [(server.OTHER_N, server.OTHER_G)] * 2
        + [rng.choice(SMALL)]
    )
    return server.Group(n, g, rng.choice(["3", "6", "6", "6a"]), rng.random() < 0.2)


def text(rng: random.Random, low: int, high: int) -> str:
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(low, high)))


def one(rng: random.Random, seen: Counter[str]) -> None:
    group = group_of(rng)
    user = "".join(rng.choice(string.ascii_letters + string.digits) for _ in range(rng.randint(4, 12)))
    password = text(rng, 1, 24)
    ours = client.Group(group.n, group.g)
    a = client.draw_a(ours, rng.getrandbits(rng.choice([8, 248, 256])))
    A = client.public(ours, a)
    salt = rng.choice([rng.getrandbits(32), rng.getrandbits(24), 0])
    proof = server.Proof(group, user, password, A, salt, rng.getrandbits(256) | 1)
    if proof.b_public % group.n == 0:
        return  # the client refuses it, rightly
    params = client.Params(ours, group.proto, salt, proof.b_public, not group.short)
    made = client.prove(user, Secret(password), params, a, A)
    what = f"{user!r} {password!r} {group.proto} {group.n:x} short={group.short}"
    assert proof.key == made.K, what
    assert proof.proves(made.M1), what
    assert (made.M1, made.M2, made.session_key) == (proof.m1, proof.m2, proof.session_key), what
    wrong = client.prove(user, Secret("x" + password), params, a, A)
    if group.n > 2**64 and proof.password != "x" + password:
        assert not proof.proves(wrong.M1) or group.short, what
    seen["all"] += 1
    seen["M1 begins with zero"] += len(made.M1) == 38
    seen["K begins with zero"] += made.K[0] == 0
    seen["A is short"] += len(client.hexn(A)) < len(client.hexn(group.n))
    seen["B is short"] += len(client.hexn(proof.b_public)) < len(client.hexn(group.n))
    seen["short password"] += group.short and len(password) > 8
    seen[group.proto] += 1


@pytest.mark.parametrize("seed", range(4))
def test_random_logins_agree(seed: int) -> None:
    rng, seen = random.Random(f"srp {seed}"), Counter[str]()
    for _ in range(ROUNDS // 4):
        one(rng, seen)
    assert seen["all"] > ROUNDS // 4 * 0.99
    rare = ("A is short", "B is short", "short password", "3", "6", "6a")
    assert all(seen[name] for name in rare), seen


def test_zero_bytes_in_front_are_met_in_all() -> None:
    rng, seen = random.Random("zeros"), Counter[str]()
    while not (seen["M1 begins with zero"] and seen["K begins with zero"]):
        one(rng, seen)
        assert seen["all"] < 3_000
