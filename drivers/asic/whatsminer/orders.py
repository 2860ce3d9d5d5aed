"""The orders of a Whatsminer's API 2 on port 4028, and how their effects show later.

Sources: MicroBT's manuals 2.0.3 to 2.0.5; what pyasic, MicroBT's own worker for MDK and other
programs send. Values are words everywhere. Orders that restart the mining program (limit, modes)
end a share that was set, and are often not answered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from drivers.actions import Check, Expectation, Latency, Receipt, Relation
from drivers.asic import effects
from drivers.asic.whatsminer.access import Access
from drivers.asic.whatsminer.share import Share
from drivers.capabilities import PoolSetting
from drivers.errors import OutOfRange
from drivers.model import State

LATENCIES: Mapping[str, Latency] = {
    "pause": Latency.MINUTE,
    "resume": Latency.MINUTES,
    "restart_mining": Latency.MINUTES,
    "reboot": Latency.MINUTES,
    "limit_power": Latency.MINUTES,
    "throttle": Latency.SECONDS,
    "set_mode": Latency.MINUTES,
    "set_pools": Latency.MINUTE,
    "locate": Latency.SECONDS,
    "set_hostname": Latency.MINUTE,
    "factory_reset": Latency.MINUTES,
}
MODES = ("low", "normal", "high")
POOLS_MAX = 3
LIMIT_MAX_W = 99_999
"""As both manuals say. They allow 0, too: firmware takes that for no limit at all (a field note
in a published controller), and it would not be a limit."""
BLINK = {"color": "red", "period": 200, "duration": 100, "start": 0}
"""The manual's own example; `auto` hands the lights back."""

ANSWER_S = 15.0
"""Even the fast orders are answered by a daemon that has other things to do."""
FAST_ANSWER_S = 8.0
RESTART_ANSWER_S = 35.0
PAUSED_UNTIL_S = 180.0
RESTARTED_AFTER_S = 15.0
RESTARTED_UNTIL_S = 300.0
BOOTED_AFTER_S = 45.0
BOOTED_UNTIL_S = 600.0
MINES_AFTER_S = 90.0
MINES_UNTIL_S = 600.0
SHOWN_UNTIL_S = 120.0
SOME_THS = 0.1


class Orders:
    """Gives orders to one machine."""

    __slots__ = ("_access", "share")

    def __init__(self, access: Access) -> None:
        self._access = access
        self.share = Share()

    async def pause(self) -> Receipt:
        """`respbefore` has it answer before the power goes; a word, as the manual wants it."""
        fields = {"respbefore": "true"}
        return await self._access.order("power_off", fields, stopped(), RESTART_ANSWER_S)

    async def resume(self) -> Receipt:
        """The mining program starts and ramps up, for minutes."""
        return await self._access.order("power_on", {}, hashes_again(), RESTART_ANSWER_S)

    async def restart_mining(self) -> Receipt:
        """Seen by `Elapsed`, which begins anew."""
        expectation = effects.restarted(RESTARTED_UNTIL_S, look_after_s=RESTARTED_AFTER_S)
        return await self._access.order("restart_btminer", {}, expectation, RESTART_ANSWER_S)

    async def reboot(self) -> Receipt:
        """Often without an answer."""
        expectation = effects.restarted(BOOTED_UNTIL_S, look_after_s=BOOTED_AFTER_S)
        return await self._access.order("reboot", {}, expectation, ANSWER_S)

    async def limit_power(self, limit_w: float) -> Receipt:
        """The machine restarts its mining program; it clamps what is above its ordinary power."""
        effects.within(limit_w, 1, LIMIT_MAX_W, "W")
        watts = math.floor(limit_w)
        expectation = effects.limited(watts, RESTARTED_UNTIL_S, look_after_s=RESTARTED_AFTER_S)
        fields = {"power_limit": str(watts)}
        return await self._access.order("adjust_power_limit", fields, expectation, RESTART_ANSWER_S)

    async def throttle(self, percent: float) -> Receipt:
        """Fast mode: within a second, once the frequency is up; lost with the next restart."""
        expectation = self.share.hold(percent)
        fields = {"percent": str(math.floor(percent))}
        return await self._access.order("set_power_pct", fields, expectation, FAST_ANSWER_S)

    async def set_mode(self, mode: str) -> Receipt:
        """The mining program restarts, mostly without an answer."""
        effects.among(mode, MODES, "mode")
        expectation = effects.shows("mode", mode, RESTARTED_UNTIL_S, look_after_s=RESTARTED_AFTER_S)
        return await self._access.order(f"set_{mode}_power", {}, expectation, ANSWER_S)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """All three places in one command: those that stay empty are written empty."""
        fit(pools)
        fields = {}
        for at in range(POOLS_MAX):
            pool = pools[at] if at < len(pools) else None
            fields[f"pool{at + 1}"] = pool.url if pool else ""
            fields[f"worker{at + 1}"] = pool.user if pool else ""
            fields[f"passwd{at + 1}"] = pool.password if pool else ""
        expectation = effects.pools_are(pools, SHOWN_UNTIL_S, look_after_s=5.0)
        return await self._access.order("update_pools", fields, expectation, ANSWER_S)

    async def locate(self, *, on: bool) -> Receipt:
        """`ledstat` shows whose the lights are."""
        fields = BLINK if on else {"param": "auto"}
        expectation = effects.shows("locating", on, SHOWN_UNTIL_S)
        return await self._access.order("set_led", fields, expectation, ANSWER_S)

    async def set_hostname(self, hostname: str) -> Receipt:
        """The name that `get_miner_info` shows."""
        expectation = effects.named(hostname, SHOWN_UNTIL_S)
        return await self._access.order(
            "set_hostname", {"hostname": hostname}, expectation, ANSWER_S
        )

    async def factory_reset(self) -> Receipt:
        """Nothing proves it: the machine may come back elsewhere, its API closed."""
        return await self._access.order("factory_reset", {}, None, RESTART_ANSWER_S)


def fit(pools: Sequence[PoolSetting]) -> None:
    """Raise where there are more pools than places, or none at all."""
    if not 1 <= len(pools) <= POOLS_MAX:
        raise OutOfRange(f"{len(pools)} pools", f"1 to {POOLS_MAX} pools")


def stopped() -> Expectation:
    """It says so and hashes nothing; or its mining program is down, and shows no board."""
    asleep = effects.asleep(PAUSED_UNTIL_S, look_after_s=5.0)
    down = (Check("state", Relation.EQUALS, State.SLEEPING), Check("boards", Relation.EQUALS, ()))
    return Expectation(
        any_of=(*asleep.any_of, down), look_after_s=asleep.look_after_s, until_s=asleep.until_s
    )


def hashes_again() -> Expectation:
    """It mines or waits for a pool; or it ramps up, which takes half an hour, and hashes."""
    awake = effects.awake(MINES_UNTIL_S, look_after_s=MINES_AFTER_S)
    ramps = (
        Check("state", Relation.EQUALS, State.STARTING),
        Check("hashrate_ths", Relation.AT_LEAST, SOME_THS),
    )
    return Expectation(
        any_of=(*awake.any_of, ramps), look_after_s=awake.look_after_s, until_s=awake.until_s
    )
