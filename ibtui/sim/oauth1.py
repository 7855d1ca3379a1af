"""OAuth 1.0a, the server's side (oauth.md §5, §6, §9, §12): live session tokens and signed requests.

The server does not know which of the forms in use a client signs, nor under which name the client
knows it. So it tries them all, and the journal tells which one fitted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import random
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from ibtui.sim.oauth_keys import Consumer, Lst, Nonces, Registry, Token
from ibtui.sim.scenario import Settings
from ibtui.sim.seam import SIGNED, Quirks, Refusal, SimClock, problem, refuse, reply
from ibtui.sim.sessions import Life, Sessions

HOST = "https://api.ibkr.com"
RSA, HMAC = "RSA-SHA256", "HMAC-SHA256"
_PAIR = re.compile(r'\s*([A-Za-z0-9_]+)\s*=\s*(?:"([^"]*)"|([^",\s]*))\s*(?:,|$)')
_NEEDED = (
    "oauth_consumer_key",
    "oauth_nonce",
    "oauth_signature",
    "oauth_signature_method",
    "oauth_timestamp",
)
_NONCES = 20_000


@dataclass(frozen=True, slots=True)
class Base:
    """A base string that the client may have signed."""

    form: str
    """As in the table of oauth.md §6; `no_query` where there is nothing to disagree about."""
    origin: str
    text: str


def parse_header(text: str) -> dict[str, str]:
    """The pairs of an `Authorization: OAuth ...`, percent-decoded once (oauth.md §12 'Header parser').

    Raises ValueError for anything else.
    """
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() != "oauth":
        raise ValueError("no OAuth header")
    pairs: dict[str, str] = {}
    at, rest = 0, rest.strip()
    while at < len(rest):
        found = _PAIR.match(rest, at)
        if found is None or found[1] in pairs:
            raise ValueError("malformed OAuth header")
        pairs[found[1]] = unquote(found[2] if found[2] is not None else found[3])
        at = found.end()
    return pairs


def base_strings(
    method: str, target: str, origins: list[str], pairs: dict[str, str], prepend: str = ""
) -> Iterator[Base]:
    """Every known base string of a request (oauth.md §5.4, §6), most usual ones first, none twice.

    `target` is the raw request target, `pairs` the decoded pairs of the header.
    """
    path, _, query = target.partition("?")
    own = [(k, v) for k, v in pairs.items() if k not in ("realm", "oauth_signature")]
    seen: set[str] = set()
    for origin in origins:
        for form, url, params, quoting in _forms(origin + path, query, own):
            address = _python(url) if quoting is _sample else quoting(url)
            text = f"{prepend}{method.upper()}&{address}&{quoting(params)}"
            if text not in seen:
                seen.add(text)
                yield Base(form, origin, text)


_Quoting = Callable[[str], str]


def _python(text: str) -> str:
    return quote_plus(text)


def _javascript(text: str) -> str:
    return quote_plus(text, safe="!'()*")


def _rfc(text: str) -> str:
    return quote(text, safe="")


def _sample(text: str) -> str:
    """Python's `quote`, which IBKR's samples use for the parameters, leaves the slash (oauth.md §10)."""
    return quote(text)


def _forms(url: str, query: str, own: list[tuple[str, str]]) -> Iterator[tuple[str, str, str, _Quoting]]:
    bare = _joined(own)
    name = "query_left_out" if query else "no_query"
    for quoting in (_python, _javascript, _rfc, _sample):
        yield name, url, bare, quoting
    if not query:
        return
    both = own + parse_qsl(query, keep_blank_values=True)
    yield "query_raw", url, _joined(both), _javascript
    yield "query_raw_python_quoting", url, _joined(both), _python
    full = f"{url}?{query}"
    for quoting in (_python, _javascript):
        yield "url_with_query", full, bare, quoting
    yield "url_with_query_lower_case", full.lower(), bare, _python
    yield "rfc5849", url, _joined([(_rfc(k), _rfc(v)) for k, v in both]), _rfc


def _joined(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{k}={v}" for k, v in sorted(pairs))


def shared_bytes(number: int) -> bytes:
    """Big-endian two's complement, as Java's `toByteArray` gives it (oauth.md §5.7)."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def make_token(consumer: Consumer, secret: bytes, challenge: int, exponent: int) -> tuple[int, bytes, str]:
    """B, the token's bytes, and the signature that proves them to the client (oauth.md §5.6, §5.7)."""
    answer = pow(consumer.generator, exponent, consumer.prime)
    key = hmac.digest(shared_bytes(pow(challenge, exponent, consumer.prime)), secret, "sha1")
    return answer, key, hmac.new(key, consumer.key.encode(), hashlib.sha1).hexdigest()


