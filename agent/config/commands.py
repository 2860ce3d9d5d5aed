"""Who may order what from afar: the tables of `[commands]`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from agent.config.terms import FilePath, Name, Section, VerbName
from drivers.model import Kind

NODE_VERB_NAMES = (
    "read.now",
    "discovery.scan",
    "config.reload",
    "telemetry.keyframe",
    "inventory.publish",
    "lock.set",
    "lock.clear",
    "gpu.release",
    "gpu.resume",
    "command.approve",
    "command.cancel",
)
"""What can be ordered of a node itself."""
VERB_NAMES: tuple[str, ...] = (*get_args(VerbName), *NODE_VERB_NAMES)
"""All that a signed command can ask for."""
UNSIGNED = "unsigned"
"""The id of whoever signs nothing; no key may be called so."""
Hours = Annotated[
    str,
    Meta(
        pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d\Z",
        description='hours (UTC) such as "06:00-22:00"',
    ),
]
Moment = Annotated[
    datetime, Meta(tz=True, description="a date and time such as 2026-01-31T06:00:00Z")
]


class Rights(Section, frozen=True, kw_only=True):
    """What may be ordered; of devices all where nothing is said."""

    verbs: tuple[str, ...]
    """Names, or patterns (`mining.*`, `*`); dangerous verbs only where they are named in full."""
    kinds: tuple[Kind, ...] = ()
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    """Places and tags that a device must have, all of them."""
    max_targets: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """Devices of one command, over the whole site."""
    hours: Hours | None = None
    """When commands are taken; they may wrap midnight."""
    per_minute: Annotated[float, Meta(gt=0, le=100_000)] = 60.0
    """Commands, on average; as many may come at once."""


class SigningKey(Rights, frozen=True, kw_only=True):
    """A key that commands are signed with, and what it may do."""

    id: Name
    """What the header of a command calls it (`kid`)."""
    owner: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """Two keys of one owner are one person."""
    public_key: str | None = None
    """Base64 of the 32 bytes; once the configuration is loaded it is always there."""
    public_key_file: FilePath | None = None
    """PEM, or OpenSSH's line; instead of `public_key`."""
    approves: tuple[str, ...] = ()
    """Verbs, named as in `verbs`, whose commands it may approve as the second person."""
    not_before: Moment | None = None
    not_after: Moment | None = None


class Revoked(Section, frozen=True, kw_only=True):
    """A key that counts no more, whatever this host's clock says."""

    id: Name
    at: Moment
    reason: Annotated[str, Meta(min_length=1, max_length=200)]


class Commands(Section, frozen=True, kw_only=True):
    """Who may order from afar; nobody where there is neither a key nor `unsigned`."""

    two_person: tuple[str, ...] = ()
    """Verbs that wait for a second person, beside those that are dangerous."""
    clock_skew_s: Annotated[float, Meta(gt=0, le=3600)] = 30.0
    """How far the clocks of senders may be off."""
    clock: Literal["checked", "trusted"] = "checked"
    """`trusted`: the clock is kept right by what the kernel does not know of, such as a hypervisor;
    `checked`: while the host cannot tell that it is synchronised, only what sheds is taken."""
    key: tuple[SigningKey, ...] = ()
    revoked: tuple[Revoked, ...] = ()
    unsigned: Rights | None = None
    """What whoever reaches the broker may order without any signature."""
