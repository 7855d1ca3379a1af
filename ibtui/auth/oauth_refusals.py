"""What IBKR's refusals mean under OAuth, what to do, and whether waiting helps (oauth.md §9, §11.4).

IBKR publishes few of these texts; each sentence says what is most likely, in the order to try.
"""

from __future__ import annotations

from collections.abc import Callable

from ibtui.errors import IbtuiError, TokenRefused

CHECK = "Test again with: ibtui oauth check"
_COMPARE = (
    "Compare the consumer key with IBKR's page letter by letter (it stores capitals), see that Enabled is"
    " ticked and that all three files are there."
)


def live_session_token(status: int, said: str) -> IbtuiError:
    """Why there is no live session token: `said` is the text of IBKR's answer (oauth.md §9)."""
    low = said.lower()
    for words, make in _TOKEN:
        if words in low:
            return make(said)
    if status == 403:
        return TokenRefused(
            f"IBKR's front door refuses this request{_quoted(said)}.",
            "A proxy between here and IBKR may have changed it (the User-Agent must arrive).",
        )
    if status == 410:
        return TokenRefused(
            f"This server has no session for you any more{_quoted(said)}.",
            "Another of IBKR's numbered hosts may have: set api_host to https://1.api.ibkr.com (1 to 7).",
            waiting_helps=True,
        )
    return _signature(said)


def _signature(said: str) -> TokenRefused:
    return TokenRefused(
        f"IBKR refuses the token request{_quoted(said)}.",
        "Most likely the signature is not what it expects: the private signing key here is not the pair of"
        f" the uploaded public one, or the secret belongs to an older Generate Token. {CHECK}",
    )


def _invalid_consumer(said: str) -> TokenRefused:
    return TokenRefused(
        "IBKR does not know this consumer key (invalid consumer). If it is new, it is most likely not active"
        " yet.",
        "Nothing is lost: new ones are activated by the midnight reset of their region, many only by the"
        f" weekend's; registering again would start the wait anew. {_COMPARE} {CHECK}",
        waiting_helps=True,
    )


def _no_secret(said: str) -> TokenRefused:
    return TokenRefused(
        f"IBKR does not know this access token, or has lost its secret{_quoted(said)}.",
        "Press Generate Token on IBKR's page again and take over the new token and secret: ibtui oauth"
        " configure. It may need the Sunday reset.",
        waiting_helps=True,
    )


def _clock(said: str) -> TokenRefused:
    return TokenRefused(
        f"IBKR does not take the time of this request{_quoted(said)}.",
        "Look at this machine's clock; it must be right to the minute.",
    )


def _nonce(said: str) -> TokenRefused:
    return TokenRefused(f"IBKR takes this request for a repeated one{_quoted(said)}.", "Try again.")


_TOKEN: tuple[tuple[str, Callable[[str], TokenRefused]], ...] = (
    ("invalid consumer", _invalid_consumer),
    ("signature", _signature),
    ("no access secret key", _no_secret),
    ("invalid token", _no_secret),
    ("lst failed", _no_secret),
    ("timestamp", _clock),
    ("nonce", _nonce),
)


def access_token(status: int, said: str) -> IbtuiError:
    """Why OAuth 2.0 gave no access token (oauth.md §11.1, §11.4)."""
    if status == 403:
        return TokenRefused(
            f"This client may not have the scope it asks for{_quoted(said)}.",
            'Try another in the profile, such as oauth2_scope = "sso-sessions.write".',
        )
    return TokenRefused(
        f"IBKR refuses the client's assertion (status {status}){_quoted(said)}.",
        "See that oauth2_client_id and oauth2_key_id are as IBKR gave them, that the private key is the pair"
        " of the registered one and that this machine's clock is right to the second; oauth2_audience is"
        " /token unless IBKR said otherwise.",
    )


def sso_session(status: int, said: str) -> IbtuiError:
    """Why OAuth 2.0 opened no SSO session (oauth.md §11.2, §11.4)."""
    if status == 403:
        return TokenRefused(
            f"The access token may not open SSO sessions{_quoted(said)}.",
            "oauth2_scope must hold sso-sessions.write.",
        )
    return TokenRefused(
        f"IBKR opens no session for this user name (status {status}){_quoted(said)}.",
        "See that oauth2_credential is the IBKR user name that the client acts for, and that oauth2_ip is"
        " this machine's public address as IBKR sees it.",
    )


def _quoted(said: str) -> str:
    return f": {said.strip().rstrip('.')}" if said.strip() else ""
