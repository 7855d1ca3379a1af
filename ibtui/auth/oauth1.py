"""OAuth 1.0a as IBKR does it: the live session token and the signature of each request (oauth.md §5, §6).

Pure arithmetic: nothing here sends anything. Secret, prepend, exponent, shared key and token stand in
no repr and in no error; the base string of a token request begins with the prepend and is never kept.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, quote_plus
from urllib.parse import quote as _quote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from ibtui.auth import keys
from ibtui.auth.grant import Grant, lasts_until
from ibtui.auth.oauth_fields import OAuth1Fields, check_opens, open_secret
from ibtui.errors import UnknownReply, UsageError
from ibtui.secret import Secret

ROUTE = "/oauth/live_session_token"
FORMS = ("left_out", "raw", "url", "raw_python", "rfc5849")
"""What of a query is signed (oauth.md §6). The first is IBKR's own samples' and ibind's, `raw` that of
ibkr-client, `url` that of two C# clients; the last two were seen in the field and are here for trying."""
_PADDING = padding.PKCS1v15()
_HASH = hashes.SHA256()


@functools.lru_cache(maxsize=512)
def quote(text: str) -> str:
    """Percent-encoding of RFC 3986 with capital hex; only `A-Z a-z 0-9 - _ . ~` stay."""
    return _quote(text, safe="")


def base_string(
    method: str, url: str, oauth: Mapping[str, str], query: str = "", form: str = FORMS[0], prepend: str = ""
) -> str:
    """The text that is signed (oauth.md §5.4, §6).

    Args:
        url: without its query. query: as it is sent, encoded.
        oauth: the `oauth_…` parameters, without realm and signature.
        form: one of `FORMS`; they differ where there is a query.
    """
    pairs = list(oauth.items())
    encode = _quote_pairs
    if query and form == "url":
        url = f"{url}?{query}"
    elif query and form != "left_out":
        pairs += parse_qsl(query, keep_blank_values=True)
        if form == "rfc5849":
            encode = quote
            pairs = [(quote(key), quote(value)) for key, value in pairs]
        else:
            encode = _as_python if form == "raw_python" else _as_javascript
    params = "&".join([f"{key}={value}" for key, value in sorted(pairs)])
    return f"{prepend}{method.upper()}&{quote(url)}&{encode(params)}"


def _quote_pairs(text: str) -> str:
    """`quote` of the oauth parameters alone: their values hold nothing that it would change (§5.4)."""
    return text.replace("=", "%3D").replace("&", "%26")


def _quote_base64(text: str) -> str:
    return text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")


def _as_python(text: str) -> str:
    return quote_plus(text)


def _as_javascript(text: str) -> str:
    return quote_plus(text, safe="!'()*~")


