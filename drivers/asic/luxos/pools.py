"""The list of pools of LuxOS, changed one pool at a time so that it never stands empty.

Source: Luxor's documentation of `addpool`, `removepool` and `pools`, none of which wants a
session. New pools are added first, and seen in the list before an old one goes. Builds refuse an
address that is in the list already (reported by a public client): then the old one goes first,
where another stays. What was there is noted before the first write; LuxOS shows no passwords, so
an old pool that has to be put back gets the customary one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from drivers.actions import Answer, Receipt
from drivers.api import Clock, Memory
from drivers.asic.effects import pools_are
from drivers.asic.fields import Row, first, integer, text
from drivers.asic.luxos.sessions import speak
from drivers.asic.unfinished import Note, begin, finish
from drivers.capabilities import PoolSetting
from drivers.errors import DriverError, OutOfRange, Refused
from drivers.model import pool_target
from drivers.wire.cgminer import CgminerRpc, rows
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered

ACT_S = 60.0
"""For all commands of one change: a dozen, each on a connection of its own."""
SHOWN_S = 90.0
CHANGING = "set_pools"
_PLACEHOLDER = PoolSetting("", "").password
_RANK = (Answer.ACCEPTED, Answer.UNANSWERED, Answer.REFUSED)


async def set_pools(
    rpc: CgminerRpc, clock: Clock, memory: Memory, wanted: Sequence[PoolSetting]
) -> Receipt:
    """Replace the list; where that stops half way, what was there before is put back."""
    _check(wanted)
    change = Change(rpc, clock)
    await change.look()
    before = tuple(place.pool for place in change.places)
    if change.shows(wanted) and not any(map(_has_secret, wanted)):
        return change.receipt(wanted, "these are its pools already")
    note = Note(action=CHANGING, at=clock.now(), pools_before=before, pools_after=tuple(wanted))
    await begin(memory, note)
    try:
        await change.towards(wanted, anew=True)
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


async def recover(rpc: CgminerRpc, clock: Clock, memory: Memory, note: Note) -> Receipt:
    """The wanted list where all of it was added, else the old one; raises where that fails."""
    change = Change(rpc, clock)
    await change.look()
    added = change.holds(note.pools_after) and not change.shows(note.pools_before)
    goal = note.pools_after if added or not note.pools_before else note.pools_before
    await change.towards(goal)
    if not change.shows(goal):
        raise Refused(None, "the list of pools is neither the old one nor the wanted one")
    await finish(memory)
    return change.receipt(goal, "the list of pools was put in order")


def _check(wanted: Sequence[PoolSetting]) -> None:
    if not wanted:
        raise OutOfRange("an empty list of pools", "at least one pool")
    if any("," in word for pool in wanted for word in (pool.url, pool.user, pool.password)):
        raise OutOfRange("a comma in a pool's words", "words without one: it parts them by commas")


def _has_secret(pool: PoolSetting) -> bool:
    """True for a password of its own: whether the machine has it cannot be read."""
    return pool.password != _PLACEHOLDER


def _target(pool: PoolSetting) -> str:
    return pool_target(pool.url, pool.user)


class Place(NamedTuple):
    """A pool in the machine's list, and the number it goes by there for now."""

    number: int
    pool: PoolSetting

    @property
    def target(self) -> str:
        """As a reading shows it."""
        return _target(self.pool)


