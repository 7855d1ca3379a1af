"""A small client for the platform's tests, written from the notes: SRP, login, control."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import secrets
import ssl
import xml.etree.ElementTree as ET
from typing import Any

import httpx
import websockets

from ibtui.sim.scenario import Scenario
from ibtui.sim.server import Simulator

N0 = int(
    "d4c7f8a2b32c11b8fba9581ec4ba4f1b04215642ef7355e37c0fc0443ef756ea2c6b8eeb755a1c7230"
    "27663caa265ef785b8ff6a9b35227a52d86633dbdfca43",
    16,
)


def digest(*parts: bytes) -> bytes:
    return hashlib.sha1(b"".join(parts)).digest()


def raw(value: int) -> bytes:
    text = f"{value:x}"
    return bytes.fromhex(text if len(text) % 2 == 0 else "0" + text) if value else b""


def drop_zero(data: bytes) -> bytes:
    return data[1:] if data.startswith(b"\0") else data


class SrpClient:
    """The left column of login.md §2."""

    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password
        self.n, self.g = N0, 2
        self.a = secrets.randbits(256)

    @property
    def A(self) -> str:
        return f"{pow(self.g, self.a, self.n):x}"

    def solve(self, reply: dict[str, str]) -> dict[str, str]:
        n, g, a = self.n, self.g, self.a
        s, b_pub, a_pub = int(reply["s"], 16), int(reply["B"], 16), int(self.A, 16)
        width = len(raw(n))
        password = self.password if reply["lp"] == "true" else self.password[:8]
        name = self.user.lower()
        x = int.from_bytes(digest(raw(s), digest(f"{name}:{password}".encode())), "big")
        if reply["proto"] == "3":
            k, u = 1, int.from_bytes(digest(raw(b_pub))[:4], "big")
        elif reply["proto"] == "6":
            k, u = 3, int.from_bytes(digest(raw(a_pub), raw(b_pub)), "big")
        else:
            k = int.from_bytes(digest(raw(n), g.to_bytes(width, "big")), "big") % n
            u = int.from_bytes(digest(a_pub.to_bytes(width, "big"), b_pub.to_bytes(width, "big")), "big")
        shared = pow((b_pub - k * pow(g, x, n)) % n, a + u * x, n)
        key = digest(raw(shared))
        xor = int.from_bytes(digest(raw(n)), "big") ^ int.from_bytes(digest(raw(g)), "big")
        m1 = drop_zero(
            digest(raw(xor), digest(name.encode()), raw(s), raw(a_pub), raw(b_pub), drop_zero(key))
        )
        return {
            "M1": m1.hex(),
            "M2": digest(raw(a_pub), drop_zero(m1), drop_zero(key)).hex(),
            "key": digest(raw(b_pub), drop_zero(key)).hex(),
            "K": key.hex(),
            "EKX": encrypt(key.hex(), int(reply["rsapub"], 16)),
        }


def encrypt(text: str, modulus: int, exponent: int = 3) -> str:
    size = (modulus.bit_length() + 7) // 8
    filler = bytes(random.randrange(1, 256) for _ in range(size - 3 - len(text)))
    block = b"\x00\x02" + filler + b"\x00" + text.encode()
    out = f"{pow(int.from_bytes(block, 'big'), exponent, modulus):x}"
    return out if len(out) % 2 == 0 else "0" + out


def leaves(xml: str) -> dict[str, str]:
    return {element.tag: element.text or "" for element in ET.fromstring(xml).iter() if len(element) == 0}


class Client:
    """A direct caller of the simulator over real TLS."""

    def __init__(self, sim: Simulator, **options: Any) -> None:
        self.sim = sim
        self.tls: ssl.SSLContext | None = None
        if sim.cert is not None:
            self.tls = ssl.create_default_context(cafile=str(sim.cert))
        self.http = httpx.AsyncClient(
            base_url=sim.url, verify=self.tls or True, trust_env=False, timeout=10.0, **options
        )
        self.sent: dict[str, str] = {}

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def post_form(self, path: str, **fields: str) -> httpx.Response:
        return await self.http.post(path, data=fields)

    async def authenticator(self, **fields: str) -> dict[str, str]:
        reply = await self.post_form(f"/sso/Authenticator?{secrets.randbelow(100_001)}", **fields)
        assert reply.status_code == 200, reply.text
        return leaves(reply.text)

    async def prove(self, user: str, password: str) -> tuple[dict[str, str], dict[str, str]]:
        """Steps 1 to 3; the solved values and the reply to step 3."""
        srp = SrpClient(user, password)
        for _ in range(2):
            root = await self.http.get("/")
            assert root.status_code == 302
            assert root.headers["location"] == "/sso/Login?forwardTo=22&RL=1&ip2loc=US"
            await self.http.get(root.headers["location"])
            init = await self.authenticator(
                ACTION="INIT", APP_NAME="", MODE="NORMAL", FORCE_LOGIN="", USER=user, ACCT="", A=srp.A
            )
            group = int(init["N"], 16), int(init["g"])
            if group == (srp.n, srp.g):
                break
            srp.n, srp.g = group
        solved = srp.solve(init)
        reply = await self.authenticator(
            ACTION="COMPLETEAUTH",
            APP_NAME="",
            USER=user.lower(),
            ACCT="",
            M1=solved["M1"],
            VERSION="1",
            EKX=solved["EKX"],
        )
        if reply["M2"] == solved["M2"]:
            self.http.cookies.set("XYZAB_AM.LOGIN", solved["key"], path="/")
        return solved, reply

    async def dispatch(self, user: str, solved: dict[str, str], answer: str = "") -> httpx.Response:
        return await self.post_form(
            "/sso/Dispatcher",
            user_name=user,
            password="x" * 24,
            chlginput=answer,
            loginType="0",
            forwardTo="22",
            M1=solved["M1"],
            M2=solved["M2"],
        )

    async def login(self, user: str = "demo123") -> httpx.Response:
        found = self.sim.scenario.find(user)
        assert found is not None
        solved, reply = await self.prove(user, found.user.password)
        assert reply["M2"] == solved["M2"]
        return await self.dispatch(user, solved)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.http.get(f"/v1/api{path}", **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.http.post(f"/v1/api{path}", json={} if body is None else body, **options)

    async def control(self, path: str, body: Any = None) -> Any:
        reply = await (
            self.http.get(f"/sim{path}") if body is None else self.http.post(f"/sim{path}", json=body)
        )
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def ready(self) -> None:
        """Wait until the brokerage session is open and established."""
        async with asyncio.timeout(10):
            while not (self.sim.sessions.jar and self.sim.sessions.jar.session.established):
                await asyncio.sleep(0.02)

    def socket(self, cookie: str | None = None, **options: Any) -> Any:
        headers = {} if cookie is None else {"Cookie": cookie}
        return websockets.connect(
            self.sim.ws, ssl=self.tls, additional_headers=headers, proxy=None, **options
        )

    @property
    def token(self) -> str:
        assert self.sim.sessions.jar is not None
        return self.sim.sessions.jar.session.token


async def frame(ws: Any, seconds: float = 5.0) -> Any:
    """The next frame: JSON as a value, other text as it is."""
    data = await asyncio.wait_for(ws.recv(), seconds)
    text = data.decode() if isinstance(data, bytes) else data
    return json.loads(text) if text.startswith("{") else text


async def frame_with(ws: Any, topic: str, seconds: float = 5.0) -> Any:
    """The next frame of a topic, others skipped."""
    async with asyncio.timeout(seconds):
        while True:
            one = await frame(ws, seconds)
            if isinstance(one, dict) and one.get("topic") == topic:
                return one


async def started(scenario: Scenario, *, plain: bool = False, logged_in: str = "", **parts: Any) -> Simulator:
    sim = Simulator(scenario, **parts)
    if logged_in:
        sim.log_in(logged_in)
    await sim.start(plain=plain)
    return sim
