"""What is written to MARA's pages: the configuration as a whole, the light, and maintenance.

The configuration holds the pools, so what stood there is noted before each write of it, and looked
at after it. See `configuration` for where the words are from.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from drivers.actions import Answer, Check, Expectation, Latency, Receipt, Relation
from drivers.api import Context
from drivers.asic import unfinished
from drivers.asic.effects import among, asleep, awake, pools_are, restarted, shows, within
from drivers.asic.fields import text, truth
from drivers.asic.mara import configuration as conf
from drivers.asic.mara.configuration import AUTO, MODES, SLEEP, STOCK, Config
from drivers.asic.mara.pages import BRIEF, CONFIG, LOCATE, POOLS, payload, reduce_pools
from drivers.asic.page_parts import section
from drivers.asic.unfinished import Note
from drivers.capabilities import PoolSetting
from drivers.errors import DriverError, Refused
from drivers.model import pool_target
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import Pass, WebClient, decoded

BASE = "/kaonsu/v1/"
HISTORY = "log?type=miner_config_history"
MAINTENANCE = "maintenance"
ORDER_S = 35.0
"""Nobody says how long a write of the configuration takes; Bitmain's takes 21 s."""
ASLEEP_S, AWAKE_S, RESTART_S, REBOOT_S, SAVED_S, LIGHT_S = 240.0, 900.0, 600.0, 900.0, 240.0, 60.0
BEFORE_SLEEP = "mode-before-sleep"
"""The key in `Memory` of the mode that `resume` takes up."""

LATENCIES: MappingProxyType[str, Latency] = MappingProxyType(
    {
        "pause": Latency.MINUTE,
        "resume": Latency.MINUTES,
        "restart_mining": Latency.MINUTES,
        "reboot": Latency.MINUTES,
        "limit_power": Latency.MINUTES,
        "set_mode": Latency.MINUTES,
        "set_pools": Latency.MINUTE,
        "locate": Latency.SECONDS,
    }
)
NOTHING: MappingProxyType[str, Latency] = MappingProxyType({})
_JSON = {"Content-Type": "application/json"}


class Waking(msgspec.Struct, frozen=True):
    """What to wake up in, and whether somebody chose it while the machine slept."""

    mode: str
    chosen: bool = False


