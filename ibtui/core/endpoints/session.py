"""Session: status, tickle, opening and ending the brokerage session (web-api.md §2)."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from ibtui.core.endpoints.common import Call, flag, get, integer, mapping, post, text
from ibtui.core.models import AuthStatus, Tickle
from ibtui.secret import Secret


def auth_status() -> Call:
    """The brokerage session's state (§2.2)."""
    return get("/iserver/auth/status")


def tickle() -> Call:
    """Keep the session alive (§2.3)."""
    return post("/tickle")


def ssodh_init(*, compete: bool, publish: bool) -> Call:
    """Open the brokerage session; the arguments must be JSON (§2.5)."""
    return post("/iserver/auth/ssodh/init", {"publish": publish, "compete": compete})


def validate() -> Call:
    """The SSO session's state (§2.4); once a minute at most."""
    return get("/sso/validate")


def reauthenticate() -> Call:
    """Ask the gateway itself to open the brokerage session again (§2.6, login.md §9.3)."""
    return post("/iserver/reauthenticate")


def logout() -> Call:
    """End the brokerage session and the login (§2.6)."""
    return post("/logout")


def read_status(body: Any) -> AuthStatus:
    """The status in a reply of `auth_status`, `ssodh_init` or an `sts` frame; missing members are false."""
    row = mapping(body)
    server = mapping(row.get("serverInfo"))
    return AuthStatus(
        authenticated=flag(row.get("authenticated")) is True,
        connected=flag(row.get("connected")) is True,
        competing=flag(row.get("competing")) is True,
        established=flag(row.get("established")),
        message=text(row.get("message")) or "",
        fail=text(row.get("fail")) or "",
        server=text(server.get("serverName") or row.get("serverName")),
    )


def read_tickle(body: Any, *, direct: bool = False) -> Tickle:
    """A tickle's reply without its token; old builds and OAuth lack members (§2.3).

    `direct`: there is no gateway, so whoever answers is connected (oauth.md §7).
    """
    row = mapping(body)
    status = read_status(mapping(row.get("iserver")).get("authStatus"))
    return Tickle(
        status=structs.replace(status, connected=True) if direct else status,
        sso_expires_ms=integer(row.get("ssoExpires")),
        user_id=integer(row.get("userId")),
        collision=flag(row.get("collission")) is True,
    )


def read_token(body: Any) -> Secret | None:
    """The WebSocket's token in a tickle's reply, None without one."""
    found = text(mapping(body).get("session"))
    return Secret(found) if found else None
