"""The login conversation over HTTP, without a browser (login.md §3).

`login` is a generator of effects: it opens no socket and asks nobody itself. Fields
go out in the notes' order. What IBKR answers is checked, never assumed.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Sequence

import msgspec

from ibtui.auth import ocra, srp
from ibtui.auth.effects import (
    Answer,
    Ask,
    Cancel,
    Challenge,
    Choose,
    Code,
    Credentials,
    Flow,
    Note,
    OtherFactor,
    Reply,
    Resend,
    Send,
    Spend,
    Step,
)
from ibtui.auth.factor import factor, plain_name, plain_names, preferred, supported
from ibtui.auth.ledger import Ledger, counted
from ibtui.auth.replies import (
    BROWSER,
    fault,
    read_challenge,
    read_offer,
    read_params,
    read_result,
)
from ibtui.auth.shy import Shy
from ibtui.errors import FactorUnsupported, PersonNeeded, UnknownReply

__all__ = ["Draw", "LoggedIn", "ask_code", "login", "read_params"]

SUCCESS = "Client login succeeds"
MAX_SLIPS = 5
"""Answers that cannot be sent (no digits, a factor not offered) before the login ends."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TEN_YEARS_MS = 3650 * 24 * 3600 * 1000


class Draw(msgspec.Struct):
    """The conversation's randomness and time, handed in so that transcripts can be replayed."""

    a: Callable[[], int] = lambda: secrets.randbits(256)
    padding: bytes | None = None
    query: Callable[[], int] = lambda: secrets.randbelow(100_001)
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000


class LoggedIn(Shy, frozen=True):
    """The SSO session is open; `session_key` is the value of its cookie."""

    SHOWN = ("username", "factor", "paper")

    username: str
    session_key: str
    factor: str = ""
    """SF code of the second factor that was used; empty without one."""
    paper: bool | None = None
    """Whether IBKR calls it a paper user name; None when it did not say."""


class _State(msgspec.Struct):
    who: Credentials
    draw: Draw
    ledger: Ledger
    group: srp.Group = srp.DEFAULT_GROUP
    a: int = 0
    A: int = 0


def login(who: Credentials, draw: Draw | None = None, *, prefer: Sequence[str] = ()) -> Flow[LoggedIn]:
    """Prove the password, answer the second factor and open the SSO session.

    Yields effects (`auth.effects`), returns `LoggedIn`. `Spend("attempt")` comes before the
    password proof leaves, `Spend("refund")` where that attempt cost nothing (`auth.ledger`),
    `Spend("success")` at the end.

    Args:
        prefer: second factors to use without asking, the first that is offered: SF codes or
            `totp`, `sms`, `ibkey`. Otherwise `Choose` is asked where several are offered.

    Raises:
        LoginRefused: wrong user name or password; CodeRefused: wrong code; LoginLocked: no
            further attempt allowed.
        PersonNeeded: the second factor was not given; FactorUnsupported: it cannot be given here.
        UnknownReply: a reply the notes do not describe; its text is kept out of the error.
        Unreachable: IBKR's server answered with an error of its own.
    """
    state = _State(who, draw or Draw(), Ledger())
    return (yield from counted(state.ledger, _talk(state, tuple(prefer))))


def _talk(state: _State, prefer: tuple[str, ...]) -> Flow[LoggedIn]:
    who = state.who
    yield Note(Step.PASSWORD, "asking IBKR how to prove the password")
    params = yield from _initialise(state)
    yield Note(Step.PASSWORD, "proving the password")
    proof = srp.prove(who.username, who.password, params, state.a, state.A)
    offered = yield from _complete(state, params, proof)
    yield Note(Step.PASSWORD, done=True)
    code, response = "", ""
    if offered:
        code, response = yield from _second_factor(state, proof, offered, prefer)
        yield Note(Step.FACTOR, done=True)
    else:
        yield Note(Step.FACTOR, "none asked for", done=True)
    yield Note(Step.SESSION, "opening the session")
    yield from _dispatch(state, proof, response)
    yield Spend("success")
    yield Note(Step.SESSION, done=True)
    return LoggedIn(who.username, proof.session_key, code, params.paper)


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


def _complete(state: _State, params: srp.Params, proof: srp.Proof) -> Flow[tuple[str, ...]]:
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
    yield from state.ledger.spend()
    reply = yield from state.ledger.post(_authenticator(state, tuple(form)), judged=True)
    return read_offer(reply, proof.M2)


