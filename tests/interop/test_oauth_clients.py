"""OAuth 1.0a with the published clients, unchanged, against the simulator."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pexpect
import pytest
from cryptography.hazmat.primitives import serialization

from ibtui import IbkrClient
from ibtui.core.trust import Trust
from tests.interop.peers import DRIVERS, Peers, run, run_ibind

ACCOUNT = "DU1234567"
VERSION = "0.2.2"

pytestmark = pytest.mark.timeout(60)

OTHER_KEYS = json.loads((Path(__file__).parents[1] / "data/vectors/oauth1.json").read_text())["keys"]


def drive_node(peers: Peers, sim: Any, file: Path | str, *words: str) -> dict[str, Any]:
    """Run the ibkr-client driver with an `oauth1.json`."""
    modules = peers.node()
    host = urlsplit(sim.url).netloc
    argv = ["node", str(DRIVERS / "oauth_ibkr_client.js"), str(file), host, *words]
    return run(argv, {"NODE_PATH": str(modules), "NODE_EXTRA_CA_CERTS": sim.cert}, 40)


def ibind_fields(fields: dict[str, str]) -> dict[str, str]:
    """The seven fields by ibind's names (oauth.md §4.2)."""
    names = {
        "CONSUMER_KEY": "consumerKey",
        "ACCESS_TOKEN": "accessToken",
        "ACCESS_TOKEN_SECRET": "accessTokenSecret",
        "DH_PRIME": "dhPrime",
        "ENCRYPTION_KEY": "encryption",
        "SIGNATURE_KEY": "signature",
        "REALM": "realm",
    }
    texts = {f"IBIND_OAUTH1A_{name}": fields[field] for name, field in names.items()}
    return texts | {"IBIND_USE_OAUTH": "true"}


def drive_ibind(peers: Peers, sim: Any, fields: dict[str, str], folder: Path, *words: str) -> dict[str, Any]:
    """Run the ibind driver against the simulator's own address."""
    options = ibind_fields(fields) | {
        "IBIND_OAUTH1A_REST_URL": f"{sim.url}/v1/api/",
        "IBIND_OAUTH1A_WS_URL": sim.ready["ws"],
        "IBIND_ACCOUNT_ID": ACCOUNT,
        "REQUESTS_CA_BUNDLE": sim.cert,
    }
    python = peers.ibind(VERSION, oauth=True)
    return run_ibind(python, "oauth_ibind.py", options, folder, *words)


def fields_of(sim: Any) -> dict[str, str]:
    fields: dict[str, str] = json.loads(Path(sim.ready["oauth1"]).read_text())
    return fields


def forms(sim: Any) -> dict[str, str]:
    """Path -> which base string its signature fitted, the origin left out."""
    return {row["path"]: row["signed"].partition(" ")[0] for row in sim.journal() if row["signed"]}


def statuses(sim: Any) -> set[int]:
    return {row["status"] for row in sim.journal() if row["via"] == "api"}


def test_ibkr_client(peers: Peers, sim: Any) -> None:
    told = drive_node(peers, sim, sim.ready["oauth1"], ACCOUNT)
    assert told["init"]["authenticated"] is True
    assert len(told["tickle"]["session"]) == 32
    assert told["accounts"]["selectedAccount"] == ACCOUNT
    assert len(told["positions"]) > 3
    assert {name for name, found in told["stocks"].items() if found} == {"AAPL", "MSFT"}
    assert told["rules"]["con_id"] == 265598 and "rules" in told["rules"]
    assert "socket_error" not in told
    order_id = int(told["placed"][0]["order_id"])
    rows = [row for news in told["sor"] for row in news["args"] if row["orderId"] == order_id]
    assert rows[0]["status"] == "Inactive" and rows[-1]["status"] == "Filled"
    fitted = forms(sim)
    assert fitted["/v1/api/oauth/live_session_token"] == "no_query"
    assert fitted["/v1/api/trsrv/stocks"] == "query_raw"
    assert fitted["/v1/api/iserver/contract/265598/info-and-rules"] == "url_with_query"
    assert fitted["/v1/api/ws"] == "oauth1"
    assert statuses(sim) == {200, 101}


def test_ibind(peers: Peers, sim: Any, tmp_path: Path) -> None:
    told = drive_ibind(peers, sim, fields_of(sim), tmp_path)
    assert 86_000_000 < told["token"]["expires"] - told["token"]["now"] <= 86_400_000
    assert told["accounts"]["selectedAccount"] == ACCOUNT
    assert len(told["positions"]) > 3
    assert told["conids"] == {"AAPL": 265598, "MSFT": 272093}
    assert told["orders_cold"] == {"orders": [], "snapshot": False}
    assert told["started"] is True and told["subscribed"] is True
    orders = [row for news in told["order_news"] for row in news["args"]]
    assert int(told["placed"]["order_id"]) in [row["orderId"] for row in orders]
    fitted = forms(sim)
    assert fitted["/v1/api/oauth/live_session_token"] == "no_query"
    assert fitted["/v1/api/trsrv/stocks"] == "query_left_out"
    assert fitted["/v1/api/ws"] == "oauth1"
    last = [row for row in sim.journal() if row["method"] != "WS"][-1]
    assert (last["path"], last["status"]) == ("/v1/api/logout", 200)
    assert statuses(sim) == {200, 101}


