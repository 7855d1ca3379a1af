"""IBKey enrollment as login.md §6 tells it, and each way in which it can fail."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ibtui.sim import ocra
from ibtui.sim.server import Simulator
from tests.sim.factors_tools import DEVICE, Enroller, FactorClient, code_in, default, login_of
from tests.sim.platform_stand_in import TinyBrokerage
from tests.sim.platform_tools import SrpClient, encrypt, started

DENIED = {"error": "not authenticated"}


@pytest.fixture(params=["https", "plain"])
async def sim(request: pytest.FixtureRequest) -> AsyncIterator[Simulator]:
    sim = await started(default(), brokerage=TinyBrokerage(), plain=request.param == "plain")
    try:
        yield sim
    finally:
        await sim.stop()


@pytest.fixture
async def tls() -> AsyncIterator[Simulator]:
    sim = await started(default(), brokerage=TinyBrokerage())
    try:
        yield sim
    finally:
        await sim.stop()


@pytest.mark.parametrize(
    ("user", "after"),
    [
        ("sms12345", ["4.2", "5.2a"]),
        ("ibkey123", ["5.2a"]),
        ("phone123", ["5.2a", "4.2"]),
        ("moved123", ["4.2", "5.2a"]),
        ("group123", ["5.2a"]),
        ("Capital1", ["5.2a"]),
    ],
)
async def test_enrollment_then_a_login_with_counter_2(sim: Simulator, user: str, after: list[str]) -> None:
    former = login_of(sim, user).device.ocra
    async with Enroller(sim, user) as enroller:
        params = await enroller.up_to_params()
        assert params["ALGO"] == "OCRA-1:HOTP-SHA1-8:C-QN06-PSHA1" and params["EXPONENT"] == "10001"
        done = await enroller.set_up(params)
        assert done["ACTIVATION_RESULT"] is True and done["SERIAL_NO"]
        rows = await enroller.control("/logins")
    device = login_of(sim, user).device
    assert device.ocra == ocra.derive_key(enroller.shared, DEVICE).hex() != former
    assert (device.pin, device.last) == ("007615", 1)
    row = next(one for one in sim.users() if one["username"] == user)
    assert (row["factors"], row["counter"], row["pin"]) == (after, 2, "007615")
    assert (rows[-1]["action"], rows[-1]["counter"], rows[-1]["accepted"]) == ("COMPLETE_SETUP", 1, True)
    assert {one["where"] for one in rows} == {"enroll"} and {one["user"] for one in rows} <= {
        user,
        user.lower(),
    }
    async with FactorClient(sim) as client:
        assert await client.by_ibkey(user, 1) is None
        assert await client.by_ibkey(user, 2) is not None


async def test_a_second_enrollment_replaces_the_first(tls: Simulator) -> None:
    keys = []
    for _ in range(2):
        async with Enroller(tls, "mixed123") as enroller:
            assert (await enroller.set_up(await enroller.up_to_params()))["ACTIVATION_RESULT"] is True
        keys.append(login_of(tls, "mixed123").device.ocra)
    assert keys[0] != keys[1]
    assert login_of(tls, "mixed123").user.factors == ["4.2", "5.2a"]


async def test_the_first_reply_may_be_an_error(tls: Simulator) -> None:
    async with Enroller(tls, "sms12345") as enroller:
        await enroller.control("/quirks", {"enroll_error": "service <not> available"})
        assert await enroller.begin() == {"error": "service <not> available"}
        await enroller.control("/quirks", {"enroll_error": ""})
        enroller.user = "nobody99"
        assert await enroller.begin() == {"error": "invalid user"}


async def test_without_the_type_of_reply_it_is_a_page(tls: Simulator) -> None:
    async with Enroller(tls, "sms12345") as enroller:
        await enroller.prove_password(await enroller.begin())
        for fields in ({}, {"RESP_TYPE": "JSON"}):
            reply = await enroller.dynamic(ACTION="COMPLETEAUTH_1", VERSION="1", SF="4.2", **fields)
            assert reply.headers["content-type"].startswith("text/html")
        assert await enroller.control("/sms") == []


async def test_an_empty_rsapub_needs_no_ekx(tls: Simulator) -> None:
    async with Enroller(tls, "sms12345") as enroller:
        await enroller.control("/quirks", {"enroll_without_rsapub": True})
        init = await enroller.begin()
        assert init["rsapub"] == ""
        assert (await enroller.prove_password(init))["M2"] == enroller.solved["M2"]


async def test_a_wrong_password_counts_with_those_of_logins(tls: Simulator) -> None:
    async with Enroller(tls, "sms12345") as enroller:
        enroller.srp = SrpClient("sms12345", "not it")
        for attempt in range(6):
            reply = await enroller.prove_password(await enroller.begin())
            assert (reply["M2"], reply["reached_max_login"]) == ("", "true" if attempt == 5 else "false")
        assert (await enroller.ask_sms()) == {"error": "not authenticated"}
    async with FactorClient(tls) as client:
        _, reply = await client.prove("sms12345", login_of(tls, "sms12345").user.password)
        assert reply["reached_max_login"] == "true"


async def test_a_wrong_code(tls: Simulator) -> None:
    async with Enroller(tls, "sms12345") as enroller:
        await enroller.prove_password(await enroller.begin())
        await enroller.ask_sms()
        code = code_in((await enroller.control("/sms"))[-1]["body"])
        wrong = await enroller.confirm(f"{(int(code) + 1) % 10**6:06d}")
        assert wrong == {"auth_res": "false", "error": "invalid response"}
        assert await enroller.is_enabled() == DENIED
        assert await enroller.confirm(code) == {"auth_res": "true"}
        assert await enroller.is_enabled() == {"USER_ALLOWED": 0}


async def test_not_allowed(tls: Simulator) -> None:
    async with Enroller(tls, "demo123") as enroller:
        await enroller.prove_password(await enroller.begin())
        assert await enroller.is_enabled("Android 9") == {"USER_ALLOWED": 1}  # the plus got lost
        await enroller.control("/quirks", {"enroll_user_allowed": 3})
        assert await enroller.is_enabled() == {"USER_ALLOWED": 3}
        assert await enroller.params() == DENIED


async def test_activation_refused(tls: Simulator) -> None:
    async with Enroller(tls, "demo123") as enroller:
        await enroller.control("/quirks", {"enroll_activation": False, "enroll_algo": "OCRA-1:HOTP-SHA256-8"})
        params = await enroller.up_to_params()
        assert params["ALGO"] == "OCRA-1:HOTP-SHA256-8"
        assert await enroller.set_up(params) == {"ACTIVATION_RESULT": False}
    assert login_of(tls, "demo123").user.factors == []
    assert login_of(tls, "demo123").device.ocra == ""


@pytest.mark.parametrize(
    "changed",
    [
        {"CHALLENGE_RESPONSE": "00000000"},
        {"CHALLENGE_RESPONSE": ""},
        {"E_PIN": "12"},
        {"E_DEVICE_ID": ""},
        {"OS": "Android 9"},
        {"KEY_TYPE": "OKEY"},
    ],
)
async def test_a_wrong_set_up(tls: Simulator, changed: dict[str, str]) -> None:
    async with Enroller(tls, "demo123") as enroller:
        params = await enroller.up_to_params()
        assert await enroller.set_up(params, **changed) == {"ACTIVATION_RESULT": False}
        # The challenge is used up, a new one may be asked for.
        assert await enroller.set_up(params) == {"ACTIVATION_RESULT": False}
        assert (await enroller.set_up(await enroller.params()))["ACTIVATION_RESULT"] is True


async def test_another_counter_or_pin_than_the_answers(tls: Simulator) -> None:
    async with Enroller(tls, "demo123") as enroller:
        params = await enroller.up_to_params()
        assert await enroller.set_up(params, counter=2) == {"ACTIVATION_RESULT": False}
        params = await enroller.params()
        pin = encrypt("4711", int(params["MODULUS"], 16), 65537)
        assert await enroller.set_up(params, E_PIN=pin) == {"ACTIVATION_RESULT": False}


async def test_the_session_is_the_cookies_of_the_first_request(tls: Simulator) -> None:
    async with Enroller(tls, "demo123") as enroller:
        await enroller.prove_password(await enroller.begin())
        kept = dict(enroller.http.cookies)
        enroller.http.cookies.delete("XYZAB.LOGIN")
        assert await enroller.is_enabled() == DENIED
        enroller.http.cookies.set("XYZAB.LOGIN", "ab" * 20, path="/")
        assert await enroller.is_enabled() == DENIED
        enroller.http.cookies.set("XYZAB.LOGIN", kept["XYZAB.LOGIN"], path="/")
        assert await enroller.is_enabled() == {"USER_ALLOWED": 0}
        enroller.http.cookies.delete("JSESSIONID")
        assert await enroller.params() == DENIED


async def test_no_secret_in_what_can_be_read(tls: Simulator) -> None:
    async with Enroller(tls, "sms12345") as enroller:
        await enroller.set_up(await enroller.up_to_params())
        seen = str(await enroller.control("/logins")) + str(await enroller.control("/journal"))
    login = login_of(tls, "sms12345")
    for secret in (login.user.password, login.device.pin, login.device.ocra, *enroller.solved.values()):
        assert secret not in seen
