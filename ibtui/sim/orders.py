"""Orders, executions, their statuses and commissions (web-api.md §4.4, §4.5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ibtui.sim.instruments import Contract

COLOURS: dict[str, tuple[str, str]] = {
    "Inactive": ("#000000", "#AFAFAF"),
    "PendingSubmit": ("#000000", "#3399CC"),
    "PreSubmitted": ("#FFFFFF", "#997EE5"),
    "Submitted": ("#000000", "#00F000"),
    "Filled": ("#FFFFFF", "#000000"),
    "PendingCancel": ("#000000", "#FF64FF"),
    "PreCancelled": ("#000000", "#FF64FF"),
    "Cancelled": ("#FFFFFF", "#AA0000"),
    "WarnState": ("#000000", "#FFCC00"),
}
"""Background and foreground of orders and `sor` rows; swapped in the order status route."""
CCP = {
    "Inactive": "Pending Submit",
    "PendingSubmit": "Pending Submit",
    "PreSubmitted": "Submitted",
    "Submitted": "Submitted",
    "Filled": "Filled",
    "PendingCancel": "Submitted",
    "PreCancelled": "Submitted",
    "Cancelled": "Cancelled",
    "WarnState": "Pending Submit",
}
WORKING = frozenset(
    {"PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel", "PreCancelled", "WarnState"}
)
DONE = frozenset({"Filled", "Cancelled"})
FILTERS = {
    "inactive": "Inactive",
    "pending_submit": "PendingSubmit",
    "pre_submitted": "PreSubmitted",
    "submitted": "Submitted",
    "filled": "Filled",
    "pending_cancel": "PendingCancel",
    "pre_cancelled": "PreCancelled",
    "cancelled": "Cancelled",
    "warn_state": "WarnState",
}
"""REST filter words and the statuses they stand for."""
TYPES: dict[str, tuple[str, str]] = {
    "LMT": ("LIMIT", "Limit"),
    "MKT": ("MARKET", "Market"),
    "STP": ("STOP", "Stop"),
    "STOP_LIMIT": ("STOP_LIMIT", "Stop Limit"),
    "MIDPRICE": ("MIDPRICE", "MidPrice"),
    "TRAIL": ("TRAIL", "Trailing Stop"),
    "TRAILLMT": ("TRAILING_STOP_LIMIT", "Trailing Stop Limit"),
    "LOC": ("LIMIT_ON_CLOSE", "Limit on Close"),
    "MOC": ("MARKET_ON_CLOSE", "Market on Close"),
    "MIT": ("MARKET_IF_TOUCHED", "Market if Touched"),
    "LIT": ("LIMIT_IF_TOUCHED", "Limit if Touched"),
    "REL": ("RELATIVE", "Relative"),
}
TIFS = {
    "DAY": "Day",
    "GTC": "GTC",
    "OPG": "OPG",
    "IOC": "IOC",
    "GTD": "GTD",
    "OVT": "OVT",
    "OND": "OND",
    "PAX": "PAX",
}


@dataclass(slots=True)
class Order:
    """One order; prices in the contract's currency, times in ms since the epoch."""

    order_id: int
    account: str
    contract: Contract
    side: str
    """`BUY` or `SELL`."""
    quantity: Decimal
    order_type: str
    """The code of web-api.md §4.5, a key of `TYPES`."""
    tif: str = "DAY"
    price: Decimal | None = None
    """Limit price; for STP and TRAIL the stop price."""
    aux_price: Decimal | None = None
    """Stop price of STOP_LIMIT and TRAILLMT."""
    trail: Decimal | None = None
    trail_percent: bool = False
    ref: str | None = None
    parent_id: int | None = None
    oca: str | None = None
    conidex: str = ""
    outside_rth: bool = False
    submitter: str = ""
    status: str = "Inactive"
    reason: str | None = None
    filled: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    """Sum of fill price x fill quantity."""
    triggered: bool = False
    held: bool = False
    """Never matched: a sample of a status that does not move by itself."""
    time_ms: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    """Ticket members that only travel along (for rows and for a later modify)."""

    @property
    def remaining(self) -> Decimal:
        """What is not filled yet."""
        return self.quantity - self.filled

    @property
    def avg_price(self) -> Decimal | None:
        """Average fill price; None before the first fill."""
        return self.paid / self.filled if self.filled else None

    @property
    def signed(self) -> int:
        """1 for a buy, -1 for a sell."""
        return 1 if self.side == "BUY" else -1

    @property
    def working(self) -> bool:
        """Neither finished nor rejected."""
        return self.status in WORKING


@dataclass(slots=True)
class Execution:
    """One fill of an order."""

    execution_id: str
    order: Order
    quantity: Decimal
    price: Decimal
    venue: str
    time_ms: int
    commission: Decimal
    position: Decimal
    """Holding after the trade."""
    due_ms: int = 0
    """When the commission becomes known."""


def commission(contract: Contract, quantity: Decimal, price: Decimal) -> Decimal:
    """A simple tariff in the contract's currency, at least 1.00."""
    value = quantity * price * contract.multiplier
    if contract.sec_type == "OPT":
        fee = quantity * Decimal("0.65")
    elif contract.sec_type == "FUT":
        fee = quantity * Decimal("2.25")
    elif contract.sec_type == "CASH":
        fee = value * Decimal("0.00002")
    elif contract.is_us:
        fee = min(quantity * Decimal("0.005"), value * Decimal("0.01"))
    else:
        fee = value * Decimal("0.0005")
    return max(Decimal("1.00"), fee.quantize(Decimal("0.01")))