class OAuth1:
    """Checks what clients sign and hands out live session tokens."""

    def __init__(
        self, registry: Registry, sessions: Sessions, clock: SimClock, settings: Settings, quirks: Quirks
    ) -> None:
        self.registry = registry
        self.addresses: list[str] = []
        """Origins under which this server is known besides the real one."""
        self._sessions = sessions
        self._clock = clock
        self._settings = settings
        self._quirks = quirks
        self.random = random.SystemRandom()
        self._trace = itertools.count(40_017, 37)

    # --- the live session token ------------------------------------------------------------

    async def live_session_token(self, request: web.Request) -> web.StreamResponse:
        """POST /oauth/live_session_token (oauth.md §5, §12)."""
        pairs = self.pairs(request, (*_NEEDED, "oauth_token", "diffie_hellman_challenge"))
        if pairs["oauth_signature_method"] != RSA:
            raise self.refused("LST failed, error: signature method must be RSA-SHA256")
        consumer = self.consumer(pairs)
        token = consumer.tokens.get(pairs["oauth_token"])
        if token is None:
            raise self.refused("invalid token")
        if token.secret is None:
            raise self.refused(f"LST failed, error: No access secret key found for {consumer.key}")
        self.fresh(pairs, token.nonces)
        self.check_rsa(request, pairs, consumer, token.secret.hex())
        self.used(pairs, token.nonces)
        if self._quirks.oauth_refusal:
            raise self.refused(self._quirks.oauth_refusal)
        challenge = _hex(pairs["diffie_hellman_challenge"])
        if challenge is None or not 2 <= challenge <= consumer.prime - 2:
            raise self.refused("LST failed, error: invalid diffie_hellman_challenge")
        answer, key, proof = make_token(consumer, token.secret, challenge, self._exponent(consumer))
        expires = self._clock.now() + self._settings.oauth_lst_s
        _forget_after_logout(token)
        token.lsts.append(Lst(key, expires))
        if token.life is None or token.life.over:
            token.life = self._begin(token)
        text = f"{answer:x}" if self._quirks.oauth_reply != "padded" else f"{answer:0512x}"
        return reply(
            {
                "diffie_hellman_response": text,
                "live_session_token_signature": proof,
                "live_session_token_expiration": int(expires * 1000),
            }
        )

    def _exponent(self, consumer: Consumer) -> int:
        while True:
            exponent = secrets.randbits(256) | 1 << 255
            # `short`: a reply of 511 digits comes once in sixteen times by itself; then it comes always.
            if self._quirks.oauth_reply != "short":
                return exponent
            if pow(consumer.generator, exponent, consumer.prime).bit_length() <= 2044:
                return exponent

    def _begin(self, token: Token) -> Life:
        return self._sessions.begin(token.user, replaces=None, by_itself=False, role="oauth1")

    # --- every other request ---------------------------------------------------------------

    def authenticate(self, request: web.Request) -> Life:
        """The session of a signed request (oauth.md §6). Raises Refusal."""
        pairs = self.pairs(request, (*_NEEDED, "oauth_token"))
        consumer = self.consumer(pairs)
        if pairs["oauth_signature_method"] != HMAC:
            raise self.refused("signature method must be HMAC-SHA256")
        token = consumer.tokens.get(pairs["oauth_token"])
        if token is None:
            raise self.refused("invalid token")
        _forget_after_logout(token)
        self.fresh(pairs, token.nonces)
        lst = self._signed_with(request, pairs, token)
        if lst.expires <= self._clock.now():
            raise problem(401, "Unauthorized", "Access token expired")
        self.used(pairs, token.nonces)
        if token.life is None or token.life.over:
            token.life = self._begin(token)
        return token.life

    def _signed_with(self, request: web.Request, pairs: dict[str, str], token: Token) -> Lst:
        signature = _base64(pairs["oauth_signature"])
        if not token.lsts:
            raise self.refused("no live session token")
        for base in self._bases(request, pairs):
            data = base.text.encode()
            for lst in token.lsts:
                if hmac.compare_digest(hmac.digest(lst.key, data, "sha256"), signature):
                    self._matched(request, base)
                    return lst
        raise self.refused("invalid signature")

    def socket(self, token_name: str, cookie: str) -> Life:
        """The session of a websocket's `oauth_token` and api cookie (oauth.md §8). Raises Refusal (401)."""
        found = self.registry.token(token_name)
        life = found[1].life if found is not None else None
        if life is None or life.over or not hmac.compare_digest(life.session.token, cookie):
            raise Refusal(401, None)
        return life

    # --- the checks ------------------------------------------------------------------------

    def consumer(self, pairs: dict[str, str]) -> Consumer:
        """Who asks. Raises Refusal: unknown, not active yet, switched off, wrong realm (oauth.md §9)."""
        found = self.registry.consumers.get(pairs["oauth_consumer_key"])
        if (
            found is None
            or not found.enabled
            or self._clock.now() < found.active_from
            or pairs.get("realm") != found.realm
        ):
            raise self.refused("invalid consumer")
        return found

    def check_rsa(self, request: web.Request, pairs: dict[str, str], who: Consumer, prepend: str) -> None:
        """Compare the RSA signature with every known base string. Raises Refusal."""
        signature = _base64(pairs["oauth_signature"])
        for base in self._bases(request, pairs, prepend):
            try:
                who.signature.verify(signature, base.text.encode(), padding.PKCS1v15(), hashes.SHA256())
            except InvalidSignature:
                continue
            self._matched(request, base)
            return
        raise self.refused("LST failed, error: invalid signature" if prepend else "invalid signature")

    def pairs(self, request: web.Request, needed: tuple[str, ...]) -> dict[str, str]:
        """The header's pairs, all of `needed` among them. Raises Refusal, which names what is missing."""
        try:
            pairs = parse_header(request.headers.get("Authorization", ""))
        except ValueError as error:
            raise self.refused(str(error)) from None
        for name in needed:
            if not pairs.get(name):
                raise self.refused(f"missing {name}")
        return pairs

    def _bases(self, request: web.Request, pairs: dict[str, str], prepend: str = "") -> Iterator[Base]:
        named = f"{request.scheme}://{request.headers.get('Host', '')}"
        origins = list(dict.fromkeys([HOST, named, *self.addresses]))
        allowed = {one.strip() for one in self._quirks.oauth_forms.split(",") if one.strip()}
        for base in base_strings(request.method, request.raw_path, origins, pairs, prepend):
            if not allowed or base.form == "no_query" or base.form in allowed:
                yield base

    def _matched(self, request: web.Request, base: Base) -> None:
        request[SIGNED] = f"{base.form} {base.origin}"

    def fresh(self, pairs: dict[str, str], nonces: Nonces) -> None:
        """Timestamp within the window, nonce not seen with it (oauth.md §12). Raises Refusal."""
        text = pairs["oauth_timestamp"]
        if re.fullmatch(r"[0-9]{1,10}", text) is None:
            raise self.refused("invalid timestamp")
        # A test that moves the simulated clock moves no client's clock: either one will do.
        clocks = (self._clock.now(), self._clock.real())
        if all(
            abs(now + self._settings.oauth_skew_s - int(text)) > self._settings.oauth_window_s
            for now in clocks
        ):
            raise self.refused("stale timestamp")
        if (int(text), pairs["oauth_nonce"]) in nonces:
            raise self.refused("nonce already used")

    def used(self, pairs: dict[str, str], nonces: Nonces) -> None:
        """From now on this nonce is spent; only what was rightly signed spends one."""
        nonces[int(pairs["oauth_timestamp"]), pairs["oauth_nonce"]] = None
        while len(nonces) > _NONCES:
            nonces.pop(next(iter(nonces)))

    def refused(self, words: str) -> Refusal:
        """A 401 in the shape of the older back end; the number is a trace, not a code (oauth.md §9)."""
        return refuse(401, f"id: {next(self._trace)}, error: {words}", with_status=True)


def _forget_after_logout(token: Token) -> None:
    # What logout does to the tokens is not known; a new one is asked for after it (oauth.md §7).
    if token.life is not None and token.life.over == "logout":
        token.lsts.clear()


def _hex(text: str) -> int | None:
    return int(text, 16) if re.fullmatch(r"[0-9A-Fa-f]+", text) else None


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def show(consumer: Consumer, now: float) -> dict[str, Any]:
    """A registration as `GET /sim/oauth` tells it: nothing secret."""
    return {
        "consumer_key": consumer.key,
        "realm": consumer.realm,
        "username": consumer.user.username,
        "enabled": consumer.enabled,
        "active": consumer.enabled and now >= consumer.active_from,
        "access_tokens": list(consumer.tokens),
        "live_session_tokens": sum(
            1 for token in consumer.tokens.values() for lst in token.lsts if lst.expires > now
        ),
    }
