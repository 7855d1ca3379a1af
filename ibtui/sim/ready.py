"""What the simulator tells its caller once it listens: addresses, users, files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibtui.sim import download

if TYPE_CHECKING:
    from ibtui.sim.scenario import Login
    from ibtui.sim.server import Simulator


def ready(sim: Simulator, files: dict[str, Any]) -> dict[str, Any]:
    """The ready object; `files` has its `oauth1` and `oauth2`."""
    return {
        "url": sim.url,
        "ws": sim.ws,
        "cert": None if sim.cert is None else str(sim.cert),
        "users": users(sim),
        "oauth1": files["oauth1"],
        "oauth2": files["oauth2"],
        "twilio": {"url": sim.url, "sid": sim.twilio.sid, "token": sim.twilio.token},
        "download": f"{sim.url}{download.PATH}",
        "control": f"{sim.url}/sim",
    }


def users(sim: Simulator) -> list[dict[str, Any]]:
    """The users as they are now, with what a client needs to be each of them."""
    return [_user(sim, login) for login in sim.scenario.logins]


def _user(sim: Simulator, login: Login) -> dict[str, Any]:
    user, device = login.user, login.device
    row: dict[str, Any] = {
        "username": user.username,
        "password": user.password,
        "factors": list(user.factors),
        "paper": user.paper,
    }
    if device.totp_secret:
        row["totp_secret"] = device.totp_secret
    if device.ocra:
        row |= {"pin": device.pin, "ocra": device.ocra, "counter": sim.factors.next_counter(device)}
    return row
