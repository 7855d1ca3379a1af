"""The third-party flow of OAuth 1.0a, which `TESTCONS` needs (oauth.md §10): request token, access token."""

from __future__ import annotations

from aiohttp import web

from ibtui.sim.oauth1 import RSA, OAuth1
from ibtui.sim.oauth_keys import TEST_CONSUMER, Consumer, fresh_name
from ibtui.sim.seam import refuse, reply

_SIGNED = (
    "oauth_consumer_key",
    "oauth_nonce",
    "oauth_signature",
    "oauth_signature_method",
    "oauth_timestamp",
)


class ThirdParty:
    """Both requests, signed with RSA-SHA256 and no prepend; first-party consumers may not make them (§5)."""

    def __init__(self, first: OAuth1) -> None:
        self._first = first

    async def request_token(self, request: web.Request) -> web.StreamResponse:
        """POST /oauth/request_token: a token that a person has to say yes to."""
        consumer, _ = self._asks(request, "oauth_callback")
        name = fresh_name()
        consumer.requests[name] = ""
        return reply({"oauth_token": name})

    async def access_token(self, request: web.Request) -> web.StreamResponse:
        """POST /oauth/access_token: the lasting token and its encrypted secret."""
        consumer, pairs = self._asks(request, "oauth_token", "oauth_verifier")
        name = pairs["oauth_token"]
        verifier = consumer.requests.get(name, "")
        if not verifier or verifier != pairs["oauth_verifier"]:
            raise self._first.refused("invalid verifier")
        user = consumer.authorized.pop(name)
        del consumer.requests[name]
        if not user.paper:
            # TESTCONS is for paper accounts only.
            raise self._first.refused("invalid account")
        token = consumer.generate_token(user, self._first.random)
        return reply({"is_paper": user.paper, "oauth_token": token.value, "oauth_token_secret": token.cipher})

    def _asks(self, request: web.Request, *needed: str) -> tuple[Consumer, dict[str, str]]:
        pairs = self._first.pairs(request, (*_SIGNED, *needed))
        if pairs["oauth_signature_method"] != RSA:
            raise self._first.refused("signature method must be RSA-SHA256")
        consumer = self._first.consumer(pairs)
        if consumer.key != TEST_CONSUMER:
            raise refuse(401, "this consumer has an access token of its own already", with_status=True)
        self._first.fresh(pairs, consumer.nonces)
        self._first.check_rsa(request, pairs, consumer, "")
        self._first.used(pairs, consumer.nonces)
        return consumer, pairs
