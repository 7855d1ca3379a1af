"""The world's REST routes (web-api.md §3-§6), by table."""

from __future__ import annotations

from ibtui.sim.rest import accounts, contracts, history, marketdata, notifications, orders, portfolio, trades
from ibtui.sim.seam import Route

ROUTES: list[Route] = [
    *accounts.ROUTES,
    *portfolio.ROUTES,
    *orders.ROUTES,
    *trades.ROUTES,
    *contracts.ROUTES,
    *marketdata.ROUTES,
    *history.ROUTES,
    *notifications.ROUTES,
]
