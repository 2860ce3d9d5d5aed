"""Which GPUs there should be, against those that are there. A shorter list is a fault. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agent.config.schema import Gpu


class Call(msgspec.Struct, frozen=True):
    """What came of calling the roll."""

    seen: int
    expected: int
    missing: tuple[str, ...] = ()
    """Those that are known by their id."""
    forgotten: tuple[str, ...] = ()
    """Those that are gone, and that nobody expects any more."""

    @property
    def gap(self) -> tuple[int, tuple[str, ...]]:
        """What is missing: how many, and which."""
        return self.short_by, self.missing

    @property
    def short_by(self) -> int:
        """How many are missing, those among them that were never seen."""
        return max(len(self.missing), self.expected - self.seen)


def call(settings: Gpu, known: Iterable[str], seen: Iterable[str]) -> Call:
    """Hold what is seen against what was ever seen and against what is configured, all by id."""
    there = set(seen)
    wanted = set(settings.expected_ids)
    gone = set(known) - there
    forgotten: set[str] = set()
    if settings.expected is not None:
        forgotten = gone - wanted if len(there) >= settings.expected else set()
    elif wanted:
        forgotten = gone - wanted
    missing = (gone - forgotten) | (wanted - there)
    expected = settings.expected if settings.expected is not None else len(there) + len(missing)
    return Call(
        seen=len(there),
        expected=expected,
        missing=tuple(sorted(missing)),
        forgotten=tuple(sorted(forgotten)),
    )
