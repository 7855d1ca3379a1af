"""The trading rules of a contract (web-api.md §5.6)."""

from __future__ import annotations

from typing import Any

from ibtui.sim.instruments import Contract
from ibtui.sim.seam import Call

_STOCK = (
    *("limit", "midprice", "market", "stop", "stop_limit", "mit", "lit", "trailing_stop"),
    *("trailing_stop_limit", "relative", "marketonclose", "limitonclose"),
)
_OTHER = ("limit", "market", "stop", "stop_limit", "mit", "lit", "trailing_stop", "trailing_stop_limit")
_TIFS = ["GTC/o,a", "OPG/LIMIT,MARKET,a", "GTD/o,a", "DAY/o,a"]
_IOC = "IOC/MARKET,LIMIT,RELATIVE,MARKET_IF_TOUCHED,LIMIT_IF_TOUCHED,MIDPRICE/o,a"


def rules(call: Call, contract: Contract) -> dict[str, Any]:
    """Order types in lower-case words, suggestions at the current price."""
    quote = call.world.market.quote(contract.conid)
    stock = contract.sec_type == "STK"
    price, size = float(quote.price), 100 if stock else 1
    return {
        "algoEligible": stock,
        "overnightEligible": stock and contract.is_us,
        "allOrNoneEligible": True,
        "costReport": False,
        "canTradeAcctIds": list(call.session.user.accounts),
        "error": None,
        "orderTypes": list(_STOCK if stock else _OTHER),
        "ibAlgoTypes": [
            "limit",
            "stop_limit",
            "lit",
            "trailing_stop_limit",
            "relative",
            "marketonclose",
            "limitonclose",
        ],
        "fraqTypes": list(_OTHER) if stock else [],
        "forceOrderPreview": False,
        "cqtTypes": list(_OTHER) if stock else [],
        "orderDefaults": {"LMT": {"LP": quote.text(quote.last)}},
        "orderTypesOutside": ["limit", "stop_limit", "lit", "trailing_stop_limit", "relative"],
        "defaultSize": size,
        "cashSize": 0.0,
        "sizeIncrement": size,
        "tifTypes": [_IOC, *_TIFS],
        "tifDefaults": {"TIF": "DAY", "SIZE": f"{size:.2f}", "PMALGO": True},
        "limitPrice": price,
        "stopprice": price,
        "orderOrigination": None,
        "preview": True,
        "displaySize": None,
        "fraqInt": 4 if stock else 0,
        "cashCcy": contract.currency,
        "cashQtyIncr": 500,
        "priceMagnifier": None,
        "negativeCapable": False,
        "incrementType": 1,
        "incrementRules": [{"lowerEdge": 0.0, "increment": float(contract.tick)}],
        "hasSecondary": True,
        "modTypes": None,
        "increment": float(contract.tick),
        "incrementDigits": contract.decimals,
    }
