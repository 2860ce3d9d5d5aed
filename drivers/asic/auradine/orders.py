"""What is posted to the API of an Auradine: sleep, modes, power target, pools, light, restarts.

Sources: the maker's API document as pyasic and asic-rs follow it, who both send these; each body
names its command beside what it wants.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from drivers.actions import Check, Expectation, Latency, Receipt, Relation
from drivers.api import Clock
from drivers.asic.effects import among, asleep, awake, pools_are, restarted, shows, within
from drivers.capabilities import PoolSetting
from drivers.errors import BadReply
from drivers.wire.cgminer import checked
from drivers.wire.deadline import Deadline
from drivers.wire.ordering import ordered
from drivers.wire.pages import Pass, WebClient, decoded

ORDER_S = 25.0
ASLEEP_S, AWAKE_S, RESTART_S, REBOOT_S = 240.0, 900.0, 600.0, 900.0
MODE_S, POOLS_S, LIGHT_S = 600.0, 300.0, 60.0
MODES = ("eco", "normal", "turbo")
LOCATING, NORMAL = 3, 2
"""Codes of the light."""

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
        "factory_reset": Latency.MINUTES,
    }
)
NOTHING: MappingProxyType[str, Latency] = MappingProxyType({})
_JSON = {"Content-Type": "application/json"}

Fetch = Callable[[str, Deadline], Awaitable[Any]]


class Orders:
    """What is posted to one machine; made anew for each action."""

    __slots__ = ("_deadline", "_fetch", "_side")

    def __init__(self, side: WebClient, fetch: Fetch, clock: Clock) -> None:
        self._side = side
        self._fetch = fetch
        self._deadline = Deadline(clock, ORDER_S)

    async def pause(self) -> Receipt:
        """Sleep."""
        return await self._post("mode", asleep(ASLEEP_S, look_after_s=15.0), sleep="on")

    async def resume(self) -> Receipt:
        """Sleep no more."""
        return await self._post("mode", awake(AWAKE_S, look_after_s=90.0), sleep="off")

    async def restart_mining(self) -> Receipt:
        """Start gcminer anew."""
        expectation = restarted(RESTART_S, look_after_s=15.0)
        return await self._post("restart", expectation, parameter="gcminer")

    async def reboot(self) -> Receipt:
        """Boot the whole machine: what `restart` does that is told no program."""
        return await self._post("restart", restarted(REBOOT_S, look_after_s=90.0))

    async def limit_power(self, limit_w: float) -> Receipt:
        """The target of the mode `custom`; whether it sleeps is another matter."""
        within(limit_w, 1.0, None, "W")
        target_w = int(limit_w)
        checks = (
            Check("power_limit_w", Relation.EQUALS, target_w),
            Check("mode", Relation.EQUALS, "custom"),
        )
        expectation = Expectation(any_of=(checks,), look_after_s=10.0, until_s=MODE_S)
        return await self._post("mode", expectation, mode="custom", tune="power", power=target_w)

    async def set_mode(self, mode: str) -> Receipt:
        """One of the modes that have no target of their own."""
        among(mode.lower(), MODES, "the mode")
        expectation = shows("mode", mode.lower(), MODE_S, look_after_s=10.0)
        return await self._post("mode", expectation, mode=mode.lower())

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace all pools with one order."""
        within(len(pools), 1, None, "pools")
        rows = [{"url": pool.url, "user": pool.user, "pass": pool.password} for pool in pools]
        expectation = pools_are(pools, POOLS_S, look_after_s=10.0)
        return await self._post("updatepools", expectation, pools=rows)

    async def locate(self, *, on: bool) -> Receipt:
        """Blink, or show that all is normal."""
        expectation = shows("locating", on, LIGHT_S)
        return await self._post("led", expectation, code=LOCATING if on else NORMAL)

    async def factory_reset(self) -> Receipt:
        """Put every setting back; no page tells a reset machine from another."""
        return await self._post("factory-reset", None)

    async def _post(self, command: str, expectation: Expectation | None, **values: Any) -> Receipt:
        """With a token that has just opened a page: it ends by itself at any time."""
        await self._fetch("/mode", self._deadline)
        ticket = self._side.session or Pass()
        return await ordered(self._send(ticket, command, values), expectation)

    async def _send(self, ticket: Pass, command: str, values: dict[str, Any]) -> str:
        body, path = msgspec.json.encode({"command": command, **values}), f"/{command}"
        reply = await self._side.send("POST", path, self._deadline, ticket, _JSON, body)
        page = decoded(reply, path)
        if not isinstance(page, dict) or "STATUS" not in page:
            raise BadReply(f"{path}: no status", reply.body)
        return _words(checked(page)["STATUS"])


def _words(status: Any) -> str:
    row = status[0] if isinstance(status, list) and status else status
    said = row.get("Msg") if isinstance(row, dict) else row
    return str(said) if said else "accepted"
