"""What a device says to an action, and how the effect of the action is proved."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from drivers.model import Identity, Reading, State


class Answer(StrEnum):
    """What the device said to an action. None of it proves an effect."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


class Relation(StrEnum):
    """How a field of the later reading must stand to `Check.value`."""

    EQUALS = "equals"
    DIFFERS = "differs"
    AT_MOST = "at_most"
    AT_LEAST = "at_least"
    AT_MOST_OF_BEFORE = "at_most_of_before"
    """At most `value` times the same field of the reading before."""
    BELOW_BEFORE = "below_before"
    """Less than in the reading before (an uptime after a reboot)."""
    BEGUN_SINCE = "begun_since"
    """An age in seconds that is shorter than the time since the reading before: for a machine that
    was young already then, and is older now than it was."""


class Check(msgspec.Struct, frozen=True):
    """One field of a reading (or of an identity) and what it must show."""

    field: str
    relation: Relation
    value: float | str | bool | tuple[str, ...] | None = None


class Watched(StrEnum):
    """Where an effect shows."""

    READING = "reading"
    IDENTITY = "identity"
    """In who the device says it is (its host name): seen when it is identified anew."""


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What a later reading must show before an action counts as done.

    Any one of `any_of` suffices, each a group of checks that must hold together. Look
    first `look_after_s` after the action, give up `until_s` after it.
    """

    any_of: tuple[tuple[Check, ...], ...]
    look_after_s: float
    until_s: float
    watched: Watched = Watched.READING


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A device's answer to an action, in its own words, and how to see the effect.

    Without an expectation no reading of this device can show the effect, and none is claimed.
    """

    answer: Answer
    words: str
    expectation: Expectation | None = None


class Latency(StrEnum):
    """How soon after the order an effect can be proved, as the dialect is known to behave."""

    SECONDS = "10s"
    MINUTE = "60s"
    MINUTES = "600s"


Seen = Reading | Identity

_IN_TRANSIT = frozenset({State.STARTING, State.UNKNOWN, State.UNREACHABLE})
"""States that a machine passes through: they neither prove nor disprove another state."""


def is_met(expectation: Expectation, before: Seen, after: Seen) -> bool:
    """True where `after` shows what was expected. A missing value shows nothing."""
    return any(all(_holds(check, before, after) for check in group) for group in expectation.any_of)


def is_denied(expectation: Expectation, before: Seen, after: Seen) -> bool:
    """True where `after` shows the contrary: each group holds a value that is there and differs."""
    return bool(expectation.any_of) and all(
        any(_fails(check, before, after) for check in group) for group in expectation.any_of
    )


def _holds(check: Check, before: Seen, after: Seen) -> bool:
    seen = getattr(after, check.field, None)
    was = getattr(before, check.field, None)
    if seen is None:
        return False
    return _RELATIONS[check.relation](seen, check.value, was, _seconds_between(before, after))


def _seconds_between(before: Seen, after: Seen) -> float:
    if not (isinstance(before, Reading) and isinstance(after, Reading)):
        return 0.0
    return (after.taken_at - before.taken_at).total_seconds()


def _fails(check: Check, before: Seen, after: Seen) -> bool:
    seen = getattr(after, check.field, None)
    if seen is None or (check.field == "state" and seen in _IN_TRANSIT):
        return False
    return not _holds(check, before, after)


_ROUNDED_S = 2.0
"""Ages are whole seconds, and read a moment before the reading is dated."""
_RELATIONS: dict[Relation, Callable[[Any, Any, Any, float], bool]] = {
    Relation.EQUALS: lambda seen, value, _was, _: seen == value,
    Relation.DIFFERS: lambda seen, value, _was, _: seen != value,
    Relation.AT_MOST: lambda seen, value, _was, _: seen <= value,
    Relation.AT_LEAST: lambda seen, value, _was, _: seen >= value,
    Relation.AT_MOST_OF_BEFORE: lambda seen, value, was, _: was is not None and seen <= value * was,
    Relation.BELOW_BEFORE: lambda seen, _value, was, _: was is not None and seen < was,
    Relation.BEGUN_SINCE: lambda seen, _value, _was, since_s: seen + _ROUNDED_S < since_s,
}
