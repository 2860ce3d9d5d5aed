"""Which keys differ between two configurations, and which of them can be applied at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from agent.config.schema import Config
from agent.config.terms import Section

LIVE = ("commands", "control.allow", "log.level")
"""What can be applied while the agent runs; all that stands below a table of these too."""


class Changes(NamedTuple):
    """Keys whose values differ, as users write them; arrays of tables as a whole."""

    live: tuple[str, ...]
    """Applied at once."""
    restart: tuple[str, ...]
    """Applied when the agent is restarted."""


def changes(old: Config, new: Config) -> Changes:
    """What differs; contents of files that are named do not count, those of public keys do."""
    differing = tuple(_differing(old, new, ""))
    live = tuple(key for key in differing if _is_live(key))
    return Changes(live, tuple(key for key in differing if key not in live))


def _differing(old: Section, new: Section, above: str) -> Iterator[str]:
    for field in msgspec.structs.fields(old):
        one, other = getattr(old, field.name), getattr(new, field.name)
        key = f"{above}.{field.name}" if above else field.name
        if isinstance(one, Section) and isinstance(other, Section):
            yield from _differing(one, other, key)
        elif one != other:
            yield key


def _is_live(key: str) -> bool:
    return any(key == live or key.startswith(f"{live}.") for live in LIVE)
