"""The orders of a Whatsminer's API 3 on port 4433, and how their effects show later.

Sources: MicroBT's manual (apidoc.whatsminer.com, 2025-11), its organisation's worker for MDK,
asic-rs and other programs. A limit is a number, but a percentage is a word: the worker's authors
found that the firmware reads nothing else, whatever the manual says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from drivers.actions import Receipt
from drivers.asic import effects
from drivers.asic.whatsminer.orders import (
    ANSWER_S,
    BLINK,
    BOOTED_AFTER_S,
    BOOTED_UNTIL_S,
    FAST_ANSWER_S,
    LIMIT_MAX_W,
    MODES,
    RESTART_ANSWER_S,
    RESTARTED_AFTER_S,
    RESTARTED_UNTIL_S,
    SHOWN_UNTIL_S,
    fit,
    hashes_again,
    stopped,
)
from drivers.asic.whatsminer.share import Share
from drivers.asic.whatsminer.v3_access import Access
from drivers.capabilities import PoolSetting


class Orders:
    """Gives orders to one machine."""

    __slots__ = ("_access", "share")

    def __init__(self, access: Access) -> None:
        self._access = access
        self.share = Share()

    async def pause(self) -> Receipt:
        """The mining service stops; the next boot starts it again."""
        return await self._access.order("set.miner.service", "stop", stopped(), RESTART_ANSWER_S)

    async def resume(self) -> Receipt:
        """The mining service starts and ramps up, for minutes."""
        return await self._access.order(
            "set.miner.service", "start", hashes_again(), RESTART_ANSWER_S
        )

    async def restart_mining(self) -> Receipt:
        """Seen by `elapsed`, which begins anew."""
        expectation = effects.restarted(RESTARTED_UNTIL_S, look_after_s=RESTARTED_AFTER_S)
        return await self._access.order(
            "set.miner.service", "restart", expectation, RESTART_ANSWER_S
        )

    async def reboot(self) -> Receipt:
        """It takes effect at once, and may cut its own answer off."""
        expectation = effects.restarted(BOOTED_UNTIL_S, look_after_s=BOOTED_AFTER_S)
        return await self._access.order("set.system.reboot", None, expectation, ANSWER_S)

    async def limit_power(self, limit_w: float) -> Receipt:
        """The machine restarts; what is above its ordinary power it does not take."""
        effects.within(limit_w, 1, LIMIT_MAX_W, "W")
        watts = math.floor(limit_w)
        expectation = effects.limited(watts, RESTARTED_UNTIL_S, look_after_s=RESTARTED_AFTER_S)
        return await self._access.order(
            "set.miner.power_limit", watts, expectation, RESTART_ANSWER_S
        )

    async def throttle(self, percent: float) -> Receipt:
        """Fast mode: about a second, once the frequency is up; lost with the next boot."""
        expectation = self.share.hold(percent)
        parameter = {"percent": str(math.floor(percent)), "mode": "fast"}
        return await self._access.order(
            "set.miner.power_percent", parameter, expectation, FAST_ANSWER_S
        )

    async def set_mode(self, mode: str) -> Receipt:
        """Seen in `get.miner.setting`, where the firmware knows that."""
        effects.among(mode, MODES, "mode")
        expectation = effects.shows("mode", mode, RESTARTED_UNTIL_S, look_after_s=RESTARTED_AFTER_S)
        return await self._access.order("set.miner.power_mode", mode, expectation, RESTART_ANSWER_S)

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """The whole list in one command, sealed."""
        fit(pools)
        parameter = [
            {"pool": pool.url, "worker": pool.user, "passwd": pool.password} for pool in pools
        ]
        expectation = effects.pools_are(pools, SHOWN_UNTIL_S, look_after_s=5.0)
        return await self._access.order("set.miner.pools", parameter, expectation, ANSWER_S)

    async def locate(self, *, on: bool) -> Receipt:
        """`ledstatus` shows whose the lights are."""
        expectation = effects.shows("locating", on, SHOWN_UNTIL_S)
        parameter = [BLINK] if on else "auto"
        return await self._access.order("set.system.led", parameter, expectation, ANSWER_S)

    async def set_hostname(self, hostname: str) -> Receipt:
        """Nothing proves it before the next boot, from which the name holds."""
        parameter = {"hostname": hostname}
        return await self._access.order("set.system.hostname", parameter, None, ANSWER_S)

    async def factory_reset(self) -> Receipt:
        """Nothing proves it: the machine may come back elsewhere, its API closed."""
        return await self._access.order("set.system.factory_reset", None, None, RESTART_ANSWER_S)
