"""The pools of an Avalon: three places, written one by one, which count from the next boot on.

`setpool,<user>,<password>,<place>,<url>,<worker>,<password>` (A10 manual 2.5; with the place as
Tether's MDK and Foreman send it) wants the user and password of the web pages. No command empties
a place: those beyond the wanted list get its last pool once more, so that nothing of the old list
is left. The machine says who works for it, but never the workers' passwords.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from drivers.actions import Answer, Expectation, Receipt
from drivers.api import Context, Credential, Endpoint
from drivers.asic import effects, parts
from drivers.asic.avalon.orders import BOOT_S, Orders, never_left, unheard
from drivers.asic.unfinished import Note, finish, under_way
from drivers.capabilities import UNFINISHED, PoolSetting
from drivers.errors import BadReply, DriverError, OutOfRange, Refused
from drivers.model import pool_target
from drivers.wire.cgminer import CgminerRpc, rows
from drivers.wire.ordering import ordered

PLACES = 3
FACTORY_CREDENTIAL = Credential("root", "root")
ACTION = "set_pools"
_LOOK_AFTER_S = 30.0
_BREAKS = re.compile(r"[,|\x00-\x1f]")
"""What would end a parameter early."""
_TELLS = re.compile(r"\s*(worker\s?password|passw).*", re.IGNORECASE | re.DOTALL)
"""The firmware repeats what it was given, the worker's password included."""


class Slots:
    """Writes the list of pools of one machine, and finishes what an earlier run began."""

    __slots__ = ("_context", "_endpoint", "_opened_by", "_orders", "_rpc")

    def __init__(
        self, endpoint: Endpoint, context: Context, rpc: CgminerRpc, orders: Orders
    ) -> None:
        self._endpoint = endpoint
        self._context = context
        self._rpc = rpc
        self._orders = orders
        self._opened_by: Credential | None = None

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Write every place, then boot. Raises before anything is written as `OutOfRange` says."""
        _check(pools)
        before = await self._shown()
        places = len(before) or PLACES
        wanted = (*pools, *(pools[-1],) * (min(places, PLACES) - len(pools)))
        await self._note(before, wanted)
        return await ordered(self._write(wanted, before), _working_for(wanted))

    async def recover(self) -> Receipt | None:
        """Write the wanted list to its end: the places are named, so a repeat is harmless.

        Going back would need the workers' passwords of the old list, which nothing shows.
        """
        memory = self._context.memory
        note = under_way(memory)
        if note is None or note.action != ACTION or not note.pools_after:
            if memory.get(UNFINISHED) is not None:
                await finish(memory)
            return None
        wanted = note.pools_after
        expectation = _working_for(wanted)
        if _targets(await self._shown()) == _targets(wanted):
            await finish(memory)
            words = "the pools had all been set"
            return Receipt(answer=Answer.ACCEPTED, words=words, expectation=expectation)
        return await ordered(self._write(wanted, note.pools_before), expectation)

    # --- reading -------------------------------------------------------------------------

    async def _shown(self) -> tuple[PoolSetting, ...]:
        reply = await self._rpc.ask("pools", deadline=self._orders.deadline())
        found = parts.pools(rows(reply, "POOLS"))
        return tuple(PoolSetting(pool.url or "", pool.user or "") for pool in found)

    async def _note(self, before: Sequence[PoolSetting], wanted: Sequence[PoolSetting]) -> None:
        """Replaces the note of an attempt that ended half-way, but not what stood before it."""
        memory = self._context.memory
        earlier = under_way(memory)
        note = Note(
            action=ACTION,
            at=self._context.clock.now(),
            pools_before=earlier.pools_before if earlier else tuple(before),
            pools_after=tuple(wanted),
        )
        await memory.put(UNFINISHED, msgspec.json.encode(note))

    # --- writing -------------------------------------------------------------------------

    async def _write(self, wanted: Sequence[PoolSetting], before: Sequence[PoolSetting]) -> str:
        """All places and the boot; drops the note when every step has been taken.

        That they hold cannot be read back before the boot, nor does it concern the note any more:
        nothing is half done.
        """
        said = ""
        silent: DriverError | None = None
        for place, pool in enumerate(wanted):
            try:
                said = await self._place(place, pool)
            except Refused as error:
                await self._undo(before[:place])
                raise Refused(error.code, _discreet(error.message, pool)) from None
            except DriverError as error:
                if not place and never_left(error):
                    await finish(self._context.memory)
                    raise
                silent = silent or error
        silent = await self._boot() or silent
        await finish(self._context.memory)
        if silent is not None:
            raise unheard(silent)
        return said

    async def _place(self, place: int, pool: PoolSetting) -> str:
        """Write one place, with the first credential that the machine accepts."""
        refusal: Refused | None = None
        for credential in self._candidates():
            try:
                words = await self._set(place, pool, credential)
            except Refused as error:
                refusal = refusal or error
                continue
            self._opened_by = credential
            return words
        raise refusal or Refused(None, "no user and password of the web pages are known")

    async def _set(self, place: int, pool: PoolSetting, credential: Credential) -> str:
        values = (credential.user, credential.password, place, pool.url, pool.user, pool.password)
        try:
            words = await self._orders.set(f"setpool,{','.join(map(str, values))}")
        except BadReply:
            raise BadReply("setpool: no usable answer") from None  # it may repeat the passwords
        return _discreet(words, pool)

    async def _undo(self, before: Sequence[PoolSetting]) -> None:
        """Put back what stood in the places that were written, as far as is known."""
        for place, pool in enumerate(before):
            try:
                await self._place(place, pool)
            except DriverError:
                return  # the note stays: `recover` tries again
        await finish(self._context.memory)

    async def _boot(self) -> DriverError | None:
        try:
            await self._orders.set("reboot,0")
        except DriverError as error:
            return error
        return None

    def _candidates(self) -> tuple[Credential, ...]:
        opened = () if self._opened_by is None else (self._opened_by,)
        known = (*opened, *self._context.credentials(self._endpoint), FACTORY_CREDENTIAL)
        fit = (each for each in known if not _BREAKS.search(each.user + each.password))
        return tuple(dict.fromkeys(fit))


def _check(pools: Sequence[PoolSetting]) -> None:
    if not 1 <= len(pools) <= PLACES:
        raise OutOfRange(f"{len(pools)} pools", f"1 to {PLACES}")
    for at, pool in enumerate(pools, 1):
        if _BREAKS.search(pool.url + pool.user + pool.password) or not pool.url or not pool.user:
            raise OutOfRange(f"pool {at} as it is written", "a URL and a user, without commas")


def _working_for(wanted: Sequence[PoolSetting]) -> Expectation:
    return effects.pools_are(wanted, BOOT_S, look_after_s=_LOOK_AFTER_S)


def _targets(pools: Sequence[PoolSetting]) -> list[str]:
    return [pool_target(pool.url, pool.user) for pool in pools]


def _discreet(words: str, pool: PoolSetting) -> str:
    """The device's words without what is nobody's business."""
    kept = " ".join(_TELLS.sub("", words).split())
    return kept.replace(pool.password, "...") if len(pool.password) > 3 else kept
