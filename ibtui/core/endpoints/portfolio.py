"""Portfolio: positions, summary, ledger, P&L (web-api.md §3.4–§3.10)."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote

from ibtui.core.endpoints.common import (
    Call,
    get,
    integer,
    label,
    mapping,
    milliseconds,
    post,
    read_all,
    rest_of,
    rows,
    text,
)
from ibtui.core.models import LedgerRow, Pnl, Position, SummaryRow

PAGE = 100
"""Rows of a page of positions; a shorter page is the last one (§3.8)."""

_POSITION = frozenset(
    [
        "acctId",
        "conid",
        "contractDesc",
        "description",
        "ticker",
        "assetClass",
        "position",
        "mktPrice",
        "marketPrice",
        "mktValue",
        "marketValue",
        "avgCost",
        "avgPrice",
        "unrealizedPnl",
        "realizedPnl",
        "currency",
        "multiplier",
        "strike",
        "expiry",
        "putOrCall",
        "listingExchange",
        "name",
        "sector",
        "group",
        "undConid",
        "displayRule",
    ]
)
_LEDGER = frozenset(
    [
        "currency",
        "secondkey",
        "secondKey",
        "cashbalance",
        "settledcash",
        "settledCash",
        "netliquidationvalue",
        "netLiquidationValue",
        "stockmarketvalue",
        "stockMarketValue",
        "unrealizedpnl",
        "unrealizedPnl",
        "realizedpnl",
        "realizedPnl",
        "interest",
        "dividends",
        "exchangerate",
        "exchangeRate",
        "timestamp",
    ]
)


def positions(account: str, page: int = 0) -> Call:
    """One page of 100 positions (§3.8)."""
    return get(f"/portfolio/{quote(account, safe='')}/positions/{page}")


def invalidate(account: str) -> Call:
    """Drop the server's position cache (§3.8)."""
    return post(f"/portfolio/{quote(account, safe='')}/positions/invalidate")


def summary(account: str) -> Call:
    """The account summary (§3.4)."""
    return get(f"/portfolio/{quote(account, safe='')}/summary")


def ledger(account: str) -> Call:
    """Cash and values by currency (§3.6)."""
    return get(f"/portfolio/{quote(account, safe='')}/ledger")


def pnl() -> Call:
    """Daily and unrealized P&L by account (§3.10)."""
    return get("/iserver/account/pnl/partitioned")


def read_positions(body: Any, account: str = "") -> list[Position]:
    """Rows of `positions` or `/portfolio2`; `account` stands in where a row names none."""
    return read_all(body, partial(_position, account=account))


def _position(row: dict[str, Any], account: str) -> Position | None:
    conid = integer(row.get("conid"))
    owner = text(row.get("acctId")) or account
    if conid is None or not owner:
        return None
    return Position(
        account=owner,
        conid=conid,
        description=label(row.get("contractDesc")) or label(row.get("description")) or str(conid),
        ticker=text(row.get("ticker")),
        asset_class=text(row.get("assetClass")),
        position=text(row.get("position")),
        market_price=text(row.get("mktPrice", row.get("marketPrice"))),
        market_value=text(row.get("mktValue", row.get("marketValue"))),
        avg_cost=text(row.get("avgCost")),
        avg_price=text(row.get("avgPrice")),
        unrealized_pnl=text(row.get("unrealizedPnl")),
        realized_pnl=text(row.get("realizedPnl")),
        currency=text(row.get("currency")),
        multiplier=text(row.get("multiplier")),
        strike=text(row.get("strike")),
        expiry=text(row.get("expiry")),
        right=text(row.get("putOrCall")),
        listing_exchange=text(row.get("listingExchange")),
        name=label(row.get("name")),
        sector=label(row.get("sector")),
        group=label(row.get("group")),
        underlying_conid=integer(row.get("undConid")) or 0,
        decimals=_decimals(row.get("displayRule")),
        extra=rest_of(row, _POSITION),
    )


def _decimals(rule: Any) -> int | None:
    steps = rows(mapping(rule).get("displayRuleStep"))
    return integer(steps[0].get("decimalDigits")) if steps else None


def read_summary(body: Any) -> dict[str, SummaryRow]:
    """The summary by its lower-case keys; rows marked `isNull` have neither amount nor value."""
    out: dict[str, SummaryRow] = {}
    for name, value in mapping(body).items():
        row = mapping(value)
        if row:
            key = name.lower()
            out[key] = _summary(key, row, row.get("amount"))
    return out


def read_summary_frame(row: dict[str, Any]) -> SummaryRow | None:
    """A row of an `ssd` frame (§7.7); None for a blank row, which means 'unchanged'."""
    key = text(row.get("key"))
    if key is None or not ("monetaryValue" in row or "value" in row):
        return None
    return _summary(key.lower(), row, row.get("monetaryValue"))


def _summary(key: str, row: dict[str, Any], amount: Any) -> SummaryRow:
    currency = text(row.get("currency"))
    money = None if row.get("isNull") is True or currency is None else text(amount)
    return SummaryRow(
        key=key,
        amount=money,
        currency=currency,
        # One recording repeats the amount in `value`; then it says nothing new.
        value=None if row.get("isNull") is True or money is not None else text(row.get("value")),
        timestamp_ms=milliseconds(row.get("timestamp")),
    )


def read_ledger(body: Any) -> dict[str, LedgerRow]:
    """The ledger by currency, `BASE` among them."""
    out: dict[str, LedgerRow] = {}
    for name, value in mapping(body).items():
        row = mapping(value)
        if row:
            out[name] = _ledger(name, row)
    return out


def read_ledger_frame(row: dict[str, Any]) -> LedgerRow | None:
    """A row of an `sld` frame (§7.7); None for a blank row, which means 'unchanged'."""
    if not set(row) - {"key", "timestamp"}:
        return None
    key = text(row.get("key")) or ""
    currency = text(row.get("secondKey")) or key.removeprefix("LedgerList")
    return _ledger(currency, row) if currency else None


def _ledger(currency: str, row: dict[str, Any]) -> LedgerRow:
    def either(lower: str, camel: str) -> str | None:
        return text(row.get(lower, row.get(camel)))

    return LedgerRow(
        currency=currency,
        cash=text(row.get("cashbalance")),
        settled_cash=either("settledcash", "settledCash"),
        net_liquidation=either("netliquidationvalue", "netLiquidationValue"),
        stock_value=either("stockmarketvalue", "stockMarketValue"),
        unrealized_pnl=either("unrealizedpnl", "unrealizedPnl"),
        realized_pnl=either("realizedpnl", "realizedPnl"),
        interest=text(row.get("interest")),
        dividends=text(row.get("dividends")),
        exchange_rate=either("exchangerate", "exchangeRate"),
        timestamp_ms=milliseconds(row.get("timestamp")),
        extra=rest_of(row, _LEDGER),
    )


def read_pnl(body: Any) -> dict[str, Pnl]:
    """P&L by account from REST (`upnl`) or the `args` of an `spl` frame; models' rows are left out."""
    found = mapping(body)
    out: dict[str, Pnl] = {}
    for name, value in mapping(found.get("upnl", found)).items():
        account, _, part = name.partition(".")
        row = mapping(value)
        if not row or part not in ("", "Core"):
            continue
        out[account] = Pnl(
            account=account,
            daily=text(row.get("dpl")),
            unrealized=text(row.get("upl")),
            net_liquidity=text(row.get("nl")),
            excess_liquidity=text(row.get("uel")) or text(row.get("el")),
            market_value=text(row.get("mv")),
        )
    return out
