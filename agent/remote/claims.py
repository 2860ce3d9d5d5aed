"""What a command says: the claims of its JWT. Types only."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

CommandId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")]
"""One level of a topic, chosen by the sender; a UUID is a good one."""
Word = Annotated[str, Meta(min_length=1, max_length=128)]
OneOf = Word | Annotated[tuple[Word, ...], Meta(min_length=1, max_length=100)]
"""A value, or several of which one must fit."""
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Moment = Annotated[float, Meta(ge=0, le=1e11)]
"""Seconds since 1970 (UTC)."""


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which devices: `all`, or everything else that is said holds of each (ids: one of them)."""

    all: bool = False
    """Every device of the nodes that are addressed."""
    ids: Annotated[tuple[Word, ...], Meta(max_length=30_000)] = ()
    tags: dict[Word, OneOf] = {}
    """Places and tags: site, building, rack, row, customer, or the operator's own."""
    kind: OneOf | None = None
    make: OneOf | None = None
    model: OneOf | None = None
    firmware: OneOf | None = None
    state: OneOf | None = None
    max_targets: Count | None = None
    """Rejected where more devices than this are meant, over the whole site."""


class Rollout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In waves: the next one begins when all of the one before have their result."""

    wave: Count
    """Devices in a wave."""
    pause_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    """Between the end of a wave and the next."""
    stop_above: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """The share of all devices so far whose effect was not seen, above which it stops."""


class Claims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One command."""

    jti: CommandId
    """The id of the command, which the topic ends in."""
    aud: Annotated[str, Meta(min_length=1, max_length=130)]
    """`<site>`, or `<site>/<node>`."""
    iat: Moment
    """When it was issued."""
    verb: Word
    iss: Word | None = None
    """Who sends it, in words: for the audit. What counts is the key."""
    exp: Moment | None = None
    """Nothing of it begins after this; without it the verb's own default counts from `iat`."""
    nbf: Moment | None = None
    """Nothing of it begins before this: a command may wait."""
    target: Target | None = None
    params: dict[str, Any] = {}
    """What the verb takes."""
    dry_run: bool = False
    """Only say what would be done, to which devices, and with which effect."""
    supersedes: Annotated[tuple[CommandId, ...], Meta(max_length=100)] = ()
    """Commands that are cancelled when this one is accepted."""
    rollout: Rollout | None = None
