"""The world's REST routes (web-api.md §3-§6), by table."""

from __future__ import annotations

from ibtui.sim.rest.accounts import ROUTES as ACCOUNTS
from ibtui.sim.rest.contracts import ROUTES as CONTRACTS
from ibtui.sim.rest.history import ROUTES as HISTORY
from ibtui.sim.rest.hours import ROUTES as HOURS
from ibtui.sim.rest.marketdata import ROUTES as MARKET_DATA
from ibtui.sim.rest.notifications import ROUTES as NOTIFICATIONS
from ibtui.sim.rest.orders import ROUTES as ORDERS
from ibtui.sim.rest.portfolio import ROUTES as PORTFOLIO
from ibtui.sim.rest.trades import ROUTES as TRADES
from ibtui.sim.seam import Route

ROUTES: list[Route] = [
    *ACCOUNTS,
    *PORTFOLIO,
    *ORDERS,
    *TRADES,
    *CONTRACTS,
    *HOURS,
    *MARKET_DATA,
    *HISTORY,
    *NOTIFICATIONS,
]
