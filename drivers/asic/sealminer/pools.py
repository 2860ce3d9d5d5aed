"""The pools of a SealMiner: one form with three places, read before and after it is sent.

`get_miner_poolconf.php` shows the stored list with its passwords, `set_miner_poolconf.php` replaces
it whole (bitcap-ipr). Its answer tells of a file and of bdminer's API, so no restart follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from drivers.actions import Answer, Expectation, Receipt
from drivers.api import Context
from drivers.asic import effects, parts
from drivers.asic.fields import text
from drivers.asic.page_parts import listed
from drivers.asic.sealminer.orders import Orders
from drivers.asic.unfinished import Note, begin, finish, under_way
from drivers.capabilities import UNFINISHED, PoolSetting
from drivers.errors import BadReply, DriverError, OutOfRange, Refused
from drivers.model import pool_target
from drivers.wire.cgminer import CgminerRpc, rows
from drivers.wire.ordering import ordered

PLACES = 3
ACTION = "set_pools"
UNTIL_S = 300.0
_STORED, _FORM = "get_miner_poolconf", "set_miner_poolconf"


class PoolForm:
    """Replaces the list of one machine, and puts back one that was lost on the way."""

    __slots__ = ("_context", "_orders", "_rpc", "awaited")

    def __init__(self, context: Context, rpc: CgminerRpc, orders: Orders) -> None:
        self._context = context
        self._rpc = rpc
        self._orders = orders
        self.awaited: tuple[str, ...] | None = None
        """The list that a reading has to show before the note of it is dropped."""

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Send the form. Refuses where no list is stored beside one that is in use."""
        _check(pools)
        before = await self._stored()
        memory, now = self._context.memory, self._context.clock.now()
        note = Note(action=ACTION, at=now, pools_before=before, pools_after=tuple(pools))
        await begin(memory, note)
        self.awaited = _targets(pools)
        receipt = await ordered(self._send(pools), _working_for(pools))
        if receipt.answer is Answer.REFUSED:
            with suppress(DriverError):  # then the note stays until the next start
                await self.settle(_targets(await self._stored()), _targets(before))
        return receipt

    async def settle(
        self, shown: tuple[str, ...] | None, wanted: tuple[str, ...] | None = None
    ) -> None:
        """Drop the note where the machine shows the whole of the list that is waited for."""
        if shown is not None and shown == (wanted or self.awaited):
            self.awaited = None
            await finish(self._context.memory)

    async def recover(self) -> Receipt | None:
        """Put the old list back where the stored one is gone."""
        memory = self._context.memory
        note = under_way(memory)
        if note is None or note.action != ACTION:
            if memory.get(UNFINISHED) is not None:
                await finish(memory)
            return None
        stored = await self._stored()
        if stored or not note.pools_before:
            await finish(memory)
            words = f"{len(stored)} pools are stored"
            return Receipt(answer=Answer.ACCEPTED, words=words, expectation=_working_for(stored))
        before = note.pools_before
        self.awaited = _targets(before)
        return await ordered(self._send(before), _working_for(before))

    async def _stored(self) -> tuple[PoolSetting, ...]:
        page = await self._orders.page(_STORED)
        if not isinstance(page.get("pools"), list):
            raise BadReply("the page of the pools has none")
        stored = stored_in(page)
        if not stored and await self._in_use():
            raise Refused(None, "the machine shows no stored pools: it may be booting")
        return stored

    async def _in_use(self) -> bool:
        reply = await self._rpc.ask("pools", deadline=self._orders.deadline())
        return bool(parts.pools(rows(reply, "POOLS")))

    async def _send(self, pools: Sequence[PoolSetting]) -> str:
        try:
            words = await self._orders.post(_FORM, form_of(pools))
        except Refused as error:
            raise Refused(error.code, _discreet(error.message, pools)) from None
        except BadReply:
            raise BadReply("no usable answer to the form of the pools") from None
        return _discreet(words, pools)


def form_of(pools: Sequence[PoolSetting]) -> dict[str, str]:
    """The form: every place, empty ones as empty words. Pure."""
    form: dict[str, str] = {}
    for at in range(PLACES):
        pool = pools[at] if at < len(pools) else PoolSetting("", "", "")
        form |= {
            f"poolurl{at + 1}": pool.url,
            f"pooluser{at + 1}": pool.user,
            f"poolpwd{at + 1}": pool.password,
        }
    return form


def stored_in(page: dict[str, Any]) -> tuple[PoolSetting, ...]:
    """The stored pools, with their passwords. Pure."""
    found = ((row, text(row.get("url"))) for row in listed(page.get("pools"), parts.POOLS_LIMIT))
    return tuple(
        PoolSetting(url, text(row.get("user")) or "", str(row.get("pass") or ""))
        for row, url in found
        if url
    )


def _check(pools: Sequence[PoolSetting]) -> None:
    if not 1 <= len(pools) <= PLACES:
        raise OutOfRange(f"{len(pools)} pools", f"1 to {PLACES}")
    if not all(pool.url and pool.user for pool in pools):
        raise OutOfRange("a pool without URL or user", "both")


def _working_for(pools: Sequence[PoolSetting]) -> Expectation:
    return effects.pools_are(pools, UNTIL_S, look_after_s=5.0)


def _targets(pools: Sequence[PoolSetting]) -> tuple[str, ...]:
    return tuple(pool_target(pool.url, pool.user) for pool in pools)


def _discreet(words: str, pools: Sequence[PoolSetting]) -> str:
    for pool in pools:
        words = words.replace(pool.password, "...") if len(pool.password) > 3 else words
    return words
