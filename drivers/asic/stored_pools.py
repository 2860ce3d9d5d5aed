"""A list of pools that a firmware takes whole, in one write: noted before, looked at behind it.

Such a write either leaves the list that was there, or the wanted one; or it loses both, where a
firmware is half awake. Only then there is something to put back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from drivers.actions import Answer, Expectation, Receipt
from drivers.api import Clock, Memory
from drivers.asic.effects import pools_are
from drivers.asic.unfinished import Note, begin, finish
from drivers.capabilities import PoolSetting
from drivers.errors import DriverError, OutOfRange, Refused
from drivers.model import pool_target
from drivers.wire.ordering import ordered


class Found(NamedTuple):
    """The stored list, with passwords, and all that is stored with it."""

    pools: tuple[PoolSetting, ...]
    whole: Any


Look = Callable[[], Awaitable[Found]]
"""Reads what is stored; raises where it cannot be read whole."""
Write = Callable[[Any, Sequence[PoolSetting]], Awaitable[str]]
"""Stores a list with all the rest as it was found: the one request of an order."""


class Stored:
    """How one firmware stores its list, and how long the list takes to show in readings."""

    __slots__ = ("_clock", "_look", "_look_after_s", "_memory", "_until_s", "_write")

    def __init__(
        self,
        clock: Clock,
        memory: Memory,
        look: Look,
        write: Write,
        *,
        look_after_s: float,
        until_s: float,
    ) -> None:
        self._clock = clock
        self._memory = memory
        self._look = look
        self._write = write
        self._look_after_s = look_after_s
        self._until_s = until_s

    async def replace(self, wanted: Sequence[PoolSetting], *, places: int, shown: int) -> Receipt:
        """Store another list; raises `OutOfRange` for none, and for more than there are places.

        `shown` is how many pools the machine works with: where it has some and has stored none,
        it is half awake, and a list that is written now would take all the rest with it.
        """
        if not 0 < len(wanted) <= places:
            raise OutOfRange(f"a list of {len(wanted)} pools", f"1 to {places} pools")
        found = await self._sound(shown)
        shows = pools_are(wanted, self._until_s, look_after_s=self._look_after_s)
        return await self._noted(found, wanted, shows)

    async def keep(
        self, change: Callable[[Any], Any], expectation: Expectation, *, shown: int
    ) -> Receipt:
        """Store something else that is stored with the list, and the list as it is."""
        found = await self._sound(shown)
        changed = Found(found.pools, change(found.whole))
        return await self._noted(changed, found.pools, expectation)

    async def _sound(self, shown: int) -> Found:
        found = await self._look()
        if shown and not found.pools:
            raise Refused(None, "it works with pools and has stored none: it may be booting")
        if _is_hidden(found.pools):
            raise Refused(None, "it hides its pools' passwords: written back, they would be stars")
        return found

    async def _noted(
        self, found: Found, wanted: Sequence[PoolSetting], expectation: Expectation
    ) -> Receipt:
        note = Note(
            action="store",
            at=self._clock.now(),
            pools_before=found.pools,
            pools_after=tuple(wanted),
        )
        await begin(self._memory, note)
        try:
            receipt = await ordered(self._write(found.whole, wanted), expectation)
        except DriverError:
            await finish(self._memory)
            raise
        return await self._seen(receipt, found.pools, wanted)

    async def recover(self, note: Note) -> Receipt:
        """Put the old list back where none is left; raises where that fails."""
        pools, whole = await self._look()
        receipt = Receipt(
            answer=Answer.ACCEPTED,
            words=f"its list holds {len(pools)} pools",
            expectation=pools_are(pools, self._until_s) if pools else None,
        )
        if not pools and note.pools_before:
            expectation = pools_are(note.pools_before, self._until_s)
            receipt = await ordered(self._write(whole, note.pools_before), expectation)
            if not (await self._look()).pools:
                raise Refused(None, "its list of pools stays empty")
        await finish(self._memory)
        return receipt

    async def _seen(
        self, receipt: Receipt, before: Sequence[PoolSetting], wanted: Sequence[PoolSetting]
    ) -> Receipt:
        """Drop the note where the list is whole; it stays where nobody can tell."""
        try:
            found = (await self._look()).pools
        except DriverError:
            return receipt
        if _same(found, wanted) or _same(found, before):
            await finish(self._memory)
        if found:
            return receipt
        words = f"{receipt.words}; its list of pools is empty now"
        return msgspec.structs.replace(receipt, words=words)


def _same(found: Sequence[PoolSetting], other: Sequence[PoolSetting]) -> bool:
    return [*map(_key, found)] == [*map(_key, other)]


def _key(pool: PoolSetting) -> tuple[str, str]:
    return pool_target(pool.url, pool.user), pool.password


def _is_hidden(pools: Sequence[PoolSetting]) -> bool:
    return any(len(pool.password) > 2 and not pool.password.strip("*•") for pool in pools)
