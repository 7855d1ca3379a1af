"""Contract keys that warm position rows and `/trsrv/secdef` share (web-api.md §3.8, §5.2)."""

from __future__ import annotations

from typing import Any

from ibtui.sim.instruments import Contract, plain


def enrich(row: dict[str, Any], contract: Contract) -> dict[str, Any]:
    """Make a cold position row warm: changed types of `multiplier` and `strike`, more keys."""
    row["expiry"] = contract.expiry
    row["putOrCall"] = contract.right
    row["multiplier"] = wire_multiplier(contract)
    row["strike"] = plain(contract.strike) if contract.strike is not None else "0"
    row.update(contract_keys(contract))
    row["pageSize"] = 100
    return row


def wire_multiplier(contract: Contract) -> float:
    """0.0 for what has none."""
    return 0.0 if contract.multiplier == 1 else float(contract.multiplier)


def contract_keys(contract: Contract) -> dict[str, Any]:
    """The keys from `incrementRules` to `isEventContract`."""
    whole = len(str(int(contract.start)))
    rule = {"decimalDigits": contract.decimals, "lowerEdge": 0.0, "wholeDigits": max(4, whole)}
    return {
        "incrementRules": [{"lowerEdge": 0.0, "increment": float(contract.tick)}],
        "displayRule": {"magnification": 0, "displayRuleStep": [rule]},
        "time": 30,
        "chineseName": contract.chinese,
        "allExchanges": contract.venues.removeprefix("SMART,"),
        "listingExchange": contract.exchange,
        "countryCode": "US" if contract.is_us else "NL" if contract.exchange == "AEB" else "DE",
        "name": contract.name,
        "lastTradingDay": contract.expiry,
        "group": contract.group,
        "sector": contract.sector,
        "sectorGroup": contract.category,
        "ticker": contract.symbol,
        "type": contract.kind,
        "hasOptions": contract.has_options,
        "fullName": contract.full_name,
        "isUS": contract.is_us,
        "isEventContract": False,
    }
