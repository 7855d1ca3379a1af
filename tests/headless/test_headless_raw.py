"""`request`, `ws`, and the promise of a locked profile: nothing that changes orders leaves."""

from __future__ import annotations

import json

import pytest

from ibtui import IbkrClient, paths
from ibtui.core.trust import Trust
from ibtui.errors import IbtuiError, TradingLocked
from ibtui.service.commands import raw
from tests.conftest import Sim
from tests.headless.conftest import Run, Spawn, write_profile

ORDER = json.dumps(
    {
        "orders": [
            {"conid": 265598, "orderType": "LMT", "price": 1, "side": "BUY", "quantity": 1, "tif": "DAY"}
        ]
    }
)
CHANGING = [
    ("POST", "/iserver/account/DU1234567/orders"),
    ("POST", "/iserver/account/DU1234567/order"),
    ("POST", "/iserver/account/DU1234567/order/1834567003"),
    ("DELETE", "/iserver/account/DU1234567/order/1834567003"),
    ("POST", "/iserver/account/orders/group"),
    ("POST", "/iserver/reply/a-b-c"),
    ("POST", "/iserver/notification"),
    ("POST", "/iserver/questions/suppress"),
    ("POST", "/iserver/questions/suppress/reset"),
    ("POST", "/iserver/account/DU1234567/alert"),
    ("POST", "/iserver/account/DU1234567/alert/activate"),
    ("DELETE", "/iserver/account/DU1234567/alert/0"),
]
ODD = [
    ("POST", "/v1/api/iserver/account/DU1234567/orders"),
    ("POST", "/v1/portal/iserver/account/DU1234567/orders"),
    ("POST", "iserver/account/DU1234567/orders"),
    ("POST", "//iserver//account//DU1234567//orders"),
    ("POST", "/iserver/account/DU1234567/orders/"),
    ("POST", "/ISERVER/Account/DU1234567/Orders"),
    ("POST", "/iserver/account/DU1234567/%6Frders"),
    ("POST", "/iserver/account/DU1234567/%256Frders"),
    ("POST", "/iserver/account/DU1234567/orders;x=1"),
    ("POST", "/iserver/account/DU1234567/orders?x=/whatif"),
    ("POST", "/iserver/account/DU1234567/orders/whatif/.."),
    ("POST", "/portfolio/../iserver/account/DU1234567/orders"),
    ("POST", "/iserver/account/x/../DU1234567/orders"),
    ("PUT", "/iserver/account/DU1234567/orders"),
    ("GET", "/iserver/reply/a-b-c"),
]


def reached(sim: Sim) -> list[str]:
    """What the simulator has seen that names orders, replies, questions, alerts or notifications."""
    words = ("order", "reply", "question", "notification", "alert")
    return [
        f"{entry['method']} {entry['path']}"
        for entry in sim.journal()
        if entry["method"] != "WS" and any(word in entry["path"].lower() for word in words)
    ]


def test_request_prints_json(run: Run, at: Sim) -> None:
    found = run("request", "get", "/portfolio/accounts").json
    assert found[0]["id"] == "DU1234567"
    done = run("request", "GET", "iserver/secdef/search", "--param", "symbol=AAPL")
    assert any(str(row["conid"]) == "265598" for row in done.json)


def test_request_with_a_body_from_standard_input(run: Run, at: Sim) -> None:
    done = run("request", "POST", "/iserver/secdef/search", "--data", "-", stdin='{"symbol": "AAPL"}')
    assert done.code == 0 and "265598" in done.out


def test_request_that_ibkr_refuses(run: Run, at: Sim) -> None:
    done = run("request", "GET", "/no/such/route")
    assert done.code == 1 and "404" in done.err or "not found" in done.err.lower()


def test_a_preview_is_no_order(run: Run, at: Sim) -> None:
    run("request", "GET", "/iserver/accounts")
    done = run("request", "POST", "/iserver/account/DU1234567/orders/whatif", "--data", ORDER)
    assert done.code == 0, done.err
    assert "amount" in done.json


def test_locked_by_command(run: Run, at: Sim) -> None:
    for method, path in CHANGING + ODD:
        done = run("request", method, path, "--data", ORDER)
        assert done.code == 7, (method, path, done)
        assert "trading is locked" in done.err and "nothing was sent" in done.err
    assert reached(at) == []