class Orders:
    """What is written to one machine; made anew for each action."""

    __slots__ = ("_clock", "_deadline", "_memory", "_web")

    def __init__(self, web: WebClient, context: Context) -> None:
        self._web = web
        self._clock = context.clock
        self._memory = context.memory
        self._deadline = Deadline(context.clock, ORDER_S)

    # --- mode --------------------------------------------------------------------------------

    async def pause(self) -> Receipt:
        """Enter the mode `Sleep`; the mode before that is noted first."""
        found = await self._whole()
        mode = conf.mode_of(found)
        if mode != SLEEP:
            await self._wake_in(Waking(mode))
        expectation = asleep(ASLEEP_S, look_after_s=15.0)
        return await self._change("pause", found, conf.with_mode(found, SLEEP), expectation)

    async def resume(self) -> Receipt:
        """Leave it for the mode from which the machine went to sleep."""
        found = await self._whole()
        expectation = awake(AWAKE_S, look_after_s=90.0)
        if conf.mode_of(found) != SLEEP:
            words = "it does not sleep: nothing was sent"
            return Receipt(answer=Answer.ACCEPTED, words=words, expectation=expectation)
        changed = conf.with_mode(found, await self._mode_to_wake_in())
        return await self._change("resume", found, changed, expectation)

    async def set_mode(self, mode: str) -> Receipt:
        """Enter one of the modes in which it mines."""
        among(mode.lower(), tuple(MODES), "the mode")
        found = await self._whole()
        changed = conf.with_mode(found, MODES[mode.lower()])
        expectation = shows("mode", mode.lower(), RESTART_S, look_after_s=15.0)
        return await self._change("set_mode", found, changed, expectation)

    async def limit_power(self, limit_w: float) -> Receipt:
        """Aim at a power in the mode `Auto`; a machine that sleeps does so when it wakes."""
        within(limit_w, 1.0, None, "W")
        target_w = int(limit_w)
        found = await self._whole()
        changed = conf.with_target(found, target_w)
        sleeps = conf.mode_of(found) == SLEEP
        if sleeps:
            await self._wake_in(Waking(AUTO, chosen=True))
        else:
            changed = conf.with_mode(changed, AUTO)
        checks = (
            Check("power_limit_w", Relation.EQUALS, target_w),
            Check("mode", Relation.EQUALS, (SLEEP if sleeps else AUTO).lower()),
        )
        expectation = Expectation(any_of=(checks,), look_after_s=15.0, until_s=RESTART_S)
        return await self._change("limit_power", found, changed, expectation)

    async def _mode_to_wake_in(self) -> str:
        """What was chosen meanwhile, else what the machine's log says, else what we noted.

        The log knows of a sleep that others ordered, too.
        """
        raw = self._memory.get(BEFORE_SLEEP)
        try:
            noted = msgspec.json.decode(raw, type=Waking) if raw else None
        except msgspec.DecodeError:
            noted = None
        if noted and noted.chosen:
            return noted.mode
        try:
            logged = conf.mode_before_sleep(await self._page(HISTORY))
        except DriverError:
            logged = None
        return logged or (noted.mode if noted else STOCK)

    async def _wake_in(self, waking: Waking) -> None:
        await self._memory.put(BEFORE_SLEEP, msgspec.json.encode(waking))

    # --- pools -------------------------------------------------------------------------------

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace the pools, keeping the rest of the configuration."""
        within(len(pools), 1, None, "pools")
        found = await self._whole()
        changed = conf.with_pools(found, pools)
        expectation = pools_are(pools, SAVED_S, look_after_s=5.0)
        return await self._change("set_pools", found, changed, expectation)

    async def recover(self) -> Receipt | None:
        """Give the machine pools again, where an interrupted write has left it without."""
        note = unfinished.under_way(self._memory)
        if note is None:
            return None
        found = conf.whole(await self._page(CONFIG))
        wanted = note.pools_after or note.pools_before
        if conf.pools_of(found) or not wanted:
            await unfinished.finish(self._memory)
            return Receipt(answer=Answer.ACCEPTED, words="its pools stand: nothing was sent")
        ticket = self._ticket()
        receipt = await ordered(
            self._save(ticket, conf.with_pools(found, wanted)), pools_are(wanted, SAVED_S)
        )
        await self._look_back(receipt, (), wanted)
        return receipt

    # --- light and maintenance ---------------------------------------------------------------

    async def locate(self, *, on: bool) -> Receipt:
        """Blink."""
        await self._page(LOCATE)
        order = self._post(self._ticket(), LOCATE, {"blinking": on})
        return await ordered(order, shows("locating", on, LIGHT_S))

    async def restart_mining(self) -> Receipt:
        """Start the mining program anew."""
        return await self._maintain("reload", restarted(RESTART_S, look_after_s=15.0))

    async def reboot(self) -> Receipt:
        """Boot the whole machine."""
        return await self._maintain("reboot", restarted(REBOOT_S, look_after_s=90.0))

    async def _maintain(self, kind: str, expectation: Expectation) -> Receipt:
        await self._page(BRIEF)
        return await ordered(self._post(self._ticket(), MAINTENANCE, {"type": kind}), expectation)

    # --- the way there -----------------------------------------------------------------------

    async def _whole(self) -> Config:
        """The configuration as it is safe to write back.

        One that lacks the pools that the machine has is half of one, as while it boots.
        """
        found = conf.whole(await self._page(CONFIG))
        if not conf.pools_of(found) and reduce_pools(await self._page(POOLS)):
            raise Refused(None, "its configuration lacks the pools that it has: nothing was sent")
        return found

    async def _change(
        self, action: str, found: Config, changed: Config, expectation: Expectation
    ) -> Receipt:
        ticket = self._ticket()
        before, after = conf.pools_of(found), conf.pools_of(changed)
        now = self._clock.now()
        note = Note(action=action, at=now, pools_before=before, pools_after=after)
        await unfinished.begin(self._memory, note)
        receipt = await ordered(self._save(ticket, changed), expectation)
        await self._look_back(receipt, before, after)
        return receipt

    async def _look_back(
        self,
        receipt: Receipt,
        before: Sequence[PoolSetting],
        after: Sequence[PoolSetting],
    ) -> None:
        """Drop the note where the pools stand; else it stays for `recover`."""
        try:
            shown = _targets(conf.pools_of(conf.whole(await self._page(CONFIG))))
        except DriverError:
            return
        heard = receipt.answer is not Answer.UNANSWERED
        if shown == _targets(after) or (heard and before and shown == _targets(before)):
            await unfinished.finish(self._memory)

    def _ticket(self) -> Pass:
        """What opened the page that was read before a write."""
        return self._web.session or Pass()

    async def _page(self, name: str) -> Any:
        return await self._web.json(BASE + name, self._deadline)

    async def _save(self, ticket: Pass, config: Config) -> str:
        return await self._post(ticket, CONFIG, config)

    async def _post(self, ticket: Pass, name: str, body: object) -> str:
        raw = msgspec.json.encode(body)
        reply = await self._web.send("POST", BASE + name, self._deadline, ticket, _JSON, raw)
        answer = section(payload(decoded(reply, BASE + name)))
        words = text(answer.get("msg"))
        if truth(answer.get("error")):
            raise Refused(None, words or "the machine says that it failed")
        return words or "accepted"


def _targets(pools: Sequence[PoolSetting]) -> tuple[str, ...]:
    return tuple(pool_target(pool.url, pool.user) for pool in pools)
