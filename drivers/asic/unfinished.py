"""What a driver is in the middle of, noted in its `Memory` before the first write.

A run that is killed between two writes leaves the note behind; `recover` of the next start reads
it, and puts back what was there before.
"""

from __future__ import annotations

from typing import Any

import msgspec

from drivers.api import Memory
from drivers.capabilities import UNFINISHED, PoolSetting


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """An action under way: what was there before, and what is to be there after it."""

    action: str
    at: float
    """When it began, in seconds since the epoch."""
    pools_before: tuple[PoolSetting, ...] = ()
    pools_after: tuple[PoolSetting, ...] = ()
    before: msgspec.Raw = msgspec.Raw(b"null")
    """Whatever else the dialect needs to put back, as JSON."""


async def begin(memory: Memory, note: Note) -> None:
    """Write the note; it is on disk when this returns. One that is there already is kept.

    What stood before an interrupted change is what has to come back, not its half-done state.
    """
    if memory.get(UNFINISHED) is None:
        await memory.put(UNFINISHED, msgspec.json.encode(note))


async def finish(memory: Memory) -> None:
    """Drop the note: the change is complete, or undone."""
    await memory.forget(UNFINISHED)


def under_way(memory: Memory) -> Note | None:
    """The note of an earlier run, None where it finished everything (or wrote nonsense)."""
    raw = memory.get(UNFINISHED)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=Note)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def as_json(value: Any) -> msgspec.Raw:
    """A value for `Note.before`."""
    return msgspec.Raw(msgspec.json.encode(value))
