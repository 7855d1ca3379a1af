"""`/sim/oauth`: the self-service portal, and what else happens to registrations (oauth.md §2, §12)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from ibtui.errors import UsageError
from ibtui.sim import oauth1, oauth_keys
from ibtui.sim.direct import Direct
from ibtui.sim.oauth_keys import Client, Consumer
from ibtui.sim.scenario import Scenario
from ibtui.sim.seam import SimClock, User


class Portal:
    """What a person does at IBKR's pages, and what happens there by itself."""

    def __init__(self, direct: Direct, scenario: Scenario, clock: SimClock) -> None:
        self._direct = direct
        self._registry = direct.registry
        self._scenario = scenario
        self._clock = clock
        self._random = random.SystemRandom()

    def show(self) -> dict[str, Any]:
        """All registrations, nothing secret."""
        now = self._clock.now()
        return {
            "consumers": [oauth1.show(one, now) for one in self._registry.consumers.values()],
            "clients": [
                {"client_id": one.client_id, "key_ids": list(one.keys), "credentials": list(one.users)}
                for one in self._registry.clients.values()
            ],
        }

    def act(self, body: dict[str, Any]) -> dict[str, Any]:
        """One action; `consumer_key` is the built-in one unless it is given. Raises UsageError."""
        actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "register": self._register,
            "register2": self._register2,
            "token": self._token,
            "authorize": self._authorize,
            "activate": lambda row: self._set(row, active_from=0.0),
            "deactivate": lambda row: self._set(row, active_from=oauth_keys.NEVER),
            "enable": lambda row: self._set(row, enabled=True),
            "disable": lambda row: self._set(row, enabled=False),
            "expire": self._expire,
            "forget": self._forget,
        }
        action = actions.get(str(body.get("action")))
        if action is None:
            raise UsageError(f"action must be one of {', '.join(actions)}")
        return action(body)

    # --- 1.0a ------------------------------------------------------------------------------

    def _register(self, body: dict[str, Any]) -> dict[str, Any]:
        """*Save Key*, three uploads and *Generate Token* in one.

        `consumer_key, signature, encryption, dhparam` (PEM texts), optional `username`, `realm` and
        `activation`.
        """
        key = _text(body, "consumer_key").upper()  # the page stores upper case, silently
        test = key == oauth_keys.TEST_CONSUMER
        if not test and not (len(key) == 9 and key.isascii() and key.isalpha()):
            raise UsageError("consumer_key must be nine letters A to Z")
        user = self._user(body.get("username"))
        consumer = Consumer(
            key=key,
            user=user,
            signature=oauth_keys.uploaded_key(_text(body, "signature"), "Public Signing Key"),
            encryption=oauth_keys.uploaded_key(_text(body, "encryption"), "Public Encryption Key"),
            prime=oauth_keys.uploaded_dh(_text(body, "dhparam")),
            realm=oauth_keys.TEST_REALM if test else oauth_keys.REALM,
            # The third-party consumer of IBKR works at once.
            active_from=0.0 if test else self._direct.active_from(body.get("activation")),
        )
        self._registry.consumers[key] = consumer
        # Third-party consumers get their tokens by the flow of oauth.md §10 alone.
        given = {} if test else self._generate(consumer, user)
        active = self._clock.now() >= consumer.active_from
        return {"consumer_key": key, "realm": consumer.realm, "active": active, **given}

    def _token(self, body: dict[str, Any]) -> dict[str, Any]:
        """*Generate Token* again: another secret, the old one is gone."""
        consumer = self._consumer(body)
        return self._generate(consumer, consumer.user)

    def _generate(self, consumer: Consumer, user: User) -> dict[str, Any]:
        token = consumer.generate_token(user, self._random)
        return {"access_token": token.value, "access_token_secret": token.cipher}

    def _authorize(self, body: dict[str, Any]) -> dict[str, Any]:
        """The person says yes to a request token in the browser (oauth.md §10 step 2)."""
        name = _text(body, "oauth_token")
        for consumer in self._registry.consumers.values():
            if name in consumer.requests:
                consumer.requests[name] = oauth_keys.fresh_name()
                consumer.authorized[name] = self._user(body.get("username"))
                return {"oauth_token": name, "oauth_verifier": consumer.requests[name]}
        raise UsageError("no such request token")

    def _set(self, body: dict[str, Any], **changes: Any) -> dict[str, Any]:
        consumer = self._consumer(body)
        for name, value in changes.items():
            setattr(consumer, name, value)
        return oauth1.show(consumer, self._clock.now())

    def _expire(self, body: dict[str, Any]) -> dict[str, Any]:
        """Every token that ends by itself is at its end: live session tokens, 2.0's tokens and bearers."""
        now = self._clock.now()
        lsts = [
            lst
            for consumer in self._registry.consumers.values()
            for token in consumer.tokens.values()
            for lst in token.lsts
        ]
        for lst in lsts:
            lst.expires = now
        for access in self._direct.second.access.values():
            access.expires = now
        for bearer in self._direct.second.bearers.values():
            bearer.expires = now
        second = len(self._direct.second.access) + len(self._direct.second.bearers)
        return {"live_session_tokens": len(lsts), "oauth2_tokens": second}

    def _forget(self, body: dict[str, Any]) -> dict[str, Any]:
        """The server loses the secrets of a consumer (oauth.md §9 row 2)."""
        consumer = self._consumer(body)
        for token in consumer.tokens.values():
            token.secret = None
            token.lsts.clear()
        return oauth1.show(consumer, self._clock.now())

    # --- 2.0 -------------------------------------------------------------------------------

    def _register2(self, body: dict[str, Any]) -> dict[str, Any]:
        """`client_id`, `public_key` (PEM); optional `key_id` and `username`."""
        name, key_id = _text(body, "client_id"), str(body.get("key_id") or "main")
        key = oauth_keys.uploaded_key(_text(body, "public_key"), "Public Key")
        user = self._user(body.get("username"))
        client = Client(name, {key_id: key}, {user.username.lower(): user})
        self._registry.clients[name] = client
        return {"client_id": name, "key_id": key_id, "credential": user.username}

    # --- inside ----------------------------------------------------------------------------

    def _consumer(self, body: dict[str, Any]) -> Consumer:
        known = self._registry.consumers
        name = body.get("consumer_key") or next(iter(known), "")
        if name not in known:
            raise UsageError("no such consumer_key")
        return known[name]

    def _user(self, name: Any) -> User:
        if not name:
            return self._scenario.users[0]
        login = self._scenario.find(str(name))
        if login is None:
            raise UsageError("no such username")
        return login.user


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise UsageError(f"{name} must be a text")
    return value
