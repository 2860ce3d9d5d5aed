"""What is written to Bitmain's pages: mode and pools by the whole configuration, light, reboot.

Port 4028 gives nobody rights to write. `set_miner_conf.cgi` takes some 21 s to answer, and starts
the mining program anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from drivers.actions import Answer, Check, Expectation, Latency, Receipt, Relation
from drivers.api import Context
from drivers.asic import unfinished
from drivers.asic.antminer import configuration as conf
from drivers.asic.antminer.answers import MODES, SLEEPING
from drivers.asic.antminer.configuration import Configuration
from drivers.asic.antminer.web import CONFIGURATION, LIGHT, path_of, stands
from drivers.asic.effects import among, asleep, awake, pools_are, restarted, shows, within
from drivers.asic.unfinished import Note
from drivers.capabilities import PoolSetting
from drivers.errors import DriverError, Refused
from drivers.wire.cgminer import CgminerRpc, rows
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import WebClient

WRITE_S = 35.0
"""21 s have been seen until `set_miner_conf.cgi` answered."""
READ_S = 10.0
ASLEEP_S, AWAKE_S, RESTART_S, LIGHT_S = 240.0, 600.0, 600.0, 60.0
"""How long each may take to show: boards are tuned for minutes before they hash."""
SHOWS_S, HASHES_S = 25.0, 90.0
"""The mining program starts anew behind the answer."""
TEXT = {"Content-Type": "text/plain;charset=UTF-8"}
"""What the machine's own page sends its JSON as."""
ALONE = {"Connection": "close"}
"""An HTTP client sends a GET again by itself where a kept connection ends without an answer."""
NORMAL = 0
MEMORY = "configuration"
"""The key of the last good configuration in `Memory`."""

MODERN: Mapping[str, Latency] = MappingProxyType(
    {
        "pause": Latency.MINUTE,
        "resume": Latency.MINUTES,
        "set_mode": Latency.MINUTES,
        "set_pools": Latency.MINUTE,
        "locate": Latency.SECONDS,
        "reboot": Latency.MINUTES,
        "factory_reset": Latency.MINUTES,
    }
)
"""Since the nineteenth series."""
SLEEPLESS: Mapping[str, Latency] = MappingProxyType({"reboot": Latency.MINUTES})
"""Before it: another form of configuration, and no sleep."""
NOTHING: Mapping[str, Latency] = MappingProxyType({})


class Good(msgspec.Struct, frozen=True):
    """The last configuration that was seen whole, and the mode before sleep."""

    build: str | None
    mode: int
    configuration: Configuration