def _second_factor(
    state: _State, proof: srp.Proof, offered: tuple[str, ...], prefer: tuple[str, ...]
) -> Flow[tuple[str, str]]:
    """Requests 4 and 5; returns the SF code and the RESPONSE that was accepted."""
    able = supported(offered)
    yield Note(Step.FACTOR, plain_names(offered))
    if not able:
        raise FactorUnsupported(
            f"IBKR wants a second factor for {state.who.username}: {plain_names(offered)}."
            " ibtui cannot answer it, and trying again does not help.",
            BROWSER,
        )
    code = preferred(prefer, able) or (able[0] if len(able) == 1 else "")
    if not code:
        chosen: str | Cancel = yield Choose(able)
        if isinstance(chosen, Cancel):
            raise stopped(state.who.username, able)
        if chosen not in able:
            raise FactorUnsupported(f"{not_valid(chosen, able)}.", "Choose one of these.")
        code = chosen

    def request(code: str) -> Flow[tuple[Reply, float]]:
        """Request 4, and the clock's difference as its reply shows it."""
        return (yield from _ask_for(state, proof, code))

    code, answer = yield from ask_code(request, code, able, state.who.username)
    if answer.counted:
        yield Spend("counter")
    response = _digits(answer)
    form = (
        ("ACTION", "COMPLETETWOFACT"),
        ("APP_NAME", ""),
        ("USER", state.who.username),
        ("ACCT", ""),
        ("RESPONSE", response),
        ("VERSION", "1"),
        ("SF", code),
    )
    yield Note(Step.FACTOR, f"{plain_name(code)}: checking the answer")
    reply = yield from state.ledger.post(_authenticator(state, form), judged=True)
    read_result(reply, code)
    return code, response


def _ask_for(state: _State, proof: srp.Proof, code: str) -> Flow[tuple[Reply, float]]:
    form = (
        ("ACTION", "COMPLETEAUTH_1"),
        ("APP_NAME", ""),
        ("USER", state.who.username),
        ("ACCT", ""),
        ("M1", proof.M1),
        ("VERSION", "1"),
        ("SF", code),
    )
    reply = yield from state.ledger.post(_authenticator(state, form, _session(proof)))
    return reply, ocra.skew(reply.date, state.draw.now_ms() / 1000)


def ask_code(
    request: Callable[[str], Flow[tuple[Reply, float]]], code: str, able: tuple[str, ...], username: str
) -> Flow[tuple[str, Code]]:
    """Ask IBKR for a challenge (`request`) and the person for its answer, until there is one to send.

    An answer that cannot be right (no digits, a wrong number of them) is asked for again
    instead of being sent: IBKR would count it. Returns the SF code in use and the answer.

    Raises:
        PersonNeeded: the person stopped, or gave nothing that could be sent.
        FactorUnsupported, LoginRefused, UnknownReply, Unreachable: see `replies.read_challenge`.
    """
    slips, problem = 0, ""
    asked = None
    while slips < MAX_SLIPS:
        if asked is None:
            reply, skew = yield from request(code)
            asked = read_challenge(reply, code)
        others = tuple(other for other in able if other != code)
        answer: Answer = yield Ask(Challenge(code, asked.kind, asked.challenge, others, skew, problem))
        problem = ""
        match answer:
            case Cancel():
                break
            case Resend():
                asked = None
            case OtherFactor(other) if other in able:
                asked, code = None, other
            case OtherFactor(other):
                slips, problem = slips + 1, f"{not_valid(other, able)}."
            case Code():
                wanted = factor(code).digits
                if re.fullmatch(rf"[0-9]{{{wanted}}}", _digits(answer)):
                    return code, answer
                slips, problem = slips + 1, f"That was not sent: the answer has {wanted} digits."
    raise stopped(username, (code,))


def stopped(username: str, offered: Sequence[str]) -> PersonNeeded:
    """The error of a second factor that was asked for and not given."""
    return PersonNeeded(
        f"IBKR wants a second factor for {username}: {plain_names(offered)}. It was not given.",
        "Log in again and answer it, or log in with a browser at the gateway's address.",
    )


def not_valid(code: str, able: Sequence[str]) -> str:
    """login.md §8."""
    return f"{code} is not valid for the account, only: {', '.join(able)} are available"


def _digits(answer: Code) -> str:
    """As people type and apps show codes: `123 456`, `123-456`."""
    return re.sub(r"[\s\-]", "", answer.text.reveal())


def _dispatch(state: _State, proof: srp.Proof, response: str) -> Flow[None]:
    """Request 6: hand the proof to the gateway, which opens the session (login.md §3, §9.4)."""
    form = (
        ("user_name", state.who.username),
        ("password", "x" * 24),
        ("chlginput", response),
        ("loginType", "0"),
        ("forwardTo", "22"),
        ("M1", proof.M1),
        ("M2", proof.M2),
    )
    send = Send("POST", "/sso/Dispatcher", form, cookies=_session(proof))
    reply = yield from state.ledger.post(send, judged=True)
    if reply.status != 200 or reply.text.strip() != SUCCESS:
        raise fault(reply, "IBKR did not open the session although it accepted the password")


def _session(proof: srp.Proof) -> tuple[tuple[str, str], ...]:
    return (("XYZAB_AM.LOGIN", proof.session_key),)


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
