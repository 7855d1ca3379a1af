"""Users with second factors: in the ready object, from a seed, from a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ibtui.errors import UsageError
from ibtui.sim import scenario
from ibtui.sim.server import Simulator
from tests.sim.factors_tools import FactorClient
from tests.sim.platform_stand_in import TinyBrokerage
from tests.sim.platform_tools import started


def ready(seed: int = 1) -> list[dict[str, object]]:
    return Simulator(scenario.load(seed=seed), brokerage=TinyBrokerage()).ready()["users"]


def test_every_set_of_factors_is_there() -> None:
    sets = [user["factors"] for user in ready()]
    for wanted in (
        [],
        ["4"],
        ["4.2"],
        ["5.2a"],
        ["5.2i"],
        ["4.2", "5.2a"],
        ["4", "4.2", "5.2a"],
        ["5.2i", "4.2"],
        ["3"],
    ):
        assert wanted in sets
    # The first user with one of the common sets is the plain case of it.
    plain = next(user for user in ready() if user["factors"] == ["5.2a"])
    assert (plain["username"], plain["counter"], plain["paper"]) == ("ibkey123", 2, True)
    assert {user["paper"] for user in ready() if user["factors"] == ["4.2"]} == {True, False}


def test_what_goes_with_the_factors() -> None:
    for user in ready():
        factors = user["factors"]
        assert isinstance(factors, list)
        assert ("totp_secret" in user) == ("4" in factors)
        has_key = "5.2a" in factors or "5.2i" in factors
        assert ({"pin", "ocra", "counter"} & set(user)) == ({"pin", "ocra", "counter"} if has_key else set())
        if has_key:
            assert re.fullmatch(r"\d{4,6}", str(user["pin"])) and re.fullmatch(
                r"[0-9a-f]{40}", str(user["ocra"])
            )
        if "totp_secret" in user:
            assert re.fullmatch(r"[A-Z2-7]{32}", str(user["totp_secret"]))


def test_same_seed_same_secrets() -> None:
    assert ready(3) == ready(3)
    one, other = ({user["username"]: user.get("ocra") for user in ready(seed)} for seed in (3, 4))
    assert set(one) == set(other)
    assert one["ibkey123"] != other["ibkey123"]


def test_a_file_may_give_the_secrets(tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text(
        f"""
        [settings]
        ibkey_window = 7
        ibkey_rfc = true
        max_codes = 2
        [quirks]
        sms_delay_s = 3
        [[users]]
        username = "someone"
        factors = ["4", "5.2a"]
        totp_secret = "GEZDGNBVGY3TQOJQ"
        pin = "0042"
        ocra = "{"ab" * 20}"
        counter = 57
        kind = "IBTK"
        [[users]]
        username = "made"
        factors = ["5.2a"]
        """,
        encoding="utf-8",
    )
    chosen = scenario.load(str(file))
    device = chosen.logins[0].device
    assert (device.totp_secret, device.pin, device.counter, device.kind) == (
        "GEZDGNBVGY3TQOJQ", "0042", 57, "IBTK",
    )  # fmt: skip
    assert chosen.logins[1].device.ocra
    assert (chosen.settings.ibkey_window, chosen.settings.ibkey_rfc, chosen.settings.max_codes) == (
        7,
        True,
        2,
    )
    sim = Simulator(chosen, brokerage=TinyBrokerage())
    assert sim.users()[0]["counter"] == 57


@pytest.mark.parametrize(
    "line",
    ['ocra = "abc"', 'ocra = "abcd"', "counter = 0", 'totp_secret = "1"', "pin = 1234", "counter = true"],
)
def test_secrets_that_do_not_fit(tmp_path: Path, line: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(f'[[users]]\nusername = "x"\nfactors = ["5.2a", "4"]\n{line}\n', encoding="utf-8")
    with pytest.raises(UsageError):
        scenario.load(str(file))


async def test_users_settings_and_twilio_over_http() -> None:
    sim = await started(scenario.load(), brokerage=TinyBrokerage(), plain=True)
    try:
        async with FactorClient(sim) as client:
            told = json.loads(json.dumps(sim.ready()))
            assert await client.control("/users") == told["users"]
            assert set(told["twilio"]) == {"url", "sid", "token"} and told["twilio"]["url"] == sim.url
            assert (await client.control("/settings"))["ibkey_window"] == 20
            assert (await client.control("/settings", {"ibkey_window": 7}))["ibkey_window"] == 7
            reply = await client.http.post("/sim/settings", json={"no_such": 1})
            assert reply.status_code == 400
            assert (await client.http.post("/sim/session", json={"action": "maintenance"})).status_code == 400
    finally:
        await sim.stop()
