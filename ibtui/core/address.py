"""Addresses of a gateway or API host: checked once, then taken apart."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import msgspec

from ibtui.core.trust import LOOPBACK
from ibtui.errors import UsageError

API = "/v1/api"


def is_loopback(host: str) -> bool:
    """True when `host` cannot leave this machine."""
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Address(msgspec.Struct, frozen=True):
    """`origin` (`https://localhost:5000`) and the `prefix` below which the API lies."""

    origin: str
    prefix: str
    scheme: str
    host: str

    @classmethod
    def parse(cls, url: str, *, insecure_http: bool = False) -> Address:
        """Take `https://localhost:5000` or `https://localhost:5000/v1/api` apart (web-api.md §1.1).

        Raises:
            UsageError: no http(s) address, one with a password in it, or plain http to
                another machine while `insecure_http` is off.
        """
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError as error:
            raise UsageError(f"The address is not valid: {error}.") from error
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host:
            raise UsageError("The address must look like https://localhost:5000.")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UsageError("The address may hold neither a user, a password nor a query.")
        if parts.scheme == "http" and not insecure_http and not is_loopback(host):
            raise UsageError(
                f"Plain http to {host} would send the session over the network in clear.",
                "Use https, or allow it with insecure_http.",
            )
        bracketed = f"[{host}]" if ":" in host else host
        origin = f"{parts.scheme}://{bracketed}" + (f":{port}" if port else "")
        return cls(origin, parts.path.rstrip("/") or API, parts.scheme, host)

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.origin).port or (443 if self.scheme == "https" else 80)

    @property
    def where(self) -> str:
        """`localhost:5000`, for messages."""
        return self.origin.split("://", 1)[1]

    def api(self, path: str) -> str:
        """The URL of an API path: `/tickle`, `tickle`, `/v1/api/tickle` or `/v1/portal/…`.

        Raises:
            UsageError: a whole URL or a path with control characters.
        """
        if "://" in path.split("?", 1)[0]:
            raise UsageError("Give a path such as /iserver/accounts, not a whole address.")
        if any(ord(char) < 33 or ord(char) == 127 for char in path):
            raise UsageError("The path holds blanks or control characters.")
        path = "/" + path.lstrip("/")
        if path.startswith(("/v1/api/", "/v1/portal/", self.prefix + "/")):
            return self.origin + path
        return self.origin + self.prefix + path

    @property
    def socket(self) -> str:
        """The WebSocket's URL."""
        return self.origin.replace("http", "ws", 1) + self.prefix + "/ws"
