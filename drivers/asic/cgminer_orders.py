"""What is written to a miner of the classic dialect: pools one by one, and a new start.

API-README of cgminer: `addpool` takes `URL,user,password`, `switchpool` and `removepool` the
number of a pool; neither the last pool nor the one in use can be removed. All need the rights
that `privileged` asks for. What is changed so lasts until the program starts anew; passwords are
never shown, so pools that stand are kept rather than added again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from drivers.actions import Latency, Receipt
from drivers.api import Context
from drivers.asic import unfinished
from drivers.asic.effects import pools_are, restarted, within
from drivers.asic.unfinished import Note
from drivers.capabilities import PoolSetting
from drivers.errors import BadReply, DriverError, NoResources, OutOfRange, Refused
from drivers.model import pool_target
from drivers.wire.cgminer import CgminerRpc, rows, status_of
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered

STEP_S = 10.0
POOLS_S, RESTART_S = 60.0, 180.0
INVALID_DETAILS = 53
"""api.c answers it with all of them."""
MOST_POOLS = 16
MOST_CHARS = 1000
ACTIONS: Mapping[str, Latency] = MappingProxyType(
    {"restart_mining": Latency.MINUTE, "set_pools": Latency.SECONDS}
)
NOTHING: Mapping[str, Latency] = MappingProxyType({})
Targets = tuple[str, ...]


async def rights(rpc: CgminerRpc) -> Mapping[str, Latency]:
    """What the API lets us do; asking for the rights has no effect."""
    try:
        await rpc.ask("privileged")
    except NoResources:
        raise
    except DriverError:
        return NOTHING
    return ACTIONS


class ClassicOrders:
    """What is written to one machine; made anew for each action."""

    __slots__ = ("_context", "_problem", "_rpc")

    def __init__(self, rpc: CgminerRpc, context: Context) -> None:
        self._rpc = rpc
        self._context = context
        self._problem: DriverError | None = None
        """The first thing that went wrong with a step; what stands afterwards decides."""

    async def restart_mining(self) -> Receipt:
        """Start the program anew."""
        return await ordered(self._restart(), restarted(RESTART_S))

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Add the new pools, switch to the first, and only then remove the old."""
        wanted = tuple(pools)
        within(len(wanted), 1, MOST_POOLS, "pools")
        for pool in wanted:
            within(len(_parameter(pool)), 1, MOST_CHARS, "characters for a pool")
        await self.recover()
        before = await self._pools()
        if not before:
            raise Refused(None, "it shows no pools: it may be starting")
        at = self._context.clock.now()
        note = Note(action="set_pools", at=at, pools_before=before, pools_after=wanted)
        await unfinished.begin(self._context.memory, note)
        receipt = await ordered(self._replace(wanted), pools_are(wanted, POOLS_S))
        await self._settle(note)
        return receipt

    async def recover(self) -> Receipt | None:
        """Finish a change whose new pools all stand, else go back to the old ones."""
        note = unfinished.under_way(self._context.memory)
        if note is None:
            return None
        return await self._resolve(note)

    # --- a change of pools, by what stands -----------------------------------------------------

    async def _replace(self, wanted: Sequence[PoolSetting]) -> str:
        goal = _targets(wanted)
        there = await self._standing()
        if there == goal:
            return "these pools stand already: nothing was sent"
        words = "the pools did not appear"
        if await self._add(wanted[_begun(there, goal) :], len(there)):
            there = await self._standing()
            if _ends_with(there, goal):
                words = await self._trim(len(there) - len(goal), len(goal), len(there))
        if self._problem is not None:
            raise self._problem
        return words

    async def _add(self, pools: Sequence[PoolSetting], standing: int) -> bool:
        """False where one did not appear: nothing may be removed then."""
        for count, pool in enumerate(pools, standing + 1):
            await self._step("addpool", _parameter(pool))
            if self._problem is not None and len(await self._standing()) < count:
                return False
        return True

    async def _trim(self, first: int, count: int, total: int) -> str:
        """Keep `count` pools from `first` on; from the last down, for numbers move up."""
        await self._step("switchpool", str(first))
        words = ""
        for number in reversed(range(total)):
            if not first <= number < first + count:
                words = await self._step("removepool", str(number))
        return words

    async def _settle(self, note: Note) -> None:
        """Drop the note if the change is whole or undone, else make it so as far as can be."""
        self._problem = None
        try:
            await self._resolve(note)
        except DriverError:
            return  # the note stays: `recover` sees to it

    async def _resolve(self, note: Note) -> Receipt:
        before, after = _targets(note.pools_before), _targets(note.pools_after)
        there = await self._standing()
        pools = note.pools_after if _ends_with(there, after) else note.pools_before
        receipt = await ordered(self._go_to(pools, there), pools_are(pools, POOLS_S))
        there = await self._standing()
        if there in (before, after) or _ends_with(there, after):
            await unfinished.finish(self._context.memory)
        return receipt

    async def _go_to(self, pools: Sequence[PoolSetting], there: Targets) -> str:
        goal = _targets(pools)
        if there == goal:
            return "these pools stand already: nothing was sent"
        if not _ends_with(there, goal) and there[: len(goal)] != goal:
            return await self._replace(pools)
        first = len(there) - len(goal) if _ends_with(there, goal) else 0
        words = await self._trim(first, len(goal), len(there))
        if self._problem is not None:
            raise self._problem
        return words

    # --- single commands -------------------------------------------------------------------

    async def _step(self, command: str, parameter: str) -> str:
        try:
            return await self._ask(command, parameter)
        except (NoResources, OutOfRange):
            raise
        except DriverError as error:
            if not error.sent and not isinstance(error, Refused):
                raise
            self._problem = self._problem or _without_secrets(error)
            return ""

    async def _restart(self) -> str:
        return await self._ask("restart", None)

    async def _ask(self, command: str, parameter: str | None) -> str:
        deadline = Deadline(self._context.clock, STEP_S)
        return status_of(await self._rpc.ask(command, parameter, deadline=deadline)).message

    async def _pools(self) -> tuple[PoolSetting, ...]:
        deadline = Deadline(self._context.clock, STEP_S)
        found = rows(await self._rpc.ask("pools", deadline=deadline), "POOLS")
        return tuple(
            PoolSetting(str(row["URL"]), str(row.get("User", "")))
            for row in found
            if row.get("URL")
        )

    async def _standing(self) -> Targets:
        return _targets(await self._pools())


def _without_secrets(error: DriverError) -> DriverError:
    """Without what a device repeats of the order: `addpool` carries a password."""
    if isinstance(error, Refused) and error.code == INVALID_DETAILS:
        return Refused(error.code, "invalid details of a pool")
    if isinstance(error, BadReply):
        plain = BadReply("no usable answer to an order")
        plain.sent = error.sent
        return plain
    return error


def _targets(pools: Sequence[PoolSetting]) -> Targets:
    return tuple(pool_target(pool.url, pool.user) for pool in pools)


def _ends_with(there: Targets, goal: Targets) -> bool:
    return bool(goal) and there[-len(goal) :] == goal


def _begun(there: Targets, goal: Targets) -> int:
    """How many of the wanted pools stand at the end already."""
    lengths = range(min(len(there), len(goal)), 0, -1)
    return next((size for size in lengths if there[-size:] == goal[:size]), 0)


def _parameter(pool: PoolSetting) -> str:
    parts = (pool.url, pool.user, pool.password)
    return ",".join(part.replace("\\", "\\\\").replace(",", "\\,") for part in parts)
