"""The two kinds of OAuth, as `oauth.OAuth` uses them (oauth.md §5, §6, §11)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from ibtui.auth import oauth1, oauth2, oauth_refusals
from ibtui.auth.grant import Grant
from ibtui.auth.oauth_fields import OAuth1Fields
from ibtui.core.oauth import Door, Way
from ibtui.errors import UsageError

SETTLE_S = 3.0
"""OAuth 2.0: pause after the SSO session was opened (§11.3)."""


class OAuth1:
    """OAuth 1.0a (§5, §6); see `auth.oauth1.Signer`."""

    name = "oauth1"
    deaf = frozenset({"/sso/validate"})

    def __init__(self, signer: oauth1.Signer) -> None:
        self.signer = signer

    @property
    def whose(self) -> str:
        return f"{self.signer.consumer_key} {self.signer.access_token}"

    def revived(self, grant: Grant) -> Grant:
        return self.signer.grant(grant.secret, grant.obtained, grant.expires)

    async def obtain(self, door: Door) -> Grant:
        url = door.address.api(oauth1.ROUTE)
        last = UsageError("There is no token.")
        for _ in range(2):  # a bad luck of the wire is told from a wrong prime by a second try (§5.7)
            challenge = self.signer.challenge(url, door.clock.now())
            headers = {"Authorization": challenge.header, "Accept": "*/*"}
            body = await door.ask(url, headers, b"", oauth_refusals.live_session_token)
            try:
                return self.signer.finish(challenge, body, door.clock.now())
            except UsageError as error:
                last = error
        raise last

    def header(self, grant: Grant, method: str, url: str, query: str, now: datetime) -> str:
        return self.signer.sign(grant, method, url, query, now)

    def socket_query(self, grant: Grant) -> str:
        return f"oauth_token={quote(self.signer.access_token, safe='')}"


class OAuth2:
    """OAuth 2.0 (§11); see `auth.oauth2.Client`."""

    name = "oauth2"
    deaf: frozenset[str] = frozenset()

    def __init__(self, client: oauth2.Client) -> None:
        self.client = client

    @property
    def whose(self) -> str:
        return f"{self.client.client_id} {self.client.credential} {self.client.ip}"

    def revived(self, grant: Grant) -> Grant:
        return grant

    async def obtain(self, door: Door) -> Grant:
        now, origin = door.clock.now, door.address.origin
        asked = self.client.token_request(now())
        body = await door.ask(origin + asked.path, asked.headers, asked.content, oauth_refusals.access_token)
        access = oauth2.read_grant(body, now(), "The token request")
        asked = self.client.session_request(access.secret, now())
        body = await door.ask(origin + asked.path, asked.headers, asked.content, oauth_refusals.sso_session)
        found = oauth2.read_grant(body, now(), "Opening the SSO session")
        await door.clock.sleep(SETTLE_S)
        return found

    def header(self, grant: Grant, method: str, url: str, query: str, now: datetime) -> str:
        return f"Bearer {grant.secret.reveal()}"

    def socket_query(self, grant: Grant) -> str:
        return f"bearer_token={quote(grant.secret.reveal(), safe='')}"


def way_of(values: Mapping[str, Any], query_form: str = oauth1.FORMS[0]) -> Way:
    """The kind that a mapping describes: the fields of an `oauth1.json` (§4.1), or those of
    `auth.oauth2.Client.of`. Takes some 0.2 s, for keys are checked.

    Raises:
        UsageError: something is missing, or cannot be what its name says.
    """
    if "client_id" in values:
        return OAuth2(oauth2.Client.of(values))
    return OAuth1(oauth1.Signer(OAuth1Fields.from_mapping(values), query_form))
