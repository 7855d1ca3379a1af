"""Accounts: which there are, which is selected (web-api.md §3.1–§3.3)."""

from __future__ import annotations

from typing import Any

from ibtui.core.endpoints.common import (
    Call,
    flag,
    get,
    label,
    mapping,
    post,
    read_all,
    rest_of,
    strings,
    text,
)
from ibtui.core.models import Account, Accounts

_KNOWN = frozenset({"id", "accountId", "accountTitle", "displayName", "accountAlias", "currency", "type"})


def brokerage() -> Call:
    """The brokerage session's accounts; arms order and market data routes (§3.1, §1.7)."""
    return get("/iserver/accounts")


def portfolio() -> Call:
    """The portfolio's accounts; arms `/portfolio/{ACCT}` routes (§3.3)."""
    return get("/portfolio/accounts")


def select(account: str) -> Call:
    """Switch the selected account (§3.2)."""
    return post("/iserver/account", {"acctId": account})


def read_brokerage(body: Any) -> Accounts:
    """`/iserver/accounts` or the `args` of an `act` frame; the pseudo account `All` is left out."""
    row = mapping(body)
    ids = tuple(name for name in strings(row.get("accounts")) if name != "All")
    selected = text(row.get("selectedAccount")) or ""
    return Accounts(
        ids=ids,
        selected=selected if selected and selected != "All" else (ids[0] if ids else ""),
        aliases={
            name: found for name, value in mapping(row.get("aliases")).items() if (found := label(value))
        },
        paper=flag(row.get("isPaper")),
    )


def read_portfolio(body: Any) -> list[Account]:
    """`/portfolio/accounts`, one `Account` a row."""
    return read_all(body, _account)


def _account(row: dict[str, Any]) -> Account | None:
    id_ = text(row.get("id")) or text(row.get("accountId"))
    if id_ is None:
        return None
    return Account(
        id=id_,
        title=label(row.get("accountTitle")) or label(row.get("displayName")),
        alias=label(row.get("accountAlias")),
        currency=text(row.get("currency")),
        type=text(row.get("type")),
        paper=id_.startswith("D") or row.get("type") == "DEMO",
        extra=rest_of(row, _KNOWN),
    )
