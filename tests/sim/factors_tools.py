"""The client's side of second factors and enrollment (login.md §3, §6), for the simulator's tests."""

from __future__ import annotations

from typing import Any

import httpx

from ibtui.sim import ocra, scenario
from ibtui.sim.scenario import Login
from ibtui.sim.server import Simulator
from tests.sim.platform_tools import Client, SrpClient, encrypt, leaves

DEVICE = "48f8ede2193efa5f"


def login_of(sim: Simulator, user: str) -> Login:
    found = sim.scenario.find(user)
    assert found is not None
    return found


def response(sim: Simulator, user: str, challenge: str, counter: int, *, rfc: bool = False) -> str:
    """What an honest IBKey with this counter answers."""
    device = login_of(sim, user).device
    value = ocra.value_of(counter, rfc=rfc)
    return ocra.answer(bytes.fromhex(device.ocra), value, challenge, device.pin)


def code_in(text: str) -> str:
    """The first run of six digits."""
    run = ""
    for letter in text:
        run = run + letter if letter.isdigit() else ""
        if len(run) == 6:
            return run
    raise AssertionError(f"no code in {text!r}")


class FactorClient(Client):
    """`Client` that answers second factors."""

    async def proved(self, user: str) -> dict[str, str]:
        solved, reply = await self.prove(user, login_of(self.sim, user).user.password)
        assert reply["M2"] == solved["M2"], reply
        return solved

    async def ask(self, user: str, solved: dict[str, str], code: str) -> dict[str, str]:
        return await self.authenticator(
            ACTION="COMPLETEAUTH_1", APP_NAME="", USER=user, ACCT="", M1=solved["M1"], VERSION="1", SF=code
        )

    async def answer(self, user: str, code: str, text: str) -> dict[str, str]:
        return await self.authenticator(
            ACTION="COMPLETETWOFACT", APP_NAME="", USER=user, ACCT="", RESPONSE=text, VERSION="1", SF=code
        )

    async def sms(self) -> str:
        """The code of the newest message."""
        rows = await self.control("/sms")
        return code_in(rows[-1]["body"])

    async def by_ibkey(self, user: str, counter: int, *, rfc: bool = False) -> httpx.Response | None:
        """A whole login with this counter; None when the response was refused."""
        solved = await self.proved(user)
        asked = await self.ask(user, solved, "5.2a")
        text = response(self.sim, user, asked["challenge"], counter, rfc=rfc)
        verdict = await self.answer(user, "5.2a", text)
        if verdict["auth_res"] != "true":
            return None
        return await self.dispatch(user, solved, text)


class Enroller(Client):
    """The nine requests of login.md §6, each callable by itself."""

    def __init__(self, sim: Simulator, user: str, pin: str = "007615", **options: Any) -> None:
        super().__init__(sim, **options)
        self.user, self.pin = user, pin
        self.srp = SrpClient(user, login_of(sim, user).user.password)
        self.solved: dict[str, str] = {}
        self.shared = b""

    async def manager(self, **fields: str) -> httpx.Response:
        reply = await self.post_form("/sso/AuthenticatorMgr", **fields)
        assert reply.status_code == 200, reply.text
        return reply

    async def dynamic(self, **fields: str) -> httpx.Response:
        reply = await self.post_form("/sso/DynamicAuthenticatorAuth", **fields)
        assert reply.status_code == 200, reply.text
        return reply

    async def begin(self) -> dict[str, str]:
        """Rows 1 and 2, repeated when the group is another."""
        for _ in range(2):
            await self.manager(ACTION="INIT", VERSION="3", MODE="ENABLE_USER")
            reply = await self.dynamic(
                ACTION="INIT", RESP_TYPE="XML", USER=self.user, A=self.srp.A, VERSION="1"
            )
            init = leaves(reply.text)
            if "error" in init:
                return init
            group = int(init["N"], 16), int(init["g"])
            if group == (self.srp.n, self.srp.g):
                break
            self.srp.n, self.srp.g = group
        return init

    async def prove_password(self, init: dict[str, str]) -> dict[str, str]:
        """Row 3."""
        rsapub = init["rsapub"]
        self.solved = self.srp.solve({**init, "rsapub": rsapub or f"{1 << 1023 | 1:x}"})
        self.shared = bytes.fromhex(self.solved["K"])
        extra = {"EKX": self.solved["EKX"]} if rsapub else {}
        reply = await self.dynamic(
            ACTION="COMPLETEAUTH", M1=self.solved["M1"], RESP_TYPE="XML", VERSION="1", **extra
        )
        found = leaves(reply.text)
        if found["M2"] == self.solved["M2"]:
            self.http.cookies.set("XYZAB.LOGIN", self.solved["key"], path="/")
        return found

    async def ask_sms(self) -> dict[str, str]:
        """Row 4."""
        reply = await self.dynamic(
            ACTION="COMPLETEAUTH_1", APP_NAME="", RESP_TYPE="XML", VERSION="1", SF="4.2"
        )
        return leaves(reply.text)

    async def confirm(self, code: str) -> dict[str, str]:
        """Rows 5 and 6."""
        await self.manager(ACTION="SECOND_FACTOR_CONFIG")
        reply = await self.dynamic(
            ACTION="COMPLETETWOFACT", USER=self.user, RESPONSE=code, RESP_TYPE="JSON", VERSION="1", SF="4.2"
        )
        return dict(reply.json())

    async def is_enabled(self, os: str = "Android+9") -> Any:
        """Row 7."""
        return (await self.manager(ACTION="IS_USER_ENABLED", OS=os)).json()

    async def params(self) -> Any:
        """Row 8."""
        return (await self.manager(ACTION="GET_PARAMS")).json()

    async def set_up(self, params: dict[str, str], counter: int = 1, **changed: str) -> Any:
        """Row 9."""
        key = ocra.derive_key(self.shared, DEVICE)
        modulus, exponent = int(params["MODULUS"], 16), int(params["EXPONENT"], 16)
        fields = {
            "ACTION": "COMPLETE_SETUP",
            "CHALLENGE_RESPONSE": ocra.answer(key, counter, params["CHALLENGE"], self.pin),
            "E_PIN": encrypt(self.pin, modulus, exponent),
            "E_DEVICE_ID": encrypt(DEVICE, modulus, exponent),
            "OS": "Android+9",
            "COUNTRY_CODE": "US",
            "CARRIER_NAME": "T-Mobile",
            "APP_VERSION": "IBTWS_8.4.348",
            "STORAGE": "0",
            "KEY_TYPE": "IKEY",
            **changed,
        }
        return (await self.manager(**fields)).json()

    async def up_to_params(self) -> dict[str, str]:
        """Rows 1 to 8, SMS included where one is wanted."""
        found = await self.prove_password(await self.begin())
        assert found["M2"] == self.solved["M2"], found
        if "sftypes" in found:
            assert (await self.ask_sms())["type"] == "SWTK"
            code = code_in((await self.control("/sms"))[-1]["body"])
            assert await self.confirm(code) == {"auth_res": "true"}
        assert await self.is_enabled() == {"USER_ALLOWED": 0}
        return dict(await self.params())


def default(**settings: float) -> scenario.Scenario:
    chosen = scenario.load()
    scenario.apply(chosen.settings, {"auth_delay_s": 0.05, **settings})
    return chosen