class Orders:
    """What is written to one machine; made anew for each action."""

    __slots__ = ("_build", "_context", "_rpc", "_web")

    def __init__(
        self, web: WebClient, rpc: CgminerRpc, context: Context, build: str | None
    ) -> None:
        self._web = web
        self._rpc = rpc
        self._context = context
        self._build = build

    # --- mode --------------------------------------------------------------------------------

    async def pause(self) -> Receipt:
        """Put it to sleep; the mode before that is noted for `resume`."""
        found = await self._whole()
        return await self._enter(found, SLEEPING, asleep(ASLEEP_S, look_after_s=SHOWS_S))

    async def resume(self) -> Receipt:
        """Take up the mode that it had before it slept."""
        found = await self._whole()
        expectation = awake(AWAKE_S, look_after_s=HASHES_S)
        mode = conf.mode_of(found)
        if mode != SLEEPING and await self._hashes():
            # A write would start the mining program anew.
            words = "it hashes: nothing was sent"
            return Receipt(answer=Answer.ACCEPTED, words=words, expectation=expectation)
        return await self._enter(found, self._awake_mode(found), expectation)

    async def set_mode(self, mode: str) -> Receipt:
        """Enter a mode by its name."""
        among(mode, tuple(MODES.values()), "the mode")
        if mode == MODES[SLEEPING]:
            return await self.pause()
        found = await self._whole()
        number = next(number for number, word in MODES.items() if word == mode)
        return await self._enter(found, number, _in_mode(mode, conf.level_of(found)))

    async def _enter(self, found: Configuration, mode: int, expectation: Expectation) -> Receipt:
        if conf.mode_of(found) is None:
            raise Refused(None, "its configuration has no mode: this firmware cannot sleep")
        await self._keep(found, self._awake_mode(found) if mode == SLEEPING else mode)
        return await ordered(self._write(conf.with_mode(found, mode)), expectation)

    def _awake_mode(self, found: Configuration) -> int:
        mode, good = conf.mode_of(found), self._good()
        if mode is not None and mode != SLEEPING:
            return mode
        return good.mode if good else NORMAL

    async def _hashes(self) -> bool:
        try:
            stats = await self._rpc.ask("stats")
        except DriverError:
            return False
        return any(not stands(row) for row in rows(stats, "STATS"))

    # --- pools -------------------------------------------------------------------------------

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace the pools, keeping everything else."""
        await self.recover()
        found = await self._whole()
        within(len(pools), 1, conf.slots_of(found), "pools")
        before, after = conf.pools_of(found), tuple(pools)
        note = Note(
            action="set_pools",
            at=self._context.clock.now(),
            pools_before=before,
            pools_after=after,
        )
        await self._keep(found, self._awake_mode(found))
        await unfinished.begin(self._context.memory, note)
        receipt = await self._write_pools(found, after)
        await self._finish(before, after)
        return receipt

    async def recover(self) -> Receipt | None:
        """See what an interrupted change of pools came to; put the old ones back if they went."""
        note = unfinished.under_way(self._context.memory)
        if note is None:
            return None
        found = await self._whole()
        there = conf.targets(conf.pools_of(found))
        for pools, which in ((note.pools_after, "new"), (note.pools_before, "old")):
            if pools and there == conf.targets(pools):
                await unfinished.finish(self._context.memory)
                words = f"the {which} pools are in place: nothing was sent"
                expectation = pools_are(pools, RESTART_S)
                return Receipt(answer=Answer.ACCEPTED, words=words, expectation=expectation)
        back = note.pools_before or note.pools_after
        receipt = await self._write_pools(found, back)
        await self._finish(back)
        return receipt

    async def _write_pools(self, found: Configuration, pools: Sequence[PoolSetting]) -> Receipt:
        expectation = pools_are(pools, RESTART_S, look_after_s=5.0)
        return await ordered(self._write(conf.with_pools(found, pools)), expectation)

    async def _finish(self, *lists: Sequence[PoolSetting]) -> None:
        """Drop the note where one of these lists is whole in place; else `recover` sees to it."""
        try:
            found = await self._read()
        except DriverError:
            return
        if conf.targets(conf.pools_of(found)) in [conf.targets(pools) for pools in lists]:
            await unfinished.finish(self._context.memory)

    # --- the rest ----------------------------------------------------------------------------

    async def locate(self, *, on: bool) -> Receipt:
        """Switch the light."""
        body = {"blink": "true" if on else "false"}  # a word: no Boolean
        order = self._send("POST", "blink", READ_S, body)
        return await ordered(order, shows("locating", on, LIGHT_S))

    async def reboot(self) -> Receipt:
        """Boot the machine anew: it may answer, and drops every connection."""
        order = self._send("GET", "reboot", READ_S)
        return await ordered(order, restarted(RESTART_S, look_after_s=30.0))

    async def factory_reset(self) -> Receipt:
        """Put everything back; no reading proves it, for nobody knows the factory's pools."""
        return await ordered(self._send("GET", "reset_conf", WRITE_S), None)

    # --- the configuration -------------------------------------------------------------------

    async def _whole(self) -> Configuration:
        """The configuration, fit to be written back; raises `Refused` where it is not."""
        found, good = await self._read(), self._good()
        if good and good.build == self._build:
            missing = conf.lacking(found, good.configuration)
            if missing:
                raise Refused(None, f"its configuration lacks {', '.join(missing)[:100]}")
        if not conf.pools_of(found) and await self._shows_pools():
            raise Refused(None, "its configuration has no pools while port 4028 shows some")
        return found

    async def _shows_pools(self) -> bool:
        try:
            reply = await self._rpc.ask("pools")
        except DriverError:
            problem = "its configuration has no pools, and port 4028 does not tell whether it has"
            raise Refused(None, problem) from None
        return any(row.get("URL") or row.get("url") for row in rows(reply, "POOLS"))

    async def _read(self) -> Configuration:
        deadline = Deadline(self._context.clock, READ_S)
        return conf.parse(await self._web.json(path_of(CONFIGURATION), deadline))

    def _good(self) -> Good | None:
        raw = self._context.memory.get(MEMORY)
        if raw is None:
            return None
        try:
            return msgspec.json.decode(raw, type=Good)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    async def _keep(self, found: Configuration, mode: int) -> None:
        """Keep a copy before it is written over; one without pools does not replace another."""
        if not conf.pools_of(found):
            return
        good = Good(self._build, mode, conf.with_mode(found, mode))
        if good != self._good():
            await self._context.memory.put(MEMORY, msgspec.json.encode(good))

    async def _write(self, whole: Configuration) -> str:
        return await self._send("POST", "set_miner_conf", WRITE_S, whole)

    async def _send(
        self, method: str, name: str, seconds: float, body: dict[str, Any] | None = None
    ) -> str:
        reply = await self._web.request(
            method,
            path_of(name),
            Deadline(self._context.clock, seconds),
            headers=ALONE if body is None else TEXT,
            body=None if body is None else msgspec.json.encode(body),
        )
        return conf.said(reply, name)


def _in_mode(word: str, level: int | None) -> Expectation:
    """The mode by its name; a reading adds the level of the clock where that is not full."""
    words = [word] if level is None else [word, f"{word}, {level} %"]
    return Expectation(
        any_of=tuple((Check("mode", Relation.EQUALS, each),) for each in words),
        look_after_s=SHOWS_S,
        until_s=AWAKE_S,
    )


PAGES_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"pause": (CONFIGURATION,), "resume": (CONFIGURATION,), "set_mode": (CONFIGURATION,)}
    | {"set_pools": (), "locate": (LIGHT,)}
)
"""The pages in which an order shows, where `stats` and `pools` do not tell."""
