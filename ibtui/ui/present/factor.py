"""Second factors as lines: choosing one, typing its code, answering a challenge; yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ibtui.auth.effects import Challenge
from ibtui.auth.factor import IBKEY, SMS, TOTP, Factor, factor, plain_name
from ibtui.ui.present.numbers import clock
from ibtui.ui.present.spans import Line, clean, line

WAIT_S = 180.0
"""How long a code is waited for before the page says that it should be sent again: at least the
three minutes that a text message may take."""
SKEW_S = 5.0
"""A clock that is wrong by more than this is mentioned where a TOTP code is typed."""
PERIOD_S = 30
"""Seconds a TOTP code lives (login.md §4)."""


def name(code: str) -> str:
    """`Text message (SMS) [4.2]`: a factor as a sentence begins."""
    label = plain_name(code)
    return clean(f"{label[:1].upper()}{label[1:]}")


def names_only(text: str) -> bool:
    """Whether a login's note only lists factors (`text message (SMS) [4.2], …`), as the page itself does."""
    return all(part.endswith("]") for part in text.split(", "))


def boxes(challenge: Challenge) -> int:
    """Digits its answer has."""
    return factor(challenge.code).digits or 6


def can_type(challenge: Challenge) -> bool:
    """Whether a person can answer it here."""
    return factor(challenge.code).supported


def label(challenge: Challenge) -> str:
    """What stands before the boxes."""
    return "Response" if factor(challenge.code).family == IBKEY else "Code"


def question(challenge: Challenge, username: str, at: datetime) -> list[Line]:
    """Above the boxes: what IBKR has done, and what to do."""
    found = factor(challenge.code)
    if found.family == IBKEY:
        return _challenge(challenge, found, username)
    if found.family == TOTP:
        return [
            line("   IBKR wants the code of the authenticator app of ", (clean(username), "strong"), "."),
            line("   Type the 6 digits that the app shows for IBKR."),
        ]
    return [
        line(
            "   IBKR sent a text message to the phone of ",
            (clean(username), "strong"),
            f" at {clock(at)}.",
        ),
    ]


def _challenge(challenge: Challenge, found: Factor, username: str) -> list[Line]:
    digits = clean(challenge.challenge)
    return [
        line(f"   IBKR wants an answer of {found.name}, on the phone of ", (clean(username), "strong"), "."),
        line(""),
        line("   Challenge   ", (grouped(digits), "title")),
        line(""),
        line("   On the phone: open IBKR Mobile without logging in, Authenticate, Generate"),
        line("   Response. Type the challenge there, and the 8 digits it answers here."),
    ]


def grouped(digits: str) -> str:
    """`708 362`: digits in groups of three from the left, as a person reads them out."""
    return " ".join(digits[at : at + 3] for at in range(0, len(digits), 3))


def waiting(left: float) -> Line:
    """Beside the boxes: how long the code may take."""
    if left <= 0:
        return line(("the time is up", "warn"))
    return line((f"waiting {minutes(left)} more", "muted"))


def lives(now: datetime, skew: float) -> Line:
    """Beside the boxes of a TOTP code: how long the one that the app shows now is good for."""
    left = PERIOD_S - (now.timestamp() + skew) % PERIOD_S
    style = "warn" if left < 8 else "muted"
    return line((f"the app's code changes in {left:.0f} s", style))


def minutes(seconds: float) -> str:
    """`2:46`."""
    whole = max(0, int(seconds + 0.999))
    return f"{whole // 60}:{whole % 60:02d}"


def below(
    challenge: Challenge, left: float, remark: str, number: int, limit: int, slip: str = ""
) -> list[Line]:
    """Under the boxes: what was wrong, what else is being tried, what the attempt costs.

    `slip`: what was wrong with what was typed last, in place of the challenge's own.
    """
    out: list[Line] = []
    family = factor(challenge.code).family
    wrong = slip or challenge.problem
    if wrong:
        out += [line("   ", ("▲ ", "warn"), clean(wrong)), line("")]
    if remark:
        out += [line("   ", ("◐ ", "accent"), clean(remark)), line("")]
    if left <= 0 and family == SMS:
        out += [line("   Messages can be late. ", ("r", "accent"), " asks IBKR for another one."), line("")]
    if family == TOTP and abs(challenge.skew) > SKEW_S:
        way = "behind" if challenge.skew > 0 else "ahead of"
        seconds = f"{abs(challenge.skew):.0f} s"
        out += [
            line("   ", ("▲ ", "warn"), f"This machine's clock is {seconds} {way} IBKR's. The app's code"),
            line("     counts, if the phone's clock is right."),
            line(""),
        ]
    return [*out, attempt(number, limit)]


def attempt(number: int, limit: int) -> Line:
    """What this attempt costs; `number` 0 when it is not known."""
    text = "A wrong code uses it up; going back does not."
    if number <= 0:
        return line(("   A wrong code counts at IBKR; going back does not.", "muted"))
    style = "warn" if number >= limit else "muted"
    last = ", the last one" if number >= limit else ""
    return line((f"   This is attempt {number} of {limit}{last}. {text}", style))


def before(number: int, limit: int) -> list[Line]:
    """Above user name and password: which attempt this is, or that there is none left."""
    if number > limit:
        return [
            line(
                "   ",
                ("▲ ", "warn"),
                f"All {limit} attempts of this user name are used up. When you know why:",
            ),
            line("     ", ("ibtui login --reset-attempts", "strong")),
        ]
    style = "warn" if number >= limit else "muted"
    last = ", the last one" if number >= limit else ""
    return [line((f"   This is attempt {number} of {limit}{last}. Being wrong uses it up.", style))]


def choice(offered: Sequence[str], at: int) -> list[Line]:
    """One of several factors; `at` is the cursor."""
    out = [line("   IBKR offers several second factors. Which one?"), line("")]
    for index, code in enumerate(offered):
        here = index == at
        out.append(
            line(
                "   ",
                ("▸ " if here else "  ", "accent"),
                (f"{index + 1}  ", "muted"),
                (name(code), "strong" if here else ""),
            )
        )
        out.append(line("          ", (_meaning(code), "muted")))
    return out


def _meaning(code: str) -> str:
    """What a person has to do, in one line of 70 cells at most."""
    found = factor(code)
    words = {
        SMS: "IBKR sends 6 digits to your phone.",
        TOTP: "Your authenticator app shows 6 digits.",
        IBKEY: "IBKR gives a challenge; the app, or the key enrolled here, answers it.",
    }
    return words.get(found.family, clean(found.todo))


def yes_or_no(text: str) -> list[Line]:
    """A question before going on: `attempt 3 of 4 - go on?`."""
    said, _, asked = clean(text).strip().rpartition(". ")
    out = [line("   ", ("▲ ", "warn"), (f"{asked[:1].upper()}{asked[1:]}", "title")), line("")]
    if said:
        out += [line(f"   {said}."), line("")]
    return [
        *out,
        line("   Nothing has been sent yet. Be sure of user name, password and code: IBKR"),
        line("   counts wrong ones too, and locks the account after some of them."),
        line(""),
        line("   ", ("y", "accent"), " goes on now. ", ("esc", "accent"), " leaves; nothing is lost."),
    ]