@pytest.fixture
def broken(sim: Any, tmp_path: Path) -> Any:
    """Write an `oauth1.json` with some fields replaced."""

    def write(**changes: str) -> Path:
        file = tmp_path / "broken.json"
        file.write_text(json.dumps(fields_of(sim) | changes))
        return file

    return write


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dhPrime": OTHER_KEYS["dh_prime_hex"]}, "Cannot validate live session token"),
        ({"encryption": OTHER_KEYS["encryption_private_pem"]}, "Encryption block is invalid."),
        ({"signature": OTHER_KEYS["signature_private_pem"]}, "LST failed, error: invalid signature"),
        ({"consumerKey": "NOTTHEONE"}, "invalid consumer"),
    ],
)
def test_what_ibkr_client_says(
    peers: Peers, sim: Any, broken: Any, changes: dict[str, str], words: str
) -> None:
    told = drive_node(peers, sim, broken(**changes))
    assert told["refused"].endswith(words)


def test_what_both_say_of_a_registration_that_sleeps(peers: Peers, sim: Any, tmp_path: Path) -> None:
    sim.control("oauth", {"action": "deactivate"})
    told = drive_node(peers, sim, sim.ready["oauth1"])
    assert told["refused"].startswith("Response status 401: id: ")
    assert told["refused"].endswith(", error: invalid consumer")
    told = drive_ibind(peers, sim, fields_of(sim), tmp_path, "--token-only")
    assert "401" in told["refused"] and "invalid consumer" in told["refused"]
    sim.control("oauth", {"action": "activate"})
    wrong = fields_of(sim) | {"dhPrime": OTHER_KEYS["dh_prime_hex"]}
    told = drive_ibind(peers, sim, wrong, tmp_path, "--token-only")
    assert "Live session token validation failed" in told["refused"]
    assert "token" in drive_ibind(peers, sim, fields_of(sim), tmp_path, "--token-only")


def configured(peers: Peers, sim: Any, folder: Path) -> Path:
    """An `oauth1.json` by ibkr-client's own configure script, typed as a person does."""
    if shutil.which("openssl") is None:
        pytest.skip("ibkr-client's configure script needs openssl")
    fields = fields_of(sim)
    beside = Path(sim.ready["oauth1"]).parent
    folder.mkdir()
    for name in ("private_signature", "private_encryption", "dhparam"):
        shutil.copy(beside / f"{name}.pem", folder)
    script = peers.node() / "ibkr-client" / "configure.js"
    child = pexpect.spawn("node", [str(script)], cwd=str(folder), timeout=15, encoding="utf-8", echo=False)
    # A terminal line holds 4096 characters at most; the secret has 344.
    for question, field in (
        ("Consumer Key: ", "consumerKey"),
        ("Access Token: ", "accessToken"),
        ("Access Token Secret: ", "accessTokenSecret"),
    ):
        child.expect_exact(question)
        child.sendline(fields[field])
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    return folder / "oauth1.json"


def test_configure_script(peers: Peers, sim: Any, tmp_path: Path) -> None:
    file = configured(peers, sim, tmp_path / "configured")
    written, ours = json.loads(file.read_text()), fields_of(sim)
    assert written["dhPrime"].removeprefix("00") == ours["dhPrime"]
    assert written | {"dhPrime": ""} == ours | {"dhPrime": ""}
    assert drive_node(peers, sim, file)["init"]["authenticated"] is True


async def test_what_the_configure_script_wrote_drives_ibtui(peers: Peers, sim: Any, tmp_path: Path) -> None:
    file = await asyncio.to_thread(configured, peers, sim, tmp_path / "configured")
    fields = json.loads(file.read_text())
    async with asyncio.timeout(20), IbkrClient(
        fields, api_host=sim.url, trust=Trust.ca(sim.cert), oauth_query="left_out"
    ) as client:  # fmt: skip
        assert (await client.init(settle=0.1)).ready
        assert (await client.request("/portfolio/accounts"))[0]["id"] == ACCOUNT
        found = await client.request("/trsrv/stocks", params={"symbols": "AAPL,MSFT"})
        assert set(found) == {"AAPL", "MSFT"}
        await client.logout()


@pytest.mark.parametrize("form", ["pkcs1", "pkcs8"])
def test_what_ibtui_wrote_drives_both(peers: Peers, sim: Any, tmp_path: Path, form: str) -> None:
    given, config = tmp_path / "given.json", tmp_path / "config.toml"
    fields = fields_of(sim)
    given.write_text(json.dumps(fields | (as_pkcs1(fields) if form == "pkcs1" else {})))
    config.write_text('[profiles.default]\nmode = "oauth1"\n')
    config.chmod(0o600)
    words = ["oauth", "configure", "--import", str(given), "--json", "--config", str(config)]
    done = subprocess.run(
        [sys.executable, "-m", "ibtui", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    written = Path(json.loads(done.stdout)["oauth1"])
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert drive_node(peers, sim, written)["init"]["authenticated"] is True
    told = drive_ibind(peers, sim, json.loads(written.read_text()), tmp_path, "--token-only")
    assert "token" in told


def as_pkcs1(fields: dict[str, str]) -> dict[str, str]:
    """The two private keys as openssl before 3 writes them."""
    texts = {}
    for name in ("signature", "encryption"):
        key = serialization.load_pem_private_key(fields[name].encode(), None)
        texts[name] = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode()
    return texts
