"""Web pages that are read beside the poll, each at its own pace, and kept in between.

What is kept is what a page was reduced to, for a site has thousands of machines; and it is kept
only for the machine that gave it, which `words` and uptime tell.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from drivers.asic.kept import Kept
from drivers.errors import DeviceTimeout, DriverError, NoResources, Unreachable, Unsupported
from drivers.wire.deadline import Deadline

Fetch = Callable[[str, Deadline], Awaitable[Any]]
"""Asks for the page of a path, decoded."""


class Slow(NamedTuple):
    """How often a page is read, and what is taken from it; 0 reads it with every poll."""

    every_s: float
    reduce: Callable[[Any], Any]
    """Pure, and raises nothing whatever the page holds."""


class Aside(NamedTuple):
    """What the pages gave, by path; those that failed, and since when each part is known."""

    parts: dict[str, Any]
    errors: dict[str, DriverError]
    at: dict[str, float]


class SlowPages:
    """Reads pages when they are due. One that failed, or is not there, rests as long as others."""

    __slots__ = ("_fetch", "_kept", "_pages")

    def __init__(self, fetch: Fetch, pages: Mapping[str, Slow]) -> None:
        self._fetch = fetch
        self._pages = pages
        self._kept: dict[str, Kept[Any]] = {}

    def forget(self) -> None:
        """Read every page anew next time."""
        self._kept.clear()

    async def look(
        self, deadline: Deadline, now: float, words: tuple[str, ...], uptime_s: float | None
    ) -> Aside:
        """What the pages say of the machine with these words and this uptime.

        Raises `NoResources` alone: any other failure is named in `errors`.
        """
        silent: DriverError | None = None
        for path, slow in self._pages.items():
            kept = self._kept.get(path)
            if kept and _is_of(kept, words, uptime_s, now) and not kept.is_due(now, slow.every_s):
                continue
            value = silent or await self._ask(path, slow, deadline)
            if isinstance(value, DeviceTimeout | Unreachable):
                silent = value  # the next one would fare no better
            self._kept[path] = Kept(value, now, words, uptime_s)
        return self._known()

    async def _ask(self, path: str, slow: Slow, deadline: Deadline) -> Any:
        try:
            return slow.reduce(await self._fetch(path, deadline))
        except NoResources:
            raise
        except DriverError as error:
            return error

    def _known(self) -> Aside:
        parts, errors, at = {}, {}, {}
        for path, kept in self._kept.items():
            at[path] = kept.at
            if not isinstance(kept.value, DriverError):
                parts[path] = kept.value
            elif not isinstance(kept.value, Unsupported):  # no model has every page
                errors[path] = kept.value
        return Aside(parts, errors, at)


def _is_of(kept: Kept[Any], words: tuple[str, ...], uptime_s: float | None, now: float) -> bool:
    """True for the same machine; its clock may stand while its mining program does."""
    stands = bool(uptime_s) and uptime_s == kept.uptime_s and words == kept.words
    return stands or kept.is_of(words, uptime_s, now)
