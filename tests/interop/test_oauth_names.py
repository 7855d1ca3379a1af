"""Clients with IBKR's own addresses built in, unchanged, led to the simulator by a proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.peers import DRIVERS, Peers, run, run_ibind
from tests.interop.test_oauth_clients import ACCOUNT, VERSION, fields_of, ibind_fields
from tests.interop.tunnel import ADDRESS_SERVICE, PUBLIC_IP, Proxy, tunnel

pytestmark = pytest.mark.timeout(60)


class Way:
    """A proxy and the environment that leads a program through it."""

    def __init__(self, proxy: Proxy, bundle: Path) -> None:
        self.proxy = proxy
        self.env = {
            "HTTPS_PROXY": proxy.url,
            "REQUESTS_CA_BUNDLE": str(bundle),
            "SSL_CERT_FILE": str(bundle),
        }


@pytest.fixture
def way(sim: Any, tmp_path: Path) -> Iterator[Way]:
    with tunnel(sim.url, tmp_path) as (proxy, service):
        bundle = tmp_path / "bundle.pem"
        bundle.write_text(Path(sim.cert).read_text() + service.cert.read_text())
        yield Way(proxy, bundle)


def configuration(sim: Any, folder: Path, **changes: str) -> Path:
    """ibauth's YAML (JSON is YAML)."""
    given = sim.ready["oauth2"]
    file = folder / "ibauth.yaml"
    text = {
        "client_id": given["client_id"],
        "client_key_id": given["key_id"],
        "credential": given["credential"],
        "private_key_file": given["private_key"],
    }
    file.write_text(json.dumps(text | changes))
    return file


def drive_ibauth(peers: Peers, way: Way, file: Path) -> dict[str, Any]:
    return run([str(peers.ibauth()), str(DRIVERS / "oauth_ibauth.py"), str(file)], way.env, 40)


def test_oauth2(peers: Peers, sim: Any, way: Way, tmp_path: Path) -> None:
    told = drive_ibauth(peers, way, configuration(sim, tmp_path))
    assert len(told["session"]) == 32 and told["connected"] is True
    assert told["status"]["authenticated"] is True and told["status"]["competing"] is False
    assert [one["id"] for one in told["accounts"]] == ["DU2345671", "DU2345672"]
    assert set(told["stocks"]) == {"AAPL", "MSFT"}
    assert told["after"] == 401
    assert set(way.proxy.asked) == {"api.ibkr.com:443", f"{ADDRESS_SERVICE}:443"}
    rows = [(row["method"], row["path"]) for row in sim.journal()]
    assert rows[:4] == [
        ("POST", "/oauth2/api/v1/token"),
        ("POST", "/gw/api/v1/sso-sessions"),
        ("GET", "/v1/api/sso/validate"),
        ("POST", "/v1/api/iserver/auth/ssodh/init"),
    ]


def test_oauth2_tied_to_an_address(peers: Peers, sim: Any, way: Way, tmp_path: Path) -> None:
    sim.control("quirks", {"oauth2_ip": PUBLIC_IP})
    assert drive_ibauth(peers, way, configuration(sim, tmp_path))["connected"] is True
    sim.control("quirks", {"oauth2_ip": "203.0.113.1"})
    refused = drive_ibauth(peers, way, configuration(sim, tmp_path))["refused"]
    assert refused["status"] == 400 and refused["body"]["invalidArguments"] == ["ip"]


def test_oauth2_refused(peers: Peers, sim: Any, way: Way, tmp_path: Path) -> None:
    beside = Path(sim.ready["oauth1"]).parent
    wrong = {"private_key_file": str(beside / "private_signature.pem")}
    refused = drive_ibauth(peers, way, configuration(sim, tmp_path, **wrong))["refused"]
    assert refused["status"] == 401
    assert refused["body"]["detail"] == "The access token request is invalid"


def test_ibind_with_its_own_addresses(peers: Peers, sim: Any, way: Way, tmp_path: Path) -> None:
    python = peers.ibind(VERSION, oauth=True)
    options = way.env | ibind_fields(fields_of(sim)) | {"IBIND_ACCOUNT_ID": ACCOUNT}
    told = run_ibind(python, "oauth_ibind.py", options, tmp_path, "--read-only")
    assert told["accounts"]["selectedAccount"] == ACCOUNT
    assert told["conids"] == {"AAPL": 265598, "MSFT": 272093}
    signed = {row["signed"] for row in sim.journal() if row["via"] == "api"}
    assert signed == {"no_query https://api.ibkr.com", "query_left_out https://api.ibkr.com"}
    assert set(way.proxy.asked) == {"api.ibkr.com:443"}


def test_ibkr_client_with_its_own_address(peers: Peers, sim: Any, way: Way) -> None:
    modules = peers.node()
    argv = ["node", str(DRIVERS / "oauth_ibkr_client.js"), sim.ready["oauth1"], "", ACCOUNT]
    env = way.env | {"NODE_PATH": str(modules), "NODE_EXTRA_CA_CERTS": sim.cert}
    told = run(argv, env, 40)
    assert told["accounts"]["selectedAccount"] == ACCOUNT and len(told["positions"]) > 3
    signed = {row["signed"] for row in sim.journal() if row["via"] == "api"}
    assert signed == {f"{form} https://api.ibkr.com" for form in ("no_query", "query_raw", "url_with_query")}