async def test_locked_in_the_library(live_sim: Sim) -> None:
    assert live_sim.cert
    async with IbkrClient(live_sim.url, trust=Trust.ca(live_sim.cert)) as client:
        for method, path in CHANGING + ODD:
            for spelled in (method, method.lower(), f" {method} "):
                with pytest.raises(TradingLocked):
                    await client.request(path, spelled, json.loads(ORDER))
        with pytest.raises(TradingLocked):
            await client.request("/tickle", "POST", headers={"X-HTTP-Method-Override": "DELETE"})
    assert reached(live_sim) == []


def test_locked_on_the_websocket(run: Run, at: Sim) -> None:
    for frame in ('shs+{"conid":265598}', "INP+265598+{}"):
        done = run("ws", frame, "--seconds", "5")
        assert done.code == 7 and "nothing was sent" in done.err
    assert not any(entry["method"] == "WS" for entry in at.journal())


def test_unlocked_it_reaches_the_paper_account(run: Run, live_sim: Sim) -> None:
    write_profile(live_sim.url, live_sim.cert, trading=True)
    run("request", "GET", "/iserver/accounts")
    done = run("request", "POST", "/iserver/account/DU1234567/orders", "--data", ORDER)
    assert done.code in (0, 1)
    assert "POST /v1/api/iserver/account/DU1234567/orders" in reached(live_sim)
    assert run("request", "DELETE", "/iserver/account/DU1234567/order/1834567003").code == 0


async def test_unlocked_every_route_reaches_it(live_sim: Sim) -> None:
    assert live_sim.cert
    async with IbkrClient(live_sim.url, trust=Trust.ca(live_sim.cert), read_only=False) as client:
        for method, path in CHANGING:
            try:
                await client.request(path, method, json.loads(ORDER))
            except TradingLocked:
                raise
            except IbtuiError:
                continue
    seen = reached(live_sim)
    assert all(f"{method} /v1/api{path}" in seen for method, path in CHANGING)


def test_ws_prints_frames_as_lines_of_json(run: Run, at: Sim) -> None:
    done = run("ws", 'smd+265598+{"fields":["31"]}', "spl", "--count", "8")
    assert done.code == 0
    frames = [json.loads(line) for line in done.out.splitlines()]
    assert len(frames) == 8
    topics = {frame.get("topic") for frame in frames}
    assert "system" in topics and topics & {"smd+265598", "spl"}


def test_ws_ends_after_its_seconds(run: Run, at: Sim) -> None:
    assert run("ws", "spl", "--seconds", "1.5").code == 0


def test_ws_that_cannot_open_says_so(run: Run, at: Sim) -> None:
    at.control("faults", {"path": "/ws", "kind": "status", "status": 503, "count": None})
    done = run("ws", "spl", "--seconds", "20")
    assert done.code == 75 and "WebSocket" in done.err


def test_ws_says_once_what_it_waits_for(run: Run, at: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "SILENCE_S", 0.5)
    done = run("ws", 'sor+{"filters":["nothing"]}', "spl", "--seconds", "2")
    assert done.code == 0 and '"topic":"spl"' in done.out
    assert done.err == "No message on sor yet; Ctrl+C ends.\n"
    assert run("ws", "spl", "--seconds", "1.5").err == ""


def test_ws_ends_with_the_session(at: Sim, spawn: Spawn) -> None:
    process = spawn("ws", "spl")
    assert process.stdout is not None and process.stdout.readline()
    at.control("session", {"action": "logout"})
    at.control("sockets", {"action": "drop"})
    _, err = process.communicate(timeout=10)
    assert process.returncode == 4 and "Log" in err and "Traceback" not in err


def test_ws_ends_at_control_c(at: Sim, spawn: Spawn) -> None:
    import signal

    process = spawn("ws", "spl")
    assert process.stdout is not None and process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130 and "Traceback" not in err


def test_commands_one_after_the_other_share_the_budget(run: Run, at: Sim) -> None:
    run("request", "GET", "/portfolio/accounts")
    codes = [run("request", "GET", "/portfolio/DU1234567/ledger").code for _ in range(25)]
    assert set(codes) == {0}
    assert [entry for entry in at.journal() if entry["status"] == 429] == []
    file = paths.state_dir() / "spent" / "default.json"
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    file.write_text("{oops")
    assert run("request", "GET", "/portfolio/DU1234567/ledger").code == 0
