"""What a key may do: verbs, devices and hours, as its table says. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from agent.command.targets import value_of
from agent.command.verbs import VERBS
from agent.config import commands as settings
from agent.fleet.inventory import Device

APPROVE = "command.approve"


def names(patterns: Iterable[str], verb: str) -> bool:
    """Whether a verb is meant: by its name, or unless it is dangerous by a pattern."""
    row = VERBS.get(verb)
    dangerous = row is not None and row.dangerous
    return any(
        pattern == verb
        or (
            not dangerous
            and (pattern == "*" or (pattern.endswith(".*") and verb.startswith(pattern[:-1])))
        )
        for pattern in patterns
    )


class Rights:
    """The rights of one table."""

    def __init__(self, given: settings.Rights) -> None:
        self._given = given
        self._approves = given.approves if isinstance(given, settings.SigningKey) else ()
        self._kinds = frozenset(given.kinds)
        self._tags = {key: value.lower() for key, value in given.tags.items()}
        self.max_targets = given.max_targets

    def objection(self, verb: str, now: datetime) -> str | None:
        """Why a verb may not be ordered at this moment; None where it may."""
        given = self._given
        if not names(given.verbs, verb) and not (verb == APPROVE and self._approves):
            row = VERBS.get(verb)
            if row is not None and row.dangerous:
                return f"{verb} is dangerous: its verbs have to name it in full"
            return f"{verb} is not among its verbs ({', '.join(given.verbs)})"
        if given.hours and not _within(given.hours, now):
            return f"its hours are {given.hours} UTC, it is {now.astimezone(UTC):%H:%M}"
        return None

    def covers(self, device: Device) -> bool:
        """Whether a device is of its kinds and has its tags."""
        return (not self._kinds or device.identity.kind in self._kinds) and all(
            value_of(device, key) == value for key, value in self._tags.items()
        )

    def may_approve(self, verb: str) -> bool:
        """Whether it may be the second person for a verb."""
        return names(self._approves, verb)


def _within(hours: str, now: datetime) -> bool:
    begin, _, end = hours.partition("-")
    at = f"{now.astimezone(UTC):%H:%M}"  # "HH:MM" sorts as time does
    return begin <= at < end if begin < end else at >= begin or at < end


def in_words(given: settings.Rights) -> str:
    """The rights of a table as a sentence for people."""
    words = ["may " + ", ".join(given.verbs)]
    if isinstance(given, settings.SigningKey) and given.approves:
        words.append("may approve " + ", ".join(given.approves))
    reach = [*given.kinds, *(f"{key}={value}" for key, value in given.tags.items())]
    words.append("on " + (", ".join(reach) if reach else "all devices"))
    if given.max_targets:
        words.append(f"at most {given.max_targets:,} of them")
    if given.hours:
        words.append(f"{given.hours} UTC")
    words.append(f"{given.per_minute:g} a minute")
    return "; ".join(words)
