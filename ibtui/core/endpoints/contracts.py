"""Contracts: search, details, rules (web-api.md §5.1–§5.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ibtui.core.endpoints.common import (
    Call,
    get,
    integer,
    label,
    mapping,
    post,
    read_all,
    rest_of,
    rows,
    text,
)
from ibtui.core.models import Contract


def search(symbol: str, *, name: bool | None = None, sec_type: str | None = None) -> Call:
    """Contracts by symbol, or by company with `name` (§5.3)."""
    return get("/iserver/secdef/search", symbol=symbol, name=name, secType=sec_type)


def stocks(symbols: Sequence[str]) -> Call:
    """Stocks by symbol, capitals (§5.1)."""
    return get("/trsrv/stocks", symbols=",".join(symbols))


def futures(symbols: Sequence[str]) -> Call:
    """Futures by the symbol of what underlies them (§5.2)."""
    return get("/trsrv/futures", symbols=",".join(symbols))


def info(conid: int) -> Call:
    """One contract in detail (§5.5)."""
    return get(f"/iserver/contract/{conid}/info")


def rules(conid: int, *, buy: bool, exchange: str | None = None) -> Call:
    """What may be traded how (§5.6); the reply is used as it is."""
    body: dict[str, Any] = {"conid": conid, "isBuy": buy}
    if exchange is not None:
        body["exchange"] = exchange
    return post("/iserver/contract/rules", body)


def strikes(conid: int, month: str, sec_type: str = "OPT", exchange: str | None = None) -> Call:
    """Strikes of a month; `search` must have run before (§5.4, §1.7)."""
    return get("/iserver/secdef/strikes", conid=conid, sectype=sec_type, month=month, exchange=exchange)


def secdef(
    conid: int, sec_type: str, month: str, *, strike: str | None = None, right: str | None = None
) -> Call:
    """Derivatives of an underlying (§5.4)."""
    return get("/iserver/secdef/info", conid=conid, sectype=sec_type, month=month, strike=strike, right=right)


def schedule(conid: int) -> Call:
    """Trading hours, in epoch seconds (§5.7); the reply is used as it is."""
    return get("/contract/trading-schedule", conid=conid)


def read_search(body: Any) -> list[Contract]:
    """The rows of `search`; the security types stand in `extra["sections"]`."""
    return read_all(body, _contract)


def read_stocks(body: Any) -> dict[str, list[Contract]]:
    """Listings by symbol, those in the US first; an unknown symbol has none."""
    out: dict[str, list[Contract]] = {}
    for symbol, companies in mapping(body).items():
        listings = [
            (contract.get("isUS") is not True, found)
            for company in rows(companies)
            for contract in rows(company.get("contracts"))
            if (found := _listing(symbol, company, contract)) is not None
        ]
        out[symbol] = [found for _, found in sorted(listings, key=lambda pair: pair[0])]
    return out


def _listing(symbol: str, company: Mapping[str, Any], row: Mapping[str, Any]) -> Contract | None:
    conid = integer(row.get("conid"))
    if conid is None:
        return None
    return Contract(
        conid=conid,
        symbol=symbol,
        name=label(company.get("name")),
        sec_type=text(company.get("assetClass")),
        exchange=text(row.get("exchange")),
    )


def read_secdef(body: Any) -> list[Contract]:
    """The rows of `secdef`; several when weekly expiries share a month."""
    return read_all(body, _contract)


def read_info(body: Any) -> Contract | None:
    """The reply to `info`; None when it names no contract."""
    return _contract(mapping(body))


_NAMES: Mapping[str, tuple[str, ...]] = {
    "symbol": ("symbol", "ticker"),
    "name": ("companyName", "company_name", "companyHeader", "name"),
    "sec_type": ("secType", "instrument_type", "assetClass"),
    "exchange": ("exchange", "listingExchange", "description"),
    "currency": ("currency",),
    "local_symbol": ("local_symbol",),
    "multiplier": ("multiplier",),
    "strike": ("strike",),
    "right": ("right", "putOrCall"),
    "expiry": ("maturityDate", "maturity_date", "expiry"),
    "description": ("desc2", "text", "companyHeader"),
}
_KNOWN = frozenset(name for names in _NAMES.values() for name in names) | {"conid", "con_id"}


def _contract(row: Mapping[str, Any]) -> Contract | None:
    conid = integer(row.get("conid", row.get("con_id")))
    if conid is None:
        return None
    found = {
        field: next((value for name in names if (value := label(row.get(name))) is not None), None)
        for field, names in _NAMES.items()
    }
    return Contract(conid=conid, extra=rest_of(row, _KNOWN), **found)
