"""The screens by mode, but for the first: they are imported on their first visit."""

from __future__ import annotations

from collections.abc import Callable

from textual.screen import Screen


def _positions() -> Screen[None]:
    from ibtui.ui.screens.positions import PositionsScreen

    return PositionsScreen()


def _orders() -> Screen[None]:
    from ibtui.ui.screens.orders import OrdersScreen

    return OrdersScreen()


def _account() -> Screen[None]:
    from ibtui.ui.screens.account import AccountScreen

    return AccountScreen()


def _oauth() -> Screen[None]:
    from ibtui.ui.screens.oauth import OAuthScreen

    return OAuthScreen()


PLACES: dict[str, Callable[[], Screen[None]]] = {
    "positions": _positions,
    "orders": _orders,
    "account": _account,
    "oauth": _oauth,
}
"""In the order of their digits, as in `keymap.SCREENS`; Session is the app's default screen."""
