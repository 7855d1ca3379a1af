"""What stands behind a profile that needs no gateway: a registration, its token, and where that is kept.

The token is kept in a file (0600) beside the registration, which is worth far more: else every command
would ask IBKR for another one, and IBKR may end the older ones (oauth.md §14).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibtui import given, paths
from ibtui.auth import files
from ibtui.auth.grant import Grant
from ibtui.config import Addresses, Profile
from ibtui.core.models import Lamp
from ibtui.errors import IbtuiError, NotLoggedIn, Unreachable, UsageError
from ibtui.secret import Secret
from ibtui.service.host import Door
from ibtui.service.runtime import Progress

if TYPE_CHECKING:
    from ibtui.auth.effects import Answers
    from ibtui.auth.oauth_fields import OAuth1Fields
    from ibtui.core.oauth import OAuth, Way
    from ibtui.core.rest import Rest
    from ibtui.core.trust import Trust

_log = logging.getLogger("ibtui.oauth")
GET_ONE = "Get one: s here, or ibtui login"
CONFIGURE = "Make one: ibtui oauth configure"


def registration_file(profile: Profile) -> Path:
    """The `oauth1.json` of a profile: the one it names, else what `ibtui oauth configure` writes."""
    return Path(profile.oauth_file) if profile.oauth_file else paths.oauth_dir(profile.name) / "oauth1.json"


def read_fields(profile: Profile) -> OAuth1Fields:
    """What the `oauth1.json` of a profile holds; blocks for some 0.1 s.

    Raises:
        UsageError: it is missing, others may read it, or a field cannot be right.
    """
    from ibtui.auth.oauth_fields import OAuth1Fields

    path = registration_file(profile)
    given.check(path, "Look at oauth_file in the profile.")
    content = files.read_private(path)
    if content is None:
        raise UsageError(f"There is no OAuth registration: {path} is missing.", CONFIGURE)
    return OAuth1Fields.parse(content, str(path))


def trust_of(addresses: Addresses) -> Trust:
    """Whom to trust at the API host: a CA file if one is named, else the system's."""
    from ibtui.core.trust import Trust

    return Trust.ca(Path(addresses.api_ca_file)) if addresses.api_ca_file else Trust.system()


def read_way(profile: Profile) -> Way:
    """The registration that a profile names, read and checked; blocks for some 0.2 s.

    Raises:
        UsageError: a file is missing, others may read it, or what is in it cannot be right.
    """
    from ibtui.core.ways import OAuth1, OAuth2

    if profile.mode != "oauth2":
        from ibtui.auth.oauth1 import Signer

        return OAuth1(Signer(read_fields(profile), profile.oauth_query))
    from ibtui.auth.oauth2 import Client

    return OAuth2(Client.of(_second(profile)))


def _second(profile: Profile) -> Mapping[str, Any]:
    """The values of OAuth 2.0; raises UsageError when the key's file cannot be read."""
    key = b""
    if profile.oauth2_key_file:
        path = Path(profile.oauth2_key_file)
        given.check(path, "Look at oauth2_key_file in the profile.")
        found = files.read_private(path)
        if found is None:
            raise UsageError(f"There is no OAuth 2.0 key: {path} is missing.", "Look at oauth2_key_file.")
        key = found
    return {
        "client_id": profile.oauth2_client_id,
        "key_id": profile.oauth2_key_id,
        "credential": profile.oauth2_credential,
        "private_key": Secret(key.decode("ascii", "replace")),
        "ip": profile.oauth2_ip,
        "scope": profile.oauth2_scope,
        "audience": profile.oauth2_audience,
    }


