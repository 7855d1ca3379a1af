"""Answers that need nobody, before the person is asked: password, TOTP, IB Key, text messages.

Made anew for each login: it remembers what this login has tried already.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from ibtui import sources
from ibtui.auth import ocra
from ibtui.auth.effects import (
    Answer,
    Answers,
    Cancel,
    Challenge,
    Code,
    Credentials,
    Note,
    OtherFactor,
    Resend,
    Step,
)
from ibtui.auth.factor import IBKEY, SMS, TOTP, factor, plain_name
from ibtui.clock import Clock, Tasks
from ibtui.config import Profile, Settings
from ibtui.errors import IbtuiError, PersonNeeded
from ibtui.secret import Secret
from ibtui.service.answers.fixed import no_choice

if TYPE_CHECKING:
    from ibtui.auth.fields import Status
    from ibtui.auth.vault import Vault
    from ibtui.service.answers.sms import TwilioReader
    from ibtui.service.vaults import Memory

ONE_FACTOR = "The authenticator's secret lies beside the password: together they are one factor, not two."
_EDGE_S = 0.3
"""A new code is not used in the very moment it begins."""


class AutoAnswers:
    """`auth.effects.Answers` with the profile's means first and `person` behind them.

    Attributes:
        from_source: the password came out of the profile's source.
        chosen: the SF code that the person chose, empty if none was chosen.
    """

    def __init__(self, settings: Settings, person: Answers, clock: Clock) -> None:
        self.profile: Profile = settings.chosen()
        self.from_source = False
        self.chosen = ""
        self._settings = settings
        self._person = person
        self._clock = clock
        self._since = clock.now()
        self._tried: set[str] = set()
        self._vault: Vault | None = None
        self._memory: Memory | None = None

    async def credentials(self, username: str) -> Credentials:
        """User name and password; out of the profile's source where it is the profile's user.

        Raises:
            PersonNeeded, UsageError: the source fails, or nobody is there to ask.
        """
        source = sources.of(self.profile, "password")
        name = getattr(self._person, "username", "") or username
        others = bool(username) and name != username  # the source is of the profile's user
        if not source or not name or others or getattr(self._person, "has_password", False):
            return await self._person.credentials(username)
        found = await source.read()
        assert found is not None
        self.from_source = True
        return Credentials(name, found)

    async def typed_credentials(self, username: str) -> Credentials:
        """The person's own, where the source's must not be used."""
        self.from_source = False
        return await self._person.credentials(username)

    def use(self, vault: Vault, memory: Memory) -> None:
        """The user name is known now, and so are its auth data."""
        self._vault, self._memory = vault, memory

    def renew(self) -> None:
        """The login begins: text messages from before this moment answer nothing."""
        self._since = self._clock.now()

    async def prefer(self) -> list[str]:
        """Second factors to use without asking: the setting, what needs nobody, what was chosen last."""
        profile, vault, memory = self.profile, self._vault, self._memory
        assert vault is not None and memory is not None
        out = [profile.second_factor] if profile.second_factor else []
        if profile.totp_secret:
            out.append(TOTP)
        if (await asyncio.to_thread(vault.status)).logins_left:
            out.append(IBKEY)
        if profile.twilio_sid and profile.twilio_token:
            out.append(SMS)
        remembered = await asyncio.to_thread(lambda: memory.factor)
        return [*out, remembered] if remembered else out

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        """The person's choice; it is remembered when it has worked."""
        ask = getattr(self._person, "choose", None)
        if ask is None:
            raise no_choice(offered)
        choice: str | Cancel = await ask(offered)
        if isinstance(choice, str):
            self.chosen = choice
        return choice

    async def confirm(self, text: str) -> bool:
        """Only a person can."""
        ask = getattr(self._person, "confirm", None)
        return bool(await ask(text)) if ask is not None else False

    def note(self, note: Note) -> None:
        """Pass it on."""
        self._person.note(note)

    async def ask(self, challenge: Challenge) -> Answer:
        """An automatic answer once for each factor; the person's from then on.

        Raises:
            PersonNeeded: there is neither. Whatever kept us from an answer, nothing was sent,
                so it costs no attempt and is told as this.
        """
        try:
            return self._kept(await self._answer(challenge))
        except PersonNeeded:
            raise
        except IbtuiError as error:
            raise PersonNeeded(error.what, error.fix) from error

    async def _answer(self, challenge: Challenge) -> Answer:
        family = factor(challenge.code).family
        if family == SMS:
            return await self._text_message(challenge)
        trouble: IbtuiError | None = None
        if challenge.code not in self._tried and not challenge.problem:
            self._tried.add(challenge.code)
            try:
                found = await self._made(family, challenge)
            except IbtuiError as error:
                trouble = error
                self._tell(error)
            else:
                if found is not None:
                    return found
        return await self._asked(challenge, trouble)

    async def _asked(self, challenge: Challenge, trouble: IbtuiError | None) -> Answer:
        """The person's answer; where nobody is there, what kept us from an automatic one says more."""
        try:
            return await self._person.ask(challenge)
        except PersonNeeded as nobody:
            raise trouble or nobody from None

    def _kept(self, answer: Answer) -> Answer:
        if isinstance(answer, OtherFactor):
            self.chosen = answer.code
        if isinstance(answer, Resend | OtherFactor):
            self._since = self._clock.now()
        return answer

    async def _made(self, family: str, challenge: Challenge) -> Code | None:
        if family == TOTP:
            return await self._totp(challenge)
        if family == IBKEY:
            return await self._ibkey(challenge)
        return None

    async def _totp(self, challenge: Challenge) -> Code | None:
        given: Secret | None = getattr(self._person, "totp_secret", None)  # for this login alone
        secret = given or await sources.of(self.profile, "totp_secret").read()
        if secret is None:
            return None
        totp = ocra.read_totp(secret)
        if self.profile.password:
            self._say(ONE_FACTOR)
        if challenge.skew:
            way = "ahead of" if challenge.skew > 0 else "behind"
            self._say(f"IBKR's clock is {abs(challenge.skew):.0f} s {way} this machine's; its time is used.")
        wait = ocra.wait_for(self._now() + challenge.skew)
        if wait:
            self._say(f"{plain_name(challenge.code)}: waiting {wait:.0f} s for a code that lasts")
            await self._clock.sleep(wait + _EDGE_S)
        await self._not_twice(challenge)
        return Code(totp.code(self._now() + challenge.skew))

    async def _not_twice(self, challenge: Challenge) -> None:
        """A code is good for one login: one that a login before this one has sent would be refused."""
        memory = self._memory
        assert memory is not None
        wait = await asyncio.to_thread(lambda: memory.totp_until) - self._now() - challenge.skew
        if 0 < wait <= ocra.PERIOD_S:
            self._say(f"{plain_name(challenge.code)}: waiting {wait:.0f} s, for the last code was used")
            await self._clock.sleep(wait + _EDGE_S)
        at = self._now() + challenge.skew
        await asyncio.to_thread(memory.used_totp, at - at % ocra.PERIOD_S + ocra.PERIOD_S)

    def _now(self) -> float:
        return self._clock.now().timestamp()

    async def _ibkey(self, challenge: Challenge) -> Code | None:
        vault = self._vault
        assert vault is not None
        status = await asyncio.to_thread(vault.status)
        if not status.enrolled:
            self._look_for_key(status)
            return None
        if status.sealed and vault.passphrase is None:
            vault.passphrase = await self._passphrase()
        key = await asyncio.to_thread(vault.key)
        # From here on the counter is used up on disk, whatever happens to the answer.
        counter = await asyncio.to_thread(vault.next_counter)
        encoding: ocra.Encoding = "rfc" if self.profile.counter_encoding == "rfc" else "digits"
        self._say(f"{plain_name(challenge.code)}: answering with the enrolled key")
        text = ocra.respond(key.ocra, key.pin, counter, challenge.challenge, encoding)
        return Code(text, counted=True)

    def _look_for_key(self, status: Status) -> None:
        """No key answers here; says so where one lies about that only a person may take.

        Raises:
            PersonNeeded: with the command that takes it.
        """
        from ibtui.service import vaults

        if vaults.not_imported():
            raise PersonNeeded(vaults.NOT_IMPORTED, f"{vaults.HOW_TO_IMPORT} --user {status.user}")
        if status.unfinished is not None:
            raise PersonNeeded(
                "An enrollment of IB Key was broken off at its last step; its key is kept.",
                vaults.UNFINISHED,
            )

    async def _passphrase(self) -> Secret | None:
        found = await sources.of(self.profile, "passphrase").read()
        ask = getattr(self._person, "secret", None)
        if found is None and ask is not None:
            typed: Secret | None = await ask("Passphrase of IB Key's data: ")
            return typed
        return found

    async def _text_message(self, challenge: Challenge) -> Answer:
        """The person and Twilio at once; the first one wins."""
        reader, trouble = None, None
        if not challenge.problem:
            try:
                reader = await self.reader()
            except IbtuiError as error:
                trouble = error
                self._tell(error)
        if reader is None:
            return await self._asked(challenge, trouble)
        self._say("Twilio is set up: looking for the message too")
        return await self._race(challenge, reader)

    async def reader(self) -> TwilioReader | None:
        """Who reads text messages; None where Twilio is not set up.

        Raises:
            UsageError, PersonNeeded: the token's source fails.
        """
        profile, where = self.profile, self._settings.addresses
        if not profile.twilio_sid or not profile.twilio_token:
            return None
        token = await sources.of(profile, "twilio_token").read()
        assert token is not None
        from ibtui.service.answers.sms import TwilioReader

        return TwilioReader(
            profile.twilio_sid,
            token,
            url=where.twilio,
            ca_file=where.twilio_ca_file,
            proxy=profile.proxy,
            clock=self._clock,
        )

    async def _race(self, challenge: Challenge, reader: TwilioReader) -> Answer:
        stop, tasks = asyncio.Event(), Tasks()
        typed = tasks.start(self._person.ask(challenge), "typed code")
        looking = getattr(self._person, "looking", None)  # a screen shows which look it is
        since = self._since
        if challenge.skew:  # the messages' times are not this clock's, and the skew is known to a second
            since += timedelta(seconds=challenge.skew - 1)
        read = tasks.start(reader.code(since, stop, looking), "code out of a text message")
        trouble: IbtuiError | None = None
        nobody: PersonNeeded | None = None
        pending: set[asyncio.Task[Answer] | asyncio.Task[Secret | None]] = {typed, read}
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                if typed in done:
                    try:
                        answer: Answer = typed.result()
                        return answer
                    except PersonNeeded as error:  # then Twilio alone
                        nobody = error
                if read in done:
                    try:
                        code: Secret | None = read.result()
                    except IbtuiError as error:
                        trouble = error
                        self._tell(error)
                    else:
                        if code is not None:
                            return Code(code)
                        self._say("Twilio has no message with a code")
        finally:
            stop.set()
            await tasks.close()
        assert nobody is not None
        raise trouble or nobody

    def _tell(self, error: IbtuiError) -> None:
        self._say(str(error))

    def _say(self, text: str) -> None:
        self.note(Note(Step.FACTOR, text))
