"""What is written to the web side of MSKMiner.

Source: one published fork of pyasic (`miner_pause`, `miner_resume`, `miner_settings` with three
places for pools, each a POST under `/api`). What a paused machine shows is not known, so the hash
rate has to prove it; its API shows no passwords of pools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from drivers.actions import Answer, Check, Expectation, Latency, Receipt, Relation
from drivers.api import Context
from drivers.asic import unfinished
from drivers.asic.antminer.configuration import said, targets
from drivers.asic.effects import pools_are, within
from drivers.asic.unfinished import Note
from drivers.capabilities import PoolSetting
from drivers.errors import DriverError, Refused
from drivers.wire.cgminer import CgminerRpc, rows
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import WebClient

WRITE_S = 30.0
PLACES = 3
PAUSED_S, RESUMED_S, POOLS_S = 240.0, 600.0, 300.0
ACTIONS: Mapping[str, Latency] = MappingProxyType(
    {"pause": Latency.MINUTE, "resume": Latency.MINUTES, "set_pools": Latency.MINUTE}
)
_JSON = {"Content-Type": "application/json"}
_LEAST_THS = 1e-9


class MskOrders:
    """What is written to one machine; made anew for each action."""

    __slots__ = ("_context", "_rpc", "_web")

    def __init__(self, web: WebClient, rpc: CgminerRpc, context: Context) -> None:
        self._web = web
        self._rpc = rpc
        self._context = context

    async def pause(self) -> Receipt:
        """Stop hashing."""
        return await ordered(self._send("miner_pause"), _rate(Relation.AT_MOST, 0.0, PAUSED_S))

    async def resume(self) -> Receipt:
        """Hash again."""
        hashes = _rate(Relation.AT_LEAST, _LEAST_THS, RESUMED_S)
        return await ordered(self._send("miner_resume"), hashes)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace all pools in one write; what stood before is noted first."""
        within(len(pools), 1, PLACES, "pools")
        await self.recover()
        before, after = await self._pools(), tuple(pools)
        if not before:
            raise Refused(None, "it shows no pools: it may be booting")
        at = self._context.clock.now()
        note = Note(action="set_pools", at=at, pools_before=before, pools_after=after)
        await unfinished.begin(self._context.memory, note)
        receipt = await self._write(after)
        await self._finish(before, after)
        return receipt

    async def recover(self) -> Receipt | None:
        """See what an interrupted change came to; put the old pools back if they went."""
        note = unfinished.under_way(self._context.memory)
        if note is None:
            return None
        there = targets(await self._pools())
        for pools, which in ((note.pools_after, "new"), (note.pools_before, "old")):
            if there == targets(pools):
                await unfinished.finish(self._context.memory)
                words = f"the {which} pools are in place: nothing was sent"
                expectation = pools_are(pools, POOLS_S)
                return Receipt(answer=Answer.ACCEPTED, words=words, expectation=expectation)
        receipt = await self._write(note.pools_before)
        await self._finish(note.pools_before)
        return receipt

    async def _finish(self, *lists: Sequence[PoolSetting]) -> None:
        try:
            there = targets(await self._pools())
        except DriverError:
            return
        if there in [targets(pools) for pools in lists]:
            await unfinished.finish(self._context.memory)

    async def _pools(self) -> tuple[PoolSetting, ...]:
        found = rows(await self._rpc.ask("pools"), "POOLS")
        return tuple(
            PoolSetting(str(row["URL"]), str(row.get("User", "")))
            for row in found
            if row.get("URL")
        )

    async def _write(self, pools: Sequence[PoolSetting]) -> Receipt:
        places = [{"url": pool.url, "user": pool.user, "pass": pool.password} for pool in pools]
        places += [{"url": "", "user": "", "pass": ""}] * (PLACES - len(places))
        order = self._send("miner_settings", {"pools": places})
        return await ordered(order, pools_are(pools, POOLS_S, look_after_s=10.0))

    async def _send(self, name: str, content: dict[str, Any] | None = None) -> str:
        deadline = Deadline(self._context.clock, WRITE_S)
        body = msgspec.json.encode(content or {})
        reply = await self._web.request("POST", f"/api/{name}", deadline, headers=_JSON, body=body)
        return said(reply, name)


def _rate(relation: Relation, ths: float, until_s: float) -> Expectation:
    """A machine of this firmware says nothing of a pause but by its rate."""
    check = Check("hashrate_ths", relation, ths)
    look_after_s = 15.0 if relation is Relation.AT_MOST else 90.0
    return Expectation(any_of=((check,),), look_after_s=look_after_s, until_s=until_s)
