"""What the broker's replies mean, as typed, immutable values (web-api.md §3–§5, §7).

Prices, sizes and amounts keep the broker's own text (`str`); a `Decimal` is made with
`number()` where one is shown or compared, never a float. Absent is None. What a reply
holds beyond the known members is kept in `extra`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from msgspec import Struct, field

Text = str | None
"""A number or word as the broker sent it; None where it sent nothing (web-api.md §0)."""

_NOTHING = frozenset({"", "null", "N/A", "None", "NA", "-"})
_UNITS = {"K": Decimal(1000), "M": Decimal(1_000_000), "B": Decimal(1_000_000_000)}
_ABSURD = Decimal("1e300")


def number(text: Text) -> Decimal | None:
    """The number in a broker's text, or None where there is none.

    Understands thousands commas, a leading `C` or `H` (close, halted), `%`, the units
    `K M B` and exponents (web-api.md §5.8); sentinels such as 1.79e308 count as none.
    """
    if text is None or text in _NOTHING:
        return None
    raw = text.strip().replace(",", "").removesuffix("%")
    if raw[:1] in ("C", "H"):
        raw = raw[1:]
    unit = _UNITS.get(raw[-1:])
    if unit is not None:
        raw = raw[:-1]
    try:
        value = Decimal(raw)
    except InvalidOperation:
        return None
    if not value.is_finite() or abs(value) > _ABSURD:
        return None
    return value * unit if unit is not None else value


class Model(Struct, frozen=True, kw_only=True):
    """Base of all models: immutable, compared by value."""


class Account(Model, frozen=True, kw_only=True):
    """One account id this user may see (web-api.md §3.1, §3.3)."""

    id: str
    title: Text = None
    alias: Text = None
    currency: Text = None
    type: Text = None
    paper: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


class Position(Model, frozen=True, kw_only=True):
    """One row of a portfolio (web-api.md §3.8), with what the market data stream adds.

    `avg_cost` includes the multiplier, `avg_price` does not. `daily_pnl` comes from
    stream field 78 only: REST has no such member.
    """

    account: str
    conid: int
    description: str
    """The contract in words, as sent; derivatives carry their local symbol in brackets."""
    ticker: Text = None
    asset_class: Text = None
    position: Text = None
    market_price: Text = None
    market_value: Text = None
    avg_cost: Text = None
    avg_price: Text = None
    unrealized_pnl: Text = None
    realized_pnl: Text = None
    daily_pnl: Text = None
    currency: Text = None
    multiplier: Text = None
    strike: Text = None
    expiry: Text = None
    right: Text = None
    """`C` or `P` for options."""
    listing_exchange: Text = None
    name: Text = None
    sector: Text = None
    group: Text = None
    underlying_conid: int = 0
    decimals: int | None = None
    """Digits after the point its prices have, from `displayRule`; None until warm."""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """`ACCT:CONID`, unique in a portfolio."""
        return f"{self.account}:{self.conid}"


class Quote(Model, frozen=True, gc=False):
    """Market data of one contract: field number -> value as sent (web-api.md §5.8)."""

    conid: int
    fields: Mapping[str, str]
    updated_ms: int = 0

    def get(self, number_: str) -> Text:
        """The value of field `number_` (`"31"` is the last price)."""
        return self.fields.get(number_)


class Order(Model, frozen=True, kw_only=True):
    """An order of today, working or done (web-api.md §4.1, §7.7 `sor`)."""

    order_id: int
    account: str = ""
    conid: int = 0
    status: Text = None
    """`Submitted`, `Filled`, … exactly as sent (§4.4); there is no 'partially filled'."""
    ccp_status: Text = None
    side: Text = None
    ticker: Text = None
    description: Text = None
    """`Buy 10 Limit 185.00, GTC`."""
    contract: Text = None
    """The derivative's own text (`description2`), None for stocks."""
    sec_type: Text = None
    order_type: Text = None
    price: Text = None
    aux_price: Text = None
    tif: Text = None
    """As sent: DAY orders say `CLOSE` (§4.1)."""
    total: Text = None
    filled: Text = None
    remaining: Text = None
    avg_price: Text = None
    currency: Text = None
    exchange: Text = None
    parent_id: Text = None
    order_ref: Text = None
    outside_rth: bool | None = None
    reason: Text = None
    """Why the system cancelled or refused it, where it says so."""
    updated_ms: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


