"""Account figures on the wire: summary, ledger and P&L (web-api.md §3.4-3.7, §3.10, §7.7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ibtui.sim.books import CENT, ZERO, Book, Totals
from ibtui.sim.market import Market

Money = dict[str, Decimal]


def short(value: Decimal, digits: int = 7) -> float:
    """A money float as the ledger has it: cents, and not more than `digits` significant digits."""
    number = float(value.quantize(CENT))
    return float(f"{number:.{digits}g}") if abs(number) >= 10 ** (digits - 2) else number


def monetary(sums: Totals) -> Money:
    """The monetary rows of the summary by their CamelCase names, in base currency."""
    net, equity = sums.net_liquidation, sums.equity_with_loan
    rows = {
        "AccruedCash": Decimal("2682.45"),
        "AccruedDividend": ZERO,
        "AvailableFunds": sums.available,
        "AvailableToTrade": sums.available,
        "AvailableToWithdraw": max(ZERO, min(sums.cash, sums.available)),
        "Billable": ZERO,
        "BuyingPower": max(ZERO, sums.available * 4),
        "EquityWithLoanValue": equity,
        "ExcessLiquidity": sums.excess,
        "FullAvailableFunds": sums.available,
        "FullExcessLiquidity": sums.excess,
        "FullInitMarginReq": sums.initial,
        "FullMaintMarginReq": sums.maintenance,
        "GrossPositionValue": sums.gross,
        "Guarantee": ZERO,
        "IncentiveCoupons": ZERO,
        "IndianStockHaircut": ZERO,
        "InitMarginReq": sums.initial,
        "LookAheadAvailableFunds": sums.available,
        "LookAheadExcessLiquidity": sums.excess,
        "LookAheadInitMarginReq": sums.initial,
        "LookAheadMaintMarginReq": sums.maintenance,
        "MaintMarginReq": sums.maintenance,
        "NetLiquidation": net,
        "NetLiquidationUncertainty": ZERO,
        "PASharesValue": ZERO,
        "PhysicalCertificateValue": ZERO,
        "PostExpirationExcess": ZERO,
        "PostExpirationMargin": ZERO,
        "PreviousDayEquityWithLoanValue": equity - sums.daily,
        "RegTEquity": equity,
        "RegTMargin": sums.gross / 2,
        "SMA": max(ZERO, equity - sums.gross / 2),
        "TotalCashValue": sums.cash,
        "TotalDebitCardPendingCharges": ZERO,
    }
    return rows


def commodities(sums: Totals) -> Money:
    """The `-C` part: what the futures need and have made."""
    net = sums.futures_initial + sums.futures_pnl
    return {
        "AvailableFunds": sums.futures_pnl,
        "EquityWithLoanValue": net,
        "ExcessLiquidity": net - sums.futures_maintenance,
        "FullInitMarginReq": sums.futures_initial,
        "FullMaintMarginReq": sums.futures_maintenance,
        "InitMarginReq": sums.futures_initial,
        "MaintMarginReq": sums.futures_maintenance,
        "NetLiquidation": net,
        "TotalCashValue": sums.futures_initial,
    }


def segmented(sums: Totals) -> Money:
    """All monetary rows with their `-S` and `-C` variants; the segments add up to the total."""
    total, part = monetary(sums), commodities(sums)
    rows: Money = {}
    for name, value in total.items():
        rows[name] = value
        rows[f"{name}-C"] = part.get(name, ZERO)
        rows[f"{name}-S"] = value - part.get(name, ZERO)
    return rows


def textual(book: Book, sums: Totals, now: float) -> dict[str, str]:
    """The rows of the summary that are no money."""
    net = sums.net_liquidation
    leverage = sums.gross / net if net else ZERO
    today = datetime.fromtimestamp(now, UTC).date()
    dates = [(today + timedelta(days=days)).strftime("%Y%m%d") for days in (1, 3)]
    return {
        "AccountCode": book.account,
        "AccountReady": "true",
        "AccountType": "INDIVIDUAL",
        "ColumnPrio-S": "1",
        "Cushion": f"{sums.excess / net if net else ZERO:.3f}",
        "DayTradesRemaining": "-1",
        "DayTradesRemainingT+1": "-1",
        "DayTradesRemainingT+2": "-1",
        "DayTradesRemainingT+3": "-1",
        "DayTradesRemainingT+4": "-1",
        "DayTradingStatus-S": "null",
        "DepositOnCreditHold": "0",
        "HighestSeverity": "0",
        "Leverage-S": f"{leverage:.2f}",
        "LookAheadNextChange": "0",
        "NLVAndMarginInReview": "false",
        "SegmentTitle-S": "US Securities",
        "SegmentTitle-C": "US Commodities",
        "SettledCashByDate": ";".join(f"{day}:{sums.cash:.2f}" for day in dates),
        "TradingType-S": "STKNOPT",
        "WhatIfPMEnabled": "true",
    }


def summary(book: Book, now: float) -> dict[str, Any]:
    """`/portfolio/{ACCT}/summary` (§3.4): lower-case keys, timestamps in ms."""
    sums = book.totals()
    when = int(now * 1000)
    rows: dict[str, Any] = {
        name.lower(): _row(0.0, None, text, when) for name, text in textual(book, sums, now).items()
    }
    for name, value in segmented(sums).items():
        rows[name.lower()] = _row(float(value.quantize(CENT)), "USD", None, when)
    return rows


def _row(amount: float, currency: str | None, value: str | None, when: int) -> dict[str, Any]:
    return {
        "amount": amount,
        "currency": currency,
        "isNull": False,
        "timestamp": when,
        "value": value,
        "severity": 0,
    }


def summary_stream(book: Book, now: float) -> list[dict[str, Any]]:
    """The rows of an `ssd` frame (§7.7): CamelCase keys, timestamps in seconds."""
    sums = book.totals()
    when = int(now)
    rows: list[dict[str, Any]] = [
        {
            "key": name,
            "currency": "USD",
            "monetaryValue": float(value.quantize(CENT)),
            "severity": 0,
            "timestamp": when,
        }
        for name, value in segmented(sums).items()
    ]
    for name, text in textual(book, sums, now).items():
        rows.append({"key": name, "value": text, "severity": 0, "timestamp": when})
    return rows


def currencies(book: Book) -> list[str]:
    """The currencies with cash or positions, US dollars first."""
    held = {position.contract.currency for position in book.positions.values()} | set(book.cash)
    return sorted(held, key=lambda code: (code != "USD", code))


def ledger(book: Book, market: Market, now: float) -> dict[str, Any]:
    """`/portfolio/{ACCT}/ledger` (§3.6): one member a currency plus `BASE`, timestamps in seconds."""
    result: dict[str, Any] = {}
    for place, code in enumerate(currencies(book)):
        rate = 1 if code == "USD" else float(market.rate(code))
        result[code] = _ledger_row(book, code, book.totals(code), rate, now, last=place == 0)
    result["BASE"] = _ledger_row(book, "BASE", book.totals(), 1, now, last=False)
    return result


def _ledger_row(book: Book, code: str, sums: Totals, rate: float, now: float, last: bool) -> dict[str, Any]:
    interest = 2682.45 if code in ("USD", "BASE") else 0.0
    row: dict[str, Any] = {
        "commoditymarketvalue": 0.0,
        "futuremarketvalue": short(sums.futures_pnl),
        "settledcash": short(sums.cash),
        "exchangerate": rate,
        "sessionid": 1,
        "cashbalance": short(sums.cash),
        "corporatebondsmarketvalue": 0.0,
        "warrantsmarketvalue": 0.0,
        "netliquidationvalue": short(sums.net_liquidation),
        "interest": interest,
        "unrealizedpnl": short(sums.unrealized),
        "stockmarketvalue": short(sums.stock),
        "moneyfunds": 0.0,
        "currency": code,
        "realizedpnl": short(sums.realized),
        "funds": 0.0,
        "acctcode": book.account,
        "issueroptionsmarketvalue": 0.0,
        "key": "LedgerList",
        "timestamp": int(now),
        "severity": 0,
        "stockoptionmarketvalue": short(sums.options),
        "futuresonlypnl": short(sums.futures_pnl),
        "tbondsmarketvalue": short(sums.bonds),
        "futureoptionmarketvalue": 0.0,
        "cashbalancefxsegment": 0.0,
        "secondkey": code,
        "tbillsmarketvalue": 0.0,
    }
    if last:
        row["endofbundle"] = 1
    return row | {"dividends": 0.0, "cryptocurrencyvalue": 0.0}


def ledger_stream(book: Book, market: Market, now: float) -> list[dict[str, Any]]:
    """The rows of an `sld` frame (§7.7), `BASE` first."""
    rows = [_ledger_stream_row(book, "BASE", book.totals(), 1.0, now)]
    return rows + [
        _ledger_stream_row(book, code, book.totals(code), float(market.rate(code)), now)
        for code in currencies(book)
    ]


def _ledger_stream_row(book: Book, code: str, sums: Totals, rate: float, now: float) -> dict[str, Any]:
    return {
        "acctCode": book.account,
        "cashbalance": short(sums.cash),
        "cashBalanceFXSegment": 0.0,
        "commodityMarketValue": 0.0,
        "corporateBondsMarketValue": 0.0,
        "key": f"LedgerList{code}",
        "dividends": 0.0,
        "exchangeRate": rate,
        "funds": 0.0,
        "marketValue": 0.0,
        "optionMarketValue": short(sums.options),
        "interest": 2682.45 if code in ("USD", "BASE") else 0.0,
        "issueOptionsMarketValue": 0.0,
        "moneyFunds": 0.0,
        "netLiquidationValue": short(sums.net_liquidation),
        "realizedPnl": short(sums.realized),
        "unrealizedPnl": short(sums.unrealized),
        "secondKey": code,
        "settledCash": short(sums.cash),
        "severity": 0,
        "stockMarketValue": short(sums.stock),
        "tBillsMarketValue": 0.0,
        "tBondsMarketValue": short(sums.bonds),
        "warrantsMarketValue": 0.0,
        "timestamp": int(now),
    }


def pnl(book: Book, *, stream: bool) -> dict[str, Any]:
    """One row of `spl` or of `pnl/partitioned`: rounded but for `uel` (§3.10, §7.7)."""
    sums = book.totals()
    row: dict[str, Any] = {
        "rowType": 1,
        "dpl": short(sums.daily, 4),
        "nl": short(sums.net_liquidation, 4),
        "upl": short(sums.unrealized, 4),
        "el": short(sums.excess, 4),
    }
    if stream:
        row["uel"] = float(sums.excess.quantize(CENT))
    row["mv"] = float(f"{float(sums.market_value):.4g}")
    return row