def two_complement(number: int) -> bytes:
    """A shared key's bytes as Java's `BigInteger.toByteArray` gives them: a leading 00 exactly where the top
    bit would else be set (oauth.md §5.7). Without it every other token is wrong."""
    return number.to_bytes(number.bit_length() // 8 + 1)


def live_session_token(shared: int, secret: bytes) -> bytes:
    """The token's 20 bytes, from the shared Diffie-Hellman key and the decrypted secret (oauth.md §5.7)."""
    return hmac.digest(two_complement(shared), secret, hashlib.sha1)


def is_valid(token: bytes, consumer_key: str, signature: str) -> bool:
    """Whether IBKR's `live_session_token_signature` fits; compared in constant time, lower case only."""
    wanted = hmac.digest(token, consumer_key.encode(), hashlib.sha1).hex()
    return hmac.compare_digest(wanted.encode(), signature.encode())


@dataclass(frozen=True, slots=True)
class Challenge:
    """A token request on its way: its header, and the exponent that the answer needs."""

    header: str = field(repr=False)
    exponent: int = field(repr=False)


class Signer:
    """One registration with its keys loaded: asks for tokens and signs requests.

    `form` is one of `FORMS`. Making one takes some 60 ms, for the keys are checked.

    Raises:
        UsageError: a key is none, or does not open the access token secret (swapped or cut off).
    """

    def __init__(self, fields: OAuth1Fields, form: str = FORMS[0]) -> None:
        if form not in FORMS:
            raise UsageError(f"{form!r} is no way to sign a query.", f"Known are {', '.join(FORMS)}.")
        self.form = form
        self.consumer_key = fields.consumer_key
        self.realm = fields.realm
        self._access_token = fields.access_token
        self._prime = fields.prime
        self._signature = fields.signature_key()
        encryption = fields.encryption_key()
        check_opens(fields.access_token_secret, encryption, self._signature)
        self._secret = open_secret(fields.access_token_secret, encryption) or b""
        self._latest = 0

    def __repr__(self) -> str:
        return f"Signer({self.consumer_key!r})"

    @property
    def access_token(self) -> str:
        """The access token; it goes into the WebSocket's address (oauth.md §8)."""
        return self._access_token.reveal()

    def challenge(self, url: str, now: datetime, *, exponent: int = 0, nonce: str = "") -> Challenge:
        """The request for a live session token: POST to `url`, without a body (oauth.md §5.2–§5.5).

        `exponent` and `nonce` are random unless given.
        """
        exponent = exponent or secrets.randbits(256)
        oauth = self._oauth("RSA-SHA256", now, nonce)
        oauth["diffie_hellman_challenge"] = f"{pow(keys.GENERATOR, exponent, self._prime):x}"
        base = base_string("POST", url, oauth, prepend=self._secret.hex())
        return Challenge(self._header(oauth, self._signature.sign(base.encode(), _PADDING, _HASH)), exponent)

    def finish(self, challenge: Challenge, body: Any, now: datetime) -> Grant:
        """The token in IBKR's answer `body` (decoded JSON, oauth.md §5.6, §5.7).

        Raises:
            UnknownReply: the answer is none. UsageError: the token is not valid (wrong prime, most likely).
        """
        answer = body if isinstance(body, dict) else {}
        try:
            theirs = int(str(answer["diffie_hellman_response"]), 16)
            proof = str(answer["live_session_token_signature"])
        except (KeyError, ValueError):
            raise UnknownReply(
                "IBKR's answer to the token request has no Diffie-Hellman response.", "Try again later.", 200
            ) from None
        token = live_session_token(pow(theirs, challenge.exponent, self._prime), self._secret)
        if not is_valid(token, self.consumer_key, proof):
            raise invalid_token()
        expires = lasts_until(_milliseconds(answer.get("live_session_token_expiration")), now)
        return self.grant(Secret(base64.b64encode(token).decode()), now, expires)

    def grant(self, token: Secret, obtained: datetime, expires: datetime) -> Grant:
        """A token (base64) that can sign.

        Raises:
            UsageError: it is none.
        """
        try:
            return Grant(token, obtained, expires, base64.b64decode(token.reveal(), validate=True))
        except binascii.Error:
            raise UsageError("This is no live session token.", "Get a new one.") from None

    def sign(self, grant: Grant, method: str, url: str, query: str, now: datetime, *, nonce: str = "") -> str:
        """The `Authorization` header of a request (oauth.md §6); bodies are never signed.

        `url` is the whole address without query, exactly as it is asked for; `query` as it is sent.
        """
        oauth = self._oauth("HMAC-SHA256", now, nonce)
        base = base_string(method, url, oauth, query, self.form)
        return self._header(oauth, hmac.digest(grant.key, base.encode(), hashlib.sha256))

    def _oauth(self, method: str, now: datetime, nonce: str) -> dict[str, str]:
        # IBKR wants no timestamp below an earlier one, and a clock may be set back (§5.3).
        self._latest = max(self._latest, int(now.timestamp()))
        return {
            "oauth_consumer_key": self.consumer_key,
            "oauth_nonce": nonce or secrets.token_hex(16),
            "oauth_signature_method": method,
            "oauth_timestamp": str(self._latest),
            "oauth_token": self._access_token.reveal(),
        }

    def _header(self, oauth: dict[str, str], signature: bytes) -> str:
        oauth["oauth_signature"] = _quote_base64(base64.b64encode(signature).decode())
        pairs = ", ".join([f'{key}="{value}"' for key, value in sorted(oauth.items())])
        return f'OAuth realm="{self.realm}", {pairs}'


def invalid_token() -> UsageError:
    """IBKR gave a token that does not prove itself, twice: the registration and our values differ."""
    return UsageError(
        "IBKR's token cannot be right: the Diffie-Hellman prime here is not the registered one.",
        "Take the prime from the dhparam.pem that was uploaded (ibtui oauth configure), and compare the"
        " consumer key with IBKR's page.",
    )


def _milliseconds(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