class Execution(Model, frozen=True, kw_only=True):
    """One fill (web-api.md §4.3, §7.7 `str`); `commission` arrives seconds later."""

    execution_id: str
    account: str = ""
    conid: int = 0
    order_id: int | None = None
    side: Text = None
    """`B`/`S`, in some builds `BOT`/`SLD`."""
    symbol: Text = None
    contract: Text = None
    sec_type: Text = None
    size: Text = None
    price: Text = None
    commission: Text = None
    net_amount: Text = None
    exchange: Text = None
    order_ref: Text = None
    description: Text = None
    time_ms: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


class Pnl(Model, frozen=True, kw_only=True):
    """P&L of one account in its base currency (web-api.md §3.10, §7.7 `spl`); rounded by the server."""

    account: str
    daily: Text = None
    unrealized: Text = None
    net_liquidity: Text = None
    excess_liquidity: Text = None
    market_value: Text = None
    updated_ms: int = 0


class SummaryRow(Model, frozen=True, kw_only=True):
    """One row of the account summary (web-api.md §3.4, §7.7 `ssd`).

    `key` is lower case without separators' case (`netliquidation`, `accruedcash-s`).
    """

    key: str
    amount: Text = None
    currency: Text = None
    value: Text = None
    timestamp_ms: int = 0


class LedgerRow(Model, frozen=True, kw_only=True):
    """One currency of an account's ledger (web-api.md §3.6, §7.7 `sld`); `BASE` sums in base currency."""

    currency: str
    cash: Text = None
    settled_cash: Text = None
    net_liquidation: Text = None
    stock_value: Text = None
    unrealized_pnl: Text = None
    realized_pnl: Text = None
    interest: Text = None
    dividends: Text = None
    exchange_rate: Text = None
    timestamp_ms: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


class AuthStatus(Model, frozen=True, kw_only=True):
    """The brokerage session's state (web-api.md §2.2). `established` is None in builds without it."""

    authenticated: bool = False
    connected: bool = False
    competing: bool = False
    established: bool | None = None
    message: str = ""
    fail: str = ""
    server: Text = None

    @property
    def ready(self) -> bool:
        """True only when orders and market data will work (§2.2)."""
        return self.authenticated and self.connected and self.established is not False


class Tickle(Model, frozen=True, kw_only=True):
    """A keep-alive's reply (web-api.md §2.3), without the session token itself."""

    status: AuthStatus
    sso_expires_ms: int | None = None
    user_id: int | None = None
    collision: bool = False


class Lamp(Model, frozen=True, kw_only=True):
    """One of the three things that must not be confused: gateway, sso, brokerage.

    `state`: `on`, `off`, `busy` (on its way), `warn` (works, but look) or `unknown`.
    """

    state: str = "unknown"
    since: datetime | None = None
    reason: str = ""
    """One line about what is so: `pid 4711 · https://localhost:5000`."""
    fix: str = ""
    """The next step, empty when none is needed."""


class Status(Model, frozen=True, kw_only=True):
    """The three lamps; ready only when all are on."""

    gateway: Lamp = Lamp()
    sso: Lamp = Lamp()
    brokerage: Lamp = Lamp()

    @property
    def ready(self) -> bool:
        """All three lamps are on."""
        return all(lamp.state == "on" for lamp in (self.gateway, self.sso, self.brokerage))


