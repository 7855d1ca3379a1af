"""What several route tables need: the account of a call, cold and warm, parameters."""

from __future__ import annotations

import asyncio
from typing import Any

from ibtui.sim.books import Book
from ibtui.sim.instruments import Contract
from ibtui.sim.seam import Call, refuse


def own_accounts(call: Call) -> list[str]:
    """The accounts of the session's user."""
    return call.session.user.accounts


def selected(call: Call) -> str:
    """The selected account, by default the first."""
    return call.session.selected_account or own_accounts(call)[0]


def account_of(call: Call, name: str = "account") -> str:
    """The account in the path. 400 `accountId is not valid` when the user does not own it."""
    account = call.request.match_info[name]
    if account not in own_accounts(call):
        raise refuse(400, f"Bad Request: accountId is not valid: {account}", with_status=True)
    return account


def book_of(call: Call) -> Book:
    """The books of the account in the path."""
    return call.world.book(account_of(call))


def scope(call: Call, wish: str | None) -> str | None:
    """The account a list is about: `wish`, else the selected one; None for all of the user's."""
    account = wish or selected(call)
    if account == "All":
        return None
    if account not in own_accounts(call):
        raise refuse(400, f"Bad Request: accountId is not valid: {account}", with_status=True)
    return account


def cold(call: Call, mark: str) -> bool:
    """True the first time in a session (web-api.md §0); sets the mark."""
    if mark in call.session.flags:
        return False
    call.session.flags.add(mark)
    return call.quirks.cold_replies


def conid_of(call: Call, text: str | None) -> Contract:
    """A known contract from text. 400 when it is no number, 500 as §5.4 words it when unknown."""
    if text is None or not text.strip().lstrip("-").isdigit():
        raise refuse(400, "Bad Request: conid is not valid", with_status=True)
    found = call.world.catalogue.get(int(text))
    if found is None:
        raise refuse(500, UNAVAILABLE)
    return found


UNAVAILABLE = (
    '{"reason":"Details currently unavailable. Please try again later and contact client services'
    ' if the issue persists."}'
)


def truth(text: str | None) -> bool:
    """A boolean query parameter."""
    return (text or "").lower() == "true"


async def mapping(call: Call) -> dict[str, Any]:
    """The body as an object; 400 when it is something else."""
    body = await call.json()
    if not isinstance(body, dict):
        raise refuse(400, "Bad Request: body must be an object", with_status=True)
    return body


async def wait(call: Call, seconds: float) -> None:
    """The wait of a slow back-end."""
    await asyncio.sleep(seconds * call.world.pace)