class TokenFile:
    """Keeps the token of a profile for the next command; see `core.oauth.Keep`.

    `whose` names registration and address: a token of another one is none. Dropping the token
    leaves a mark, so that no other command gets one before somebody wants it again.
    """

    def __init__(self, path: Path, whose: str) -> None:
        self._path = path
        # The access token is in it, which is nobody's business.
        self._whose = hashlib.sha256(whose.encode()).hexdigest()[:16]

    async def load(self) -> Grant | None:
        """The kept token; None where there is none of use.

        Raises:
            NotLoggedIn: it was dropped on purpose. UsageError: others may read the file.
        """
        data = await asyncio.to_thread(files.read, self._path)
        if data is None or data.get("whose") != self._whose:
            return None
        if data.get("dropped"):
            raise NotLoggedIn("There is no token; the last one was dropped.", GET_ONE)
        try:
            obtained, expires = (datetime.fromisoformat(data[name]) for name in ("obtained", "expires"))
            return Grant(Secret(str(data["token"])), obtained, expires)
        except (KeyError, TypeError, ValueError):
            return None

    async def save(self, grant: Grant | None) -> None:
        """A disk that refuses costs only this comfort."""
        data: dict[str, Any] = {"whose": self._whose}
        if grant is None:
            data["dropped"] = True
        else:
            data |= {
                "token": grant.secret.reveal(),
                "obtained": grant.obtained.isoformat(),
                "expires": grant.expires.isoformat(),
            }
        try:
            await asyncio.to_thread(self._write, data)
        except (IbtuiError, OSError) as error:
            _log.warning("the OAuth token was not kept: %s", error)

    def _write(self, data: dict[str, Any]) -> None:
        paths.private(paths.data_dir())
        paths.private(self._path.parent)
        files.replace(self._path, data)


class OAuthHost:
    """A `service.host.Host` that is IBKR's own API host; its lamp is the token."""

    auth_folder: Path | None = None
    ours = stuck = False
    start_fix = GET_ONE

    def __init__(self, profile: Profile, addresses: Addresses) -> None:
        self._profile = profile
        self._url = addresses.api_host.rstrip("/")
        self._addresses = addresses
        self._oauth: OAuth | None = None
        self._rest: Rest | None = None
        self._making = asyncio.Lock()

    @property
    def oauth(self) -> OAuth | None:
        """The token; None before it was needed."""
        return self._oauth

    async def _made(self) -> OAuth:
        """Raises UsageError: the registration is missing or cannot be right."""
        async with self._making:
            if self._oauth is None:
                from ibtui.core.oauth import OAuth
                from ibtui.core.rest import Rest

                way = await asyncio.to_thread(read_way, self._profile)
                keep = TokenFile(
                    paths.oauth_dir(self._profile.name) / f"token-{way.name}.json", f"{way.whose} {self._url}"
                )
                oauth = OAuth(way, keep)
                # A connection of its own: tokens are needed before and after the runtime's client lives.
                self._rest = Rest(
                    self._url, trust_of(self._addresses), proxy=self._profile.proxy, oauth=oauth
                )
                self._oauth = oauth
            return self._oauth

    async def start(self, progress: Progress) -> Lamp:
        oauth = await self._made()
        progress(f"asking {self._url} for a token")
        await oauth.obtain()
        return self._lamp(oauth)

    async def stop(self) -> None:
        await (await self._made()).forget()

    async def look(self) -> Lamp:
        try:
            oauth = await self._made()
            await oauth.ready()
        except Unreachable as error:
            return Lamp(state="unknown", reason=error.what, fix=error.fix)
        except IbtuiError as error:
            return Lamp(state="off", reason=error.what, fix=error.fix or GET_ONE)
        return self._lamp(oauth)

    def _lamp(self, oauth: OAuth) -> Lamp:
        age, left = oauth.age or timedelta(), oauth.left or timedelta()
        since = oauth.grant.obtained if oauth.grant is not None else None
        text = f"token {span(age)} old, renewed in {span(left)} · {self._url}"
        return Lamp(state="on", since=since, reason=text)

    async def door(self) -> Door:
        return Door(self._url, trust_of(self._addresses), await self._made())

    def answers(self) -> Answers | None:
        """A token needs nobody."""
        from ibtui.service.answers.fixed import FixedAnswers

        return FixedAnswers("", Secret(""))

    async def log(self, lines: int, *, follow: bool) -> AsyncIterator[str]:
        nothing: tuple[str, ...] = ()
        for line in nothing:
            yield line

    async def death(self) -> str:
        await asyncio.Event().wait()
        return ""

    async def close(self) -> None:
        if self._rest is not None:
            await self._rest.close()


def span(length: timedelta) -> str:
    """`3 h`, `12 min`: for a person."""
    minutes = max(0, int(length.total_seconds()) // 60)
    return f"{minutes // 60} h" if minutes >= 120 else f"{minutes} min"
