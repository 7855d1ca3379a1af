"""The login conversation over HTTP, without a browser (login.md §3).

`login` is a generator of effects: it opens no socket and asks nobody itself. Fields
go out in the notes' order. What IBKR answers is checked, never assumed.
"""

from __future__ import annotations

import secrets
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field

from ibtui.auth import srp
from ibtui.auth.effects import Ask, Challenge, Credentials, Flow, Note, Reply, Send, Step
from ibtui.auth.factor import plain_name
from ibtui.errors import IbtuiError, LoginLocked, LoginRefused, PersonNeeded, UnknownReply, Unreachable

SUCCESS = "Client login succeeds"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TEN_YEARS_MS = 3650 * 24 * 3600 * 1000


@dataclass(slots=True)
class Draw:
    """The conversation's randomness, handed in so that transcripts can be replayed."""

    a: Callable[[], int] = lambda: secrets.randbits(256)
    padding: bytes | None = None
    query: Callable[[], int] = lambda: secrets.randbelow(100_001)
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The SSO session is open; `session_key` is the value of its cookie."""

    username: str
    session_key: str = field(repr=False)


@dataclass(slots=True)
class _State:
    who: Credentials
    draw: Draw
    group: srp.Group = srp.DEFAULT_GROUP
    a: int = 0
    A: int = 0


def login(who: Credentials, draw: Draw | None = None) -> Flow[LoggedIn]:
    """Prove the password and open the SSO session.

    Yields effects (`auth.effects`), returns `LoggedIn`.

    Raises:
        LoginRefused: wrong user name or password; LoginLocked: no further attempt allowed.
        PersonNeeded: the account wants a second factor.
        UnknownReply: a reply the notes do not describe; its text is kept out of the error.
        Unreachable: IBKR's server answered with an error of its own.
    """
    state = _State(who, draw or Draw())
    yield Note(Step.PASSWORD, "asking IBKR how to prove the password")
    params = yield from _initialise(state)
    yield Note(Step.PASSWORD, "proving the password")
    proof = srp.prove(who.username, who.password, params, state.a, state.A)
    offered = yield from _complete(state, params, proof)
    yield Note(Step.PASSWORD, done=True)
    if offered:
        yield Note(Step.FACTOR, ", ".join(plain_name(code) for code in offered))
        yield Ask(Challenge(offered[0], "", others=tuple(offered[1:])))
        raise PersonNeeded(
            f"IBKR wants a second factor for {who.username}: {', '.join(map(plain_name, offered))}."
            " This version of ibtui cannot answer it yet.",
            "Log in with a browser at the gateway's address; ibtui then sees the session by itself.",
        )
    yield Note(Step.FACTOR, "none asked for", done=True)
    yield Note(Step.SESSION, "opening the session")
    yield from _dispatch(state, proof)
    yield Note(Step.SESSION, done=True)
    return LoggedIn(who.username, proof.session_key)


def _initialise(state: _State) -> Flow[srp.Params]:
    """Requests 1 and 2; once more with a new A when the server uses another group (login.md §2)."""
    for _ in range(2):
        yield Send("GET", "/", follow_redirects=True)
        state.a = srp.draw_a(state.group, state.draw.a())
        state.A = srp.public(state.group, state.a)
        form = (
            ("ACTION", "INIT"),
            ("APP_NAME", ""),
            ("MODE", "NORMAL"),
            ("FORCE_LOGIN", ""),
            ("USER", state.who.username),
            ("ACCT", ""),
            ("A", srp.hexn(state.A)),
        )
        reply = yield _authenticator(state, form, (("SBID", _sbid(state.draw)),))
        params = read_params(reply)
        if params.group == state.group:
            return params
        state.group = params.group
    raise UnknownReply(
        "IBKR changed the login's group twice in a row; the password was not sent.", "Try again in a minute."
    )


def _complete(state: _State, params: srp.Params, proof: srp.Proof) -> Flow[list[str]]:
    """Request 3; returns the second factors offered, empty when none is wanted."""
    form = [
        ("ACTION", "COMPLETEAUTH"),
        ("APP_NAME", ""),
        ("USER", state.who.username.lower()),
        ("ACCT", ""),
        ("M1", proof.M1),
        ("VERSION", "1"),
    ]
    if params.rsa_modulus is not None:
        form.append(("EKX", srp.rsa_text(proof.K.hex(), params.rsa_modulus, padding=state.draw.padding)))
    reply = yield _authenticator(state, tuple(form))
    root = _xml(reply)
    theirs = (root.findtext("ini_params/M2") or "").strip().lower()
    if theirs != proof.M2:
        if (root.findtext("auth_info/reached_max_login") or "").strip() == "true":
            raise LoginLocked(
                "IBKR refused user name or password and allows no further attempt.",
                "Do not try again. Unlock the account in IBKR's Client Portal or by phone.",
            )
        raise LoginRefused(
            "IBKR refused user name or password.",
            "Check both, then try again; too many refusals lock the account.",
        )
    types = root.findtext("sftypes") or ""
    return [code.strip() for code in types.split(",") if code.strip()]


def _dispatch(state: _State, proof: srp.Proof) -> Flow[None]:
    """Request 6: hand the proof to the gateway, which opens the session (login.md §3, §9.4)."""
    form = (
        ("user_name", state.who.username),
        ("password", "x" * 24),
        ("chlginput", ""),
        ("loginType", "0"),
        ("forwardTo", "22"),
        ("M1", proof.M1),
        ("M2", proof.M2),
    )
    reply: Reply = yield Send(
        "POST", "/sso/Dispatcher", form, cookies=(("XYZAB_AM.LOGIN", proof.session_key),)
    )
    if reply.status != 200 or reply.text.strip() != SUCCESS:
        raise _fault(reply, "IBKR did not open the session although it accepted the password")


def _authenticator(
    state: _State, form: tuple[tuple[str, str], ...], cookies: tuple[tuple[str, str], ...] = ()
) -> Send:
    return Send("POST", f"/sso/Authenticator?{state.draw.query()}", form, cookies)


def _sbid(draw: Draw) -> str:
    """Random base-36 text followed by the expiry in ms in base 36 (login.md §3)."""
    noise = "".join(secrets.choice(_DIGITS) for _ in range(16))
    expiry, digits = draw.now_ms() + _TEN_YEARS_MS, ""
    while expiry:
        expiry, digit = divmod(expiry, 36)
        digits = _DIGITS[digit] + digits
    return noise + digits


def read_params(reply: Reply) -> srp.Params:
    """The reply to INIT (login.md §3, reply 2).

    Raises:
        LoginRefused: IBKR's own `<error>`; UnknownReply: members missing or not numbers.
    """
    root = _xml(reply)
    error = (root.findtext("error") or "").strip()
    if error:
        raise LoginRefused(f"IBKR refused to begin the login: {error[:200]}", "Check the user name.")

    def text(name: str) -> str:
        return (root.findtext(f"ini_params/{name}") or "").strip()

    algorithm = text("hash") or "SHA1"
    if algorithm.upper().replace("-", "") != "SHA1":
        raise UnknownReply(f"IBKR asks for the unknown hash {algorithm[:16]!r}.", "Log in with a browser.")
    try:
        modulus = text("rsapub")
        params = srp.Params(
            srp.Group(int(text("N"), 16), int(text("g"), 10)),
            text("proto") or "6",
            int(text("s"), 16),
            int(text("B"), 16),
            text("lp") != "false",
            int(modulus, 16) if modulus else None,
        )
    except ValueError:
        raise UnknownReply("IBKR's login reply lacks a number that ibtui needs.", _WHERE) from None
    if params.proto not in srp.PROTOS:
        raise UnknownReply(f"IBKR asks for the unknown password protocol {params.proto[:8]!r}.", _WHERE)
    return params


_WHERE = "Log in with a browser at the gateway's address, and report this."


def _xml(reply: Reply) -> ET.Element:
    # A document type could make the parser expand entities; no login reply has one.
    if reply.status == 200 and "<!DOCTYPE" not in reply.text and "<!ENTITY" not in reply.text:
        try:
            return ET.fromstring(reply.text.strip())
        except ET.ParseError:
            pass
    raise _fault(reply, "IBKR's login page gave a reply that ibtui does not know")


def _fault(reply: Reply, what: str) -> IbtuiError:
    if reply.status >= 500:
        return Unreachable(
            f"IBKR's login server answered {reply.status}; it may be in maintenance.",
            "Try again in a few minutes.",
        )
    if reply.status == 404 and "Access Denied" in reply.text:
        return Unreachable(
            "The gateway does not let this machine in (Access Denied).",
            "Add its address to ips.allow in conf.yaml.",
        )
    return UnknownReply(f"{what} (status {reply.status}).", _WHERE, reply.status)