class Change:
    """One change of the list: what was last seen of it, and what the machine answered."""

    __slots__ = ("_answer", "_deadline", "_rpc", "_words", "places", "wrote")

    def __init__(self, rpc: CgminerRpc, clock: Clock) -> None:
        self._rpc = rpc
        self._deadline = Deadline(clock, ACT_S)
        self._answer = Answer.ACCEPTED
        self._words = ""
        self.places: tuple[Place, ...] = ()
        self.wrote = False

    async def look(self) -> None:
        """Read the list; raises where it cannot be read, or is one of several."""
        found = rows(await self._rpc.ask("pools", deadline=self._deadline), "POOLS")
        if len({integer(row.get("GROUP")) or 0 for row in found}) > 1:
            words = "this machine splits its work over groups of pools, which are left alone"
            raise Refused(None, words)
        self.places = tuple(_place(at, row) for at, row in enumerate(found) if row.get("URL"))

    def shows(self, pools: Sequence[PoolSetting]) -> bool:
        """True where the list is this one, in this order."""
        return self._targets() == [_target(pool) for pool in pools]

    def holds(self, pools: Sequence[PoolSetting]) -> bool:
        """True where all of these are in the list."""
        return {_target(pool) for pool in pools} <= set(self._targets())

    def receipt(self, wanted: Sequence[PoolSetting], words: str = "") -> Receipt:
        """The least willing of the machine's answers stands for all of them."""
        expectation = pools_are(wanted, SHOWN_S)
        return Receipt(answer=self._answer, words=words or self._words, expectation=expectation)

    def told(self, receipt: Receipt) -> None:
        """Keep an answer where it says less than those before."""
        if _RANK.index(receipt.answer) >= _RANK.index(self._answer):
            self._answer, self._words = receipt.answer, receipt.words

    # --- steps -------------------------------------------------------------------------------

    async def towards(self, goal: Sequence[PoolSetting], *, anew: bool = False) -> None:
        """Add what is missing, then remove what is left over; stops where a step has no effect.

        `anew` adds pools with a password of their own once more, for it may have changed.
        """
        kept = self._kept(goal, anew)
        stays = {place.number for place in kept}
        doomed = [place.target for place in self.places if place.number not in stays]
        missing = goal[len(kept) :]
        for pool in missing:
            if not await self._add(pool, doomed):
                return
        if missing:
            await self.look()
        tail = [_target(pool) for pool in missing]
        if self._targets()[len(self.places) - len(tail) :] != tail:
            return
        for target in doomed:
            if not await self._remove(target):
                return

    def _kept(self, goal: Sequence[PoolSetting], anew: bool) -> list[Place]:
        """The places of the longest beginning of the goal that is in the list in its order."""
        found: list[Place] = []
        for place in self.places:
            if len(found) == len(goal) or (anew and _has_secret(goal[len(found)])):
                break
            if place.target == _target(goal[len(found)]):
                found.append(place)
        return found

    async def _add(self, pool: PoolSetting, doomed: list[str]) -> bool:
        count = self._targets().count(_target(pool))
        receipt = await self._write("addpool", pool.url, pool.user, pool.password)
        if receipt.answer is not Answer.ACCEPTED:
            await self.look()
            if self._targets().count(_target(pool)) > count:
                self.told(receipt)
                return True
            standing = self._standing(pool, doomed) if receipt.answer is Answer.REFUSED else None
            if standing is None or not await self._remove(standing):
                self.told(receipt)
                return False
            doomed.remove(standing)
            receipt = await self._write("addpool", pool.url, pool.user, pool.password)
        self.told(receipt)
        return receipt.answer is not Answer.REFUSED

    def _standing(self, pool: PoolSetting, doomed: list[str]) -> str | None:
        """An old pool at the same address that may go before the new one comes."""
        address = pool_target(pool.url, "")
        same = [at for at in self.places if pool_target(at.pool.url, "") == address]
        return next((at.target for at in same if at.target in doomed), None)

    async def _remove(self, target: str) -> bool:
        """False where it is still there, or is the only one."""
        place = next((each for each in self.places if each.target == target), None)
        count = len(self.places)
        if place is None or count < 2:
            return False
        self.told(await self._write("removepool", str(place.number)))
        await self.look()
        return len(self.places) < count

    async def _write(self, command: str, *words: str) -> Receipt:
        receipt = await ordered(speak(self._rpc, self._deadline, command, *words), None)
        self.wrote = True
        return receipt

    def _targets(self) -> list[str]:
        return [place.target for place in self.places]


def _place(at: int, row: Row) -> Place:
    number = integer(row.get("POOL"))
    password = text(first(row, ("Password", "Pass"))) or _PLACEHOLDER
    pool = PoolSetting(str(row.get("URL")), text(row.get("User")) or "", password)
    return Place(at if number is None else number, pool)
