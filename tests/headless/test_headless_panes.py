"""`accounts`, `positions`, `orders`, `trades`, `pnl`: text, JSON, --watch, and readers that go away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal

import pytest

from ibtui.core.models import Position
from ibtui.core.store import Store
from ibtui.core.wire.decode import MarketData
from ibtui.service.commands.panes import PANES
from ibtui.service.output import contract, pretty
from tests.conftest import Sim
from tests.headless.conftest import Run, Spawn
from tools.terminal import family


@pytest.mark.parametrize(
    ("text", "form", "shown"),
    [
        ("250.0", "quantity", "250"),
        ("12.50", "quantity", "12.5"),
        ("9000", "quantity", "9,000"),
        ("24770.0", "money", "24,770.00"),
        ("-0.0", "money", "0.00"),
        ("98.295", "price", "98.295"),
        ("6470.00", "price", "6,470.00"),
        ("133.4", "price", "133.40"),
        ("1E+3", "quantity", "1,000"),
        (None, "money", "—"),
        ("N/A", "price", "—"),
    ],
)
def test_numbers_for_people(text: str | None, form: str, shown: str) -> None:
    assert pretty(text, form) == shown


def test_contracts_for_people() -> None:
    assert contract("AAPL   JAN2027 195 C [AAPL  270115C00195000 100]") == "AAPL JAN2027 195 C"
    assert contract("[odd]") == "[odd]"


def test_accounts(run: Run, at: Sim) -> None:
    done = run("accounts")
    assert done.code == 0 and "DU1234567" in done.out
    assert run("accounts", "--json").json[0]["id"] == "DU1234567"


def test_positions_as_text_and_json(run: Run, at: Sim) -> None:
    done = run("positions")
    lines = done.out.splitlines()
    assert done.code == 0 and len(lines) >= 9
    assert "[" not in done.out and " 250 " in done.out
    # Numbers end in one line: the header's last letter stands over the last digit.
    end = lines[0].index("Position") + len("Position")
    assert all(line[end - 1 : end + 2][1:] == "  " and line[end - 1] != " " for line in lines[1:])
    rows = run("positions", "--json").json
    assert len(rows) >= 8
    for row in rows:
        assert isinstance(row["position"], str) and isinstance(row["market_value"], str)
        Decimal(row["market_value"])


def test_positions_once_have_the_days_profit(run: Run, at: Sim) -> None:
    rows = run("positions", "--json").json
    assert any(row["asset_class"] == "OPT" for row in rows)
    for row in rows:
        if Decimal(row["position"]):  # as with --watch, a closed one is told of no more
            Decimal(row["daily_pnl"])
        assert isinstance(row["market_value"], str) and isinstance(row["unrealized_pnl"], str)


def test_a_symbol_that_is_not_found_costs_its_own_row_alone(run: Run, at: Sim) -> None:
    fault = {"path": "/iserver/secdef/search", "kind": "status", "status": 500, "count": 50}
    at.control("faults", fault)
    rows = run("positions", "--json").json
    told = {row["asset_class"] for row in rows if row["daily_pnl"] is not None}
    silent = {row["asset_class"] for row in rows if row["daily_pnl"] is None and Decimal(row["position"])}
    assert "STK" in told and silent <= {"OPT", "FUT"} and "OPT" in silent


def test_positions_are_told_where_market_data_fails(run: Run, at: Sim) -> None:
    at.control(
        "faults", {"path": "/iserver/marketdata/snapshot", "kind": "status", "status": 500, "count": 50}
    )
    done = run("positions")
    assert done.code == 0 and len(done.out.splitlines()) >= 9
    assert "day's P&L could not be had" in done.err
    assert done.out.count("—") >= 8


def column(text: str, title: str) -> list[str]:
    """The cells below a title, of columns that begin where it does."""
    head, *lines = text.splitlines()
    start = head.index(title)
    return [line[start:].split("  ")[0].strip() for line in lines]


def test_orders_as_text_and_json(run: Run, at: Sim) -> None:
    done = run("orders")
    assert done.code == 0 and len(done.out.splitlines()) >= 7
    assert "Submitted" in done.out and "100.0" not in done.out
    assert set(column(done.out, "Side")) == {"BUY", "SELL"}
    assert "DAY" in column(done.out, "TIF") and "CLOSE" not in done.out


def test_orders_as_json(run: Run, at: Sim) -> None:
    rows = run("--json", "orders").json
    assert len(rows) >= 6 and all(isinstance(row["total"], str) for row in rows)
    assert "CLOSE" in {row["tif"] for row in rows}, "as sent"


def test_trades(run: Run, at: Sim) -> None:
    done = run("trades")
    assert done.code == 0 and "Commission" in done.out
    sides = set(column(done.out, "Side"))
    assert sides and sides <= {"BUY", "SELL"}


def test_pnl_in_both_forms(run: Run, at: Sim) -> None:
    done = run("pnl")
    assert done.code == 0 and "DU1234567" in done.out
    assert "Net liq" in done.out


def test_not_logged_in_is_four(run: Run, fresh: Sim) -> None:
    for command in ("positions", "orders", "pnl", "status"):
        done = run(command)
        assert done.code == 4
        assert "ibtui login" in done.err + done.out


def test_a_table_without_rows_says_so(run: Run, at: Sim) -> None:
    at.control("positions", {"count": 0})
    done = run("positions")
    assert done.code == 0 and "(none)" in done.err
    assert run("positions", "--json").json == []


def read_until(process: subprocess.Popen[str], word: str, timeout: float = 20.0) -> str:
    said = ""
    end = time.monotonic() + timeout
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    while word not in said:
        assert time.monotonic() < end, said
        said += os.read(process.stdout.fileno(), 65536).decode() if _ready(process) else ""
    return said


def _ready(process: subprocess.Popen[str]) -> bool:
    import select

    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 0.2)[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_ends_at_a_signal_without_a_traceback(at: Sim, spawn: Spawn, number: int) -> None:
    process = spawn("orders", "--watch", "--json")
    said = read_until(process, "\n")
    assert json.loads(said.splitlines()[0])
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in err and err.count("\n") <= 2
    assert family(process.pid) == [process.pid]


def test_positions_tell_whether_they_are_live(run: Run, at: Sim) -> None:
    assert {row["live"] for row in run("positions", "--json").json} == {False}
    store, pane = Store(), PANES["positions"]
    found = Position(account="DU1", conid=265598, description="AAPL", position="1.0")
    store.replace_positions("DU1", [found])
    assert pane.document(store, found)["live"] is False
    store.apply(MarketData(265598, {"31": "1.5"}, 1))
    assert pane.document(store, found)["live"] is True


def test_watch_prints_changes_only(at: Sim, spawn: Spawn) -> None:
    process = spawn("positions", "--watch")
    head = read_until(process, "US-T")
    assert head.startswith("Account")
    at.control("prices", {"conid": 265598, "price": 222.5})
    said = read_until(process, "222.50")
    assert "Account " not in said
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130


def test_a_reader_that_goes_away_is_no_failure(at: Sim) -> None:
    at.control("positions", {"count": 300})
    done = subprocess.run(
        f"set -o pipefail; '{sys.executable}' -m ibtui positions | head -1",
        shell=True, executable="/bin/bash", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith("Account")
    assert done.stderr == ""
    assert done.returncode == 0
