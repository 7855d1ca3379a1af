"""The contracts the simulator knows: real names and ids, invented prices (web-api.md §5)."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from zlib import crc32

from ibtui.sim.instruments import OPTION_VENUES, Contract, next_months, option_value

APPLE_CN = "&#x82F9;&#x679C;&#x516C;&#x53F8;"
SPY_CN = "SPDR&#x6807;&#x666E;500 ETF&#x4FE1;&#x6258;"
ES_INDEX = 11004968
ES_DEC26 = 515416632
EUR_USD = 12087792
T_BOND = 704321890
SYNTHETIC = 900_000_000
"""Synthetic stocks have conids from here on."""

_TECH = ("Technology", "Computers", "Computers")
_SOFT = ("Technology", "Software", "Applications Software")
_NET = ("Communications", "Internet", "E-Commerce")
_CHIP = ("Technology", "Semiconductors", "Electronic Compo-Semicon")
_OIL = ("Energy", "Oil&amp;Gas", "Oil Comp-Integrated")
_FOOD = ("Consumer, Non-cyclical", "Beverages", "Beverages-Non-alcoholic")
_BANK = ("Financial", "Banks", "Diversified Banking Inst")
_AUTO = ("Consumer, Cyclical", "Auto Manufacturers", "Auto-Cars&amp;Light Trucks")
_MEDIA = ("Communications", "Media", "Multimedia")

# conid, symbol, name, yesterday's close, yearly volatility, exchange, listing, (sector, group, category)
_US_STOCKS: list[tuple[int, str, str, str, float, str, str, tuple[str, str, str] | None]] = [
    (265598, "AAPL", "APPLE INC", "194.60", 0.24, "NASDAQ", "NASDAQ.NMS", _TECH),
    (272093, "MSFT", "MICROSOFT CORP", "417.25", 0.22, "NASDAQ", "NASDAQ.NMS", _SOFT),
    (76792991, "TSLA", "TESLA INC", "243.80", 0.55, "NASDAQ", "NASDAQ.NMS", _AUTO),
    (756733, "SPY", "SPDR S&P 500 ETF TRUST", "646.30", 0.14, "ARCA", "ARCA", None),
    (320227571, "QQQ", "INVESCO QQQ TRUST SERIES 1", "583.90", 0.19, "NASDAQ", "NASDAQ.NMS", None),
    (4815747, "NVDA", "NVIDIA CORP", "131.40", 0.45, "NASDAQ", "NASDAQ.NMS", _CHIP),
    (8894, "KO", "COCA-COLA CO/THE", "68.15", 0.15, "NYSE", "NYSE", _FOOD),
    (4391, "AMD", "ADVANCED MICRO DEVICES", "142.70", 0.48, "NASDAQ", "NASDAQ.NMS", _CHIP),
    (3691937, "AMZN", "AMAZON.COM INC", "201.35", 0.30, "NASDAQ", "NASDAQ.NMS", _NET),
    (208813719, "GOOGL", "ALPHABET INC-CL A", "176.80", 0.28, "NASDAQ", "NASDAQ.NMS", _NET),
    (107113386, "META", "META PLATFORMS INC-CLASS A", "589.40", 0.33, "NASDAQ", "NASDAQ.NMS", _NET),
    (8314, "IBM", "INTL BUSINESS MACHINES CORP", "231.05", 0.20, "NYSE", "NYSE", _TECH),
    (1520593, "JPM", "JPMORGAN CHASE & CO", "243.10", 0.22, "NYSE", "NYSE", _BANK),
    (13977, "XOM", "EXXON MOBIL CORP", "112.60", 0.24, "NYSE", "NYSE", _OIL),
    (6459, "DIS", "WALT DISNEY CO/THE", "109.85", 0.27, "NYSE", "NYSE", _MEDIA),
    (270639, "INTC", "INTEL CORP", "24.35", 0.46, "NASDAQ", "NASDAQ.NMS", _CHIP),
    (15124833, "NFLX", "NETFLIX INC", "893.20", 0.35, "NASDAQ", "NASDAQ.NMS", _MEDIA),
    (72063691, "BRK B", "BERKSHIRE HATHAWAY INC-CL B", "471.90", 0.16, "NYSE", "NYSE", _BANK),
    (51529211, "GLD", "SPDR GOLD SHARES", "251.30", 0.15, "ARCA", "ARCA", None),
    (644309471, "SERV", "SERVE ROBOTICS INC", "9.84", 0.95, "NASDAQ", "NASDAQ.SCM", _TECH),
]

_WORDS = (
    "NORTHERN", "ATLAS", "CEDAR", "PIONEER", "SUMMIT", "HARBOR", "GRANITE", "COBALT", "MERIDIAN",
    "SILVER", "RIVER", "STONE", "EAGLE", "DELTA", "LIBERTY", "OAK", "PRAIRIE", "CORAL", "IRON",
    "HORIZON", "BEACON", "CREST", "VALLEY", "MAPLE", "ORION",
)  # fmt: skip
_TRADES = (
    "ENERGY", "FOODS", "SYSTEMS", "BANCORP", "PHARMA", "MATERIALS", "LOGISTICS", "MEDIA", "REALTY",
    "TOOLS", "WATER", "RAIL",
)  # fmt: skip
_ENDINGS = ("INC", "CORP", "HOLDINGS INC", "GROUP INC", "CO", "LTD")


class Catalogue:
    """Finds contracts by id and symbol; derivatives are laid out around `today`.

    `synthetic(i)` is the i-th invented stock, made when first asked for.
    """

    def __init__(self, seed: int, today: date) -> None:
        self._seed = seed
        self.today = today
        self.by_conid: dict[int, Contract] = {}
        self.by_symbol: dict[str, list[Contract]] = {}
        self._chains: dict[tuple[int, str], list[Contract]] = {}
        for contract in _spot_contracts():
            self._add(contract)
        for contract in self._futures():
            self._add(contract)
        self._add(_es_index())
        for symbol in ("AAPL", "SPY", "TSLA"):
            for contract in self._options(self.by_symbol[symbol][0]):
                self._add(contract)

    def _add(self, contract: Contract) -> None:
        self.by_conid[contract.conid] = contract
        self.by_symbol.setdefault(contract.symbol, []).append(contract)
        if contract.und_conid:
            self._chains.setdefault((contract.und_conid, contract.sec_type), []).append(contract)

    def get(self, conid: int) -> Contract | None:
        """The contract with this id; None if IBKR does not know it."""
        found = self.by_conid.get(conid)
        if found is None and SYNTHETIC <= conid < SYNTHETIC + 20_000:
            return self.synthetic(conid - SYNTHETIC)
        return found

    def stock(self, symbol: str) -> Contract:
        """The first listing of a symbol; KeyError if there is none."""
        return self.by_symbol[symbol][0]

    def derivatives(self, und_conid: int, sec_type: str, month: str = "") -> list[Contract]:
        """Futures or options of an underlying, all months or one (`MMMYY`)."""
        chain = self._chains.get((und_conid, sec_type), [])
        return [contract for contract in chain if not month or contract.month == month]

    def front_future(self) -> Contract:
        """ES DEC26 while it lives, else the nearest ES."""
        return self.by_conid.get(ES_DEC26) or self.derivatives(ES_INDEX, "FUT")[0]

    def synthetic(self, index: int) -> Contract:
        """A made-up US stock; the same for the same seed and index."""
        conid = SYNTHETIC + index
        known = self.by_conid.get(conid)
        if known is not None:
            return known
        dice = random.Random(f"{self._seed}:stock:{index}")
        name = f"{dice.choice(_WORDS)} {dice.choice(_WORDS)} {dice.choice(_TRADES)} {dice.choice(_ENDINGS)}"
        exchange, listing = dice.choice((("NASDAQ", "NASDAQ.NMS"), ("NYSE", "NYSE"), ("ARCA", "ARCA")))
        sector, group, category = dice.choice((_TECH, _OIL, _FOOD, _BANK, _CHIP, _NET))
        price = Decimal(round(10 ** dice.uniform(0.6, 2.7), 2)).quantize(Decimal("0.01"))
        contract = Contract(
            conid,
            _letters(index),
            name,
            exchange=exchange,
            listing=listing,
            start=price,
            volatility=dice.uniform(0.15, 0.6),
            sector=sector,
            group=group,
            category=category,
        )
        self._add(contract)
        return contract

    def _futures(self) -> list[Contract]:
        found = []
        for number, day in enumerate(next_months(self.today, 5, step=3)):
            conid = ES_DEC26 if (day.year, day.month) == (2026, 12) else _derived_id(f"ES{day:%Y%m}")
            found.append(
                Contract(
                    conid,
                    "ES",
                    "E-mini S&P 500",
                    sec_type="FUT",
                    exchange="CME",
                    listing="CME",
                    start=Decimal("6478.25") + 52 * number,
                    tick=Decimal("0.25"),
                    multiplier=Decimal(50),
                    volatility=0.14,
                    kind="FUT",
                    expiry=f"{day:%Y%m%d}",
                    und_conid=ES_INDEX,
                    venues="CME,QBALGO",
                )
            )
        return found

    def _options(self, stock: Contract) -> list[Contract]:
        found = []
        grid = 5 if stock.start < 400 else 10
        middle = int(stock.start / grid) * grid
        for day in next_months(self.today, 3, margin_days=7):
            years = (day - self.today).days / 365
            for strike in range(middle - 6 * grid, middle + 7 * grid, grid):
                for right in "CP":
                    value = option_value(float(stock.start), strike, years, stock.volatility, right)
                    found.append(
                        Contract(
                            _derived_id(f"{stock.symbol}{day:%y%m%d}{right}{strike}"),
                            stock.symbol,
                            stock.name,
                            sec_type="OPT",
                            exchange="SMART",
                            listing="SMART",
                            start=max(Decimal("0.01"), Decimal(value).quantize(Decimal("0.01"))),
                            multiplier=Decimal(100),
                            volatility=stock.volatility,
                            kind="OPT",
                            sector=stock.sector,
                            group=stock.group,
                            category=stock.category,
                            expiry=f"{day:%Y%m%d}",
                            right=right,
                            strike=Decimal(strike),
                            und_conid=stock.conid,
                            venues=OPTION_VENUES,
                        )
                    )
        return found

    def years_left(self, contract: Contract) -> float:
        """Time to expiry in years, counted in whole days."""
        if not contract.expiry:
            return 0.0
        last = date(int(contract.expiry[:4]), int(contract.expiry[4:6]), int(contract.expiry[6:]))
        return max(0, (last - self.today) // timedelta(days=1)) / 365


def _spot_contracts() -> list[Contract]:
    found = []
    for conid, symbol, name, close, volatility, exchange, listing, labels in _US_STOCKS:
        sector, group, category = labels or (None, None, None)
        found.append(
            Contract(
                conid,
                symbol,
                name,
                exchange=exchange,
                listing=listing,
                start=Decimal(close),
                volatility=volatility,
                kind="COMMON" if labels else "ETF",
                sector=sector,
                group=group,
                category=category,
                chinese={"AAPL": APPLE_CN, "SPY": SPY_CN}.get(symbol),
            )
        )
    return found + _others()


def _others() -> list[Contract]:
    bond = Contract(
        T_BOND,
        "US-T",
        "US-T 4 1/4 11/15/34",
        sec_type="BOND",
        exchange="SMART",
        listing="SMART",
        start=Decimal("98.500"),
        tick=Decimal("0.005"),
        decimals=3,
        multiplier=Decimal(10),
        volatility=0.06,
        kind="GOVT",
        sector="Government",
        group="Sovereign",
        expiry="20341115",
        venues="SMART",
    )
    mexican = replace(
        _foreign(38708077, "AAPL", "APPLE INC", "MEXI", "3571.00", "0.01", _TECH), currency="MXN"
    )
    return [
        _foreign(117589399, "ASML", "ASML HOLDING NV", "AEB", "668.40", "0.1", _CHIP),
        _foreign(14204, "SAP", "SAP SE", "IBIS", "231.55", "0.02", _SOFT),
        replace(mexican, chinese=APPLE_CN),
        bond,
        _currency(EUR_USD, "EUR", "European Monetary Union Euro", "1.15400"),
        _currency(12087797, "GBP", "British pound", "1.31250"),
    ]


def _es_index() -> Contract:
    """What the search finds for `ES`; it has prices but cannot be traded."""
    return Contract(
        ES_INDEX,
        "ES",
        "E-mini S&P 500",
        sec_type="IND",
        exchange="CME",
        listing="CME",
        start=Decimal("6469.40"),
        volatility=0.14,
        kind="IND",
        venues="CME",
    )


def _foreign(
    conid: int, symbol: str, name: str, exchange: str, start: str, tick: str, labels: tuple[str, str, str]
) -> Contract:
    """A listing in euros whose market data are delayed."""
    sector, group, category = labels
    return Contract(
        conid,
        symbol,
        name,
        currency="EUR",
        exchange=exchange,
        listing=exchange,
        start=Decimal(start),
        tick=Decimal(tick),
        volatility=0.3,
        sector=sector,
        group=group,
        category=category,
        data="DPB",
        venues=f"SMART,{exchange}",
    )


def _currency(conid: int, symbol: str, name: str, start: str) -> Contract:
    return Contract(
        conid,
        symbol,
        name,
        sec_type="CASH",
        exchange="IDEALPRO",
        listing="IDEALPRO",
        start=Decimal(start),
        tick=Decimal("0.00005"),
        decimals=5,
        volatility=0.08,
        kind="CASH",
        venues="IDEALPRO",
    )


def _derived_id(text: str) -> int:
    """A stable conid in a range that nothing else uses."""
    return 600_000_000 + crc32(text.encode()) % 99_000_000


def _letters(index: int) -> str:
    """Ticker of a synthetic stock: four letters beginning with Z or Y, unique below 35,152."""
    digits = []
    for _ in range(3):
        index, digit = divmod(index, 26)
        digits.append(chr(65 + digit))
    return chr(90 - index % 26) + "".join(reversed(digits))