class LoginFacts(Model, frozen=True, kw_only=True):
    """What is on disk about the user name's logins; no secret in it (`auth.vault`)."""

    attempts: int = 0
    """Attempts used since the last success."""
    limit: int = 4
    """How many are allowed."""
    wait_until: datetime | None = None
    """When an automatic login may try again; None without a wait."""
    logins_left: int | None = None
    """Logins with IB Key before it has to be enrolled again; None when it is not enrolled."""
    last_used: datetime | None = None
    """When IB Key last answered."""
    unfinished: datetime | None = None
    """When an enrollment of IB Key was broken off at its last step; its key is kept."""


class Keeping(Model, frozen=True, kw_only=True):
    """How the keep-alive does.

    `mode`: `off` (the profile says so), `on`, `waiting` (until `until`, then it tries again),
    `yielding` (the brokerage session is left to another program until `until`), `person`
    (it needs somebody: `why` says what for) or `paused`.
    """

    mode: str = "off"
    why: str = ""
    until: datetime | None = None
    last: datetime | None = None
    """When the session last answered a tickle."""
    next_reset: datetime | None = None
    """IBKR's next nightly reset, as far as it is known."""
    shared: bool = False
    """It runs in the supervisor and outlives this terminal."""
    since: datetime | None = None
    """When the supervisor began."""


class Event(Model, frozen=True, kw_only=True):
    """A line of the time line: what changed, when and why."""

    at: datetime
    source: str
    """`gateway`, `login`, `brokerage`, `stream`, `orders` …"""
    text: str
    level: str = "info"
    """`info`, `warn` or `error`."""


class Accounts(Model, frozen=True, kw_only=True):
    """The brokerage session's accounts (web-api.md §3.1); pseudo account `All` left out."""

    ids: tuple[str, ...] = ()
    selected: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    paper: bool | None = None


class Placed(Model, frozen=True, kw_only=True):
    """One accepted order of a placement or modification (web-api.md §4.6 a)."""

    order_id: int
    """-1 with status `Failed` for a bracket's bad child."""
    status: Text = None
    order_ref: Text = None
    parent_id: Text = None
    text: Text = None


class Question(Model, frozen=True, kw_only=True):
    """IBKR asks before it takes an order; answer at once with `orders.reply` (web-api.md §4.6 b, §4.7)."""

    id: str
    messages: tuple[str, ...] = ()
    """As sent; may hold HTML."""
    message_ids: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class Prompt(Model, frozen=True, kw_only=True):
    """A server prompt about an order, answered with `orders.notification` (web-api.md §4.6 d)."""

    order_id: int
    request_id: str
    text: str
    options: tuple[str, ...] = ()
    message_id: Text = None


class Preview(Model, frozen=True, kw_only=True):
    """What an order would do (web-api.md §4.9); every amount is text with commas and units."""

    amount: Mapping[str, Text] = field(default_factory=dict)
    equity: Mapping[str, Text] = field(default_factory=dict)
    initial: Mapping[str, Text] = field(default_factory=dict)
    maintenance: Mapping[str, Text] = field(default_factory=dict)
    position: Mapping[str, Text] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


class Contract(Model, frozen=True, kw_only=True):
    """What is known of a contract (web-api.md §5.3–§5.5)."""

    conid: int
    symbol: Text = None
    name: Text = None
    sec_type: Text = None
    exchange: Text = None
    currency: Text = None
    local_symbol: Text = None
    multiplier: Text = None
    strike: Text = None
    right: Text = None
    expiry: Text = None
    description: Text = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class Bar(Model, frozen=True, kw_only=True):
    """One bar of history (web-api.md §5.9); real volume = `volume` × `History.volume_factor`."""

    start_ms: int
    open: Text = None
    high: Text = None
    low: Text = None
    close: Text = None
    volume: Text = None


class History(Model, frozen=True, kw_only=True):
    """Bars of one contract, oldest first (web-api.md §5.9)."""

    symbol: Text = None
    bars: tuple[Bar, ...] = ()
    bar_seconds: int | None = None
    volume_factor: int = 1
    delay_s: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
