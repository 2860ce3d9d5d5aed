"""The list of pools of a Goldshell, changed one pool at a time so that it never stands empty.

`/mcb/newpool` adds one at the end, `/mcb/delpool` takes one that is given as the list has it, and
`PUT /mcb/pools` stores the list in another order (the web page's own code; a public tool that
orders by it). Public programs delete all and then add; here the new ones are added, and seen in
the list, before an old one goes. Only where the machine takes no more, or not the same address
twice, one old pool goes first. What was there is noted before the first write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drivers.actions import Answer, Receipt
from drivers.api import Clock, Memory
from drivers.asic.effects import pools_are
from drivers.asic.fields import Row, text
from drivers.asic.goldshell.answers import POOLS_PAGE
from drivers.asic.goldshell.orders import ACT_S, put
from drivers.asic.page_parts import POOLS_LIMIT, listed
from drivers.asic.unfinished import Note, begin, finish
from drivers.capabilities import PoolSetting
from drivers.errors import BadReply, DriverError, OutOfRange, Refused
from drivers.model import pool_target
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import WebClient

NEW_PAGE, DELETE_PAGE = "/mcb/newpool", "/mcb/delpool"
SHOWN_S = 120.0
CHANGING = "set_pools"
_RANK = (Answer.ACCEPTED, Answer.UNANSWERED, Answer.REFUSED)


async def set_pools(
    web: WebClient, clock: Clock, memory: Memory, wanted: Sequence[PoolSetting], on_rpc: int
) -> Receipt:
    """Replace the list; where that stops half way, what was there before is put back.

    `on_rpc` is how many pools port 4028 shows.
    """
    if not wanted:
        raise OutOfRange("an empty list of pools", "at least one pool")
    change = Change(web, clock)
    await change.look()
    before = change.pools
    if on_rpc and not before:
        raise Refused(None, "its page shows no pools while port 4028 does: it may be booting")
    note = Note(action=CHANGING, at=clock.now(), pools_before=before, pools_after=tuple(wanted))
    await begin(memory, note)
    try:
        await change.towards(wanted)
        if not (change.shows(wanted) or change.shows(before)):
            await change.towards(before)
    except DriverError as error:
        if not change.wrote:
            await finish(memory)
            raise
        change.told(Receipt(answer=Answer.UNANSWERED, words=str(error)))
    else:
        if change.shows(wanted) or change.shows(before):
            await finish(memory)
    return change.receipt(wanted)


async def recover(web: WebClient, clock: Clock, memory: Memory, note: Note) -> Receipt:
    """The wanted list where all of it was added, else the old one; raises where that fails."""
    change = Change(web, clock)
    await change.look()
    added = not change.shows(note.pools_before) and all(map(change.holds, note.pools_after))
    goal = note.pools_after if added or not note.pools_before else note.pools_before
    await change.towards(goal)
    if not change.shows(goal):
        raise Refused(None, "the list of pools is neither the old one nor the wanted one")
    await finish(memory)
    return change.receipt(goal)


class Change:
    """One change of the list: what was last seen of it, and what the machine answered."""

    __slots__ = ("_answer", "_clock", "_rows", "_web", "_words", "wrote")

    def __init__(self, web: WebClient, clock: Clock) -> None:
        self._web = web
        self._clock = clock
        self._rows: list[dict[str, Any]] = []
        self._answer = Answer.ACCEPTED
        self._words = ""
        self.wrote = False

    @property
    def pools(self) -> tuple[PoolSetting, ...]:
        """The list as it was last seen."""
        return tuple(map(_pool, self._rows))

    def shows(self, pools: Sequence[PoolSetting]) -> bool:
        """True where the list is this one, in this order."""
        return [*map(_key, self.pools)] == [*map(_key, pools)]

    def holds(self, pool: PoolSetting) -> bool:
        """True where this pool is in the list."""
        return _key(pool) in map(_key, self.pools)

    async def look(self) -> None:
        """Read the list; raises where it cannot be read."""
        try:
            page = await self._web.json(POOLS_PAGE, Deadline(self._clock, ACT_S))
        except BadReply:
            page = None
        if not isinstance(page, list):
            raise BadReply("the list of pools cannot be read")  # its words hold passwords
        self._rows = [row for row in listed(page, POOLS_LIMIT) if text(row.get("url"))]

    def told(self, receipt: Receipt) -> None:
        """Keep an answer where it says less than those before."""
        if _RANK.index(receipt.answer) >= _RANK.index(self._answer):
            self._answer, self._words = receipt.answer, receipt.words

    def receipt(self, wanted: Sequence[PoolSetting]) -> Receipt:
        """The least willing of the machine's answers stands for all of them."""
        words = f"{self._words or 'the list was this one'}; it holds {len(self._rows)} pools now"
        return Receipt(answer=self._answer, words=words, expectation=pools_are(wanted, SHOWN_S))

    async def towards(self, goal: Sequence[PoolSetting]) -> None:
        """Add, then delete, then order; stops where a pool that is to be there is not."""
        for pool in goal:
            if not self.holds(pool) and not await self._add(pool, goal):
                return
        for row in reversed(self._spare(goal)):
            await self._delete(_pool(row))
        if not self.shows(goal) and not self._spare(goal):
            await self._order(goal)

    def _spare(self, goal: Sequence[PoolSetting]) -> list[dict[str, Any]]:
        kept = set(map(_key, goal))
        return [row for row in self._rows if _key(_pool(row)) not in kept]

    async def _add(self, pool: PoolSetting, goal: Sequence[PoolSetting]) -> bool:
        receipt = await self._write(NEW_PAGE, _as_row(pool))
        if self.holds(pool):
            self.told(receipt)
            return True
        spare = self._spare(goal)
        if receipt.answer is not Answer.REFUSED or not spare:
            self.told(receipt)
            return False
        return await self._exchange(_rival(spare, pool), pool)

    async def _exchange(self, old: PoolSetting, new: PoolSetting) -> bool:
        """Delete the old one first; it comes back where the new one is refused all the same."""
        await self._delete(old)
        self.told(await self._write(NEW_PAGE, _as_row(new)))
        if self.holds(new):
            return True
        if not self.holds(old):
            self.told(await self._write(NEW_PAGE, _as_row(old)))
        return False

    async def _delete(self, pool: PoolSetting) -> None:
        row = next((row for row in self._rows if _pool(row) == pool), None)
        if row is not None:  # as the list has it now: the numbers move with every change
            self.told(await self._write(DELETE_PAGE, row))

    async def _order(self, goal: Sequence[PoolSetting]) -> None:
        places = {_key(pool): at for at, pool in enumerate(goal)}
        rows = sorted(self._rows, key=lambda row: places[_key(_pool(row))])
        numbered = [
            {**row, "pool-priority": at, "dragid": at, "active": at == 0}
            for at, row in enumerate(rows)
        ]
        self.told(await self._write(POOLS_PAGE, numbered))

    async def _write(self, path: str, payload: object) -> Receipt:
        receipt = await ordered(put(self._web, path, payload, Deadline(self._clock, ACT_S)), None)
        self.wrote = True
        await self.look()
        return receipt


def _pool(row: Row) -> PoolSetting:
    return PoolSetting(
        str(row.get("url") or ""), str(row.get("user") or ""), str(row.get("pass") or "")
    )


def _key(pool: PoolSetting) -> tuple[str, str]:
    """What makes a pool the same: firmwares write an address in their own way."""
    return pool_target(pool.url, pool.user), pool.password


def _as_row(pool: PoolSetting) -> Row:
    return {"url": pool.url, "user": pool.user, "pass": pool.password}


def _rival(spare: Sequence[Row], pool: PoolSetting) -> PoolSetting:
    """Of the old pools the one with the same address and user, else the last."""
    found = [_pool(row) for row in spare]
    same = (each for each in found if _key(each)[0] == _key(pool)[0])
    return next(same, found[-1])
