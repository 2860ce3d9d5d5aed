"""Hiveon ASIC firmware for Antminers of the ninth to the nineteenth series.

Port 4028 is Bitmain's with more in `stats`; it has no MAC. The web pages are Bitmain's CGI behind
digest authentication (root/root): `get_system_info.cgi` has the MAC, and `get_miner_conf.cgi` the
mode on S17 and later, by which a machine that was told to sleep is told from one that cannot hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from drivers.actions import Latency, Receipt
from drivers.api import Context, Credential, Endpoint
from drivers.asic.antminer.configuration import mode_of
from drivers.asic.antminer.orders import Orders
from drivers.asic.antminer.pages import Aside, parse_aside
from drivers.asic.fields import mac, truth
from drivers.asic.rwglr.driver import Rwglr
from drivers.capabilities import PoolSetting
from drivers.errors import DriverError
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient, by_digest

FACTORY_CREDENTIAL = Credential("root", "root")
SYSTEM_INFO = "/cgi-bin/get_system_info.cgi"
NETWORK_INFO = "/cgi-bin/get_network_info.cgi"
MINER_CONF = "/cgi-bin/get_miner_conf.cgi"
BLINK_STATUS = "/cgi-bin/get_blink_status.cgi"

SLEEPS: Mapping[str, Latency] = MappingProxyType(
    {
        "pause": Latency.MINUTE,
        "resume": Latency.MINUTES,
        "set_pools": Latency.MINUTE,
        "locate": Latency.SECONDS,
        "reboot": Latency.MINUTES,
    }
)
"""pyasic sends modern builds a configuration with pools and mode, the light and the reboot."""
SLEEPLESS: Mapping[str, Latency] = MappingProxyType({"reboot": Latency.MINUTES})
"""Of the others nobody shows more."""


class Hiveon(Rwglr):
    """An Antminer with Hiveon's firmware."""

    __slots__ = ("_web",)

    firmware = "hiveon"

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        super().__init__(endpoint, context)
        self._web = WebClient(endpoint, context, enter=by_digest, factory=(FACTORY_CREDENTIAL,))

    async def _web_info(self, deadline: Deadline) -> dict[str, Any]:
        info = _object(await self._web.json(SYSTEM_INFO, deadline))
        if mac(info.get("macaddr")) is not None:
            return info
        try:
            network = _object(await self._web.json(NETWORK_INFO, deadline))
        except DriverError:
            return info
        return {**info, "macaddr": network.get("macaddr")}

    async def _web_aside(self, deadline: Deadline) -> Aside:
        return parse_aside({"get_miner_conf": await self._web.json(MINER_CONF, deadline)})

    async def _web_light(self, deadline: Deadline) -> bool | None:
        return truth(_object(await self._web.json(BLINK_STATUS, deadline)).get("blink"))

    async def _actions(self) -> Mapping[str, Latency]:
        try:
            found = _object(await self._web.json(MINER_CONF, self._deadline()))
        except DriverError:
            return SLEEPLESS
        return SLEEPS if mode_of(found) is not None else SLEEPLESS

    # --- orders ------------------------------------------------------------------------------

    async def recover(self) -> Receipt | None:
        """See what an interrupted change of pools came to."""
        return await self._orders().recover()

    async def pause(self) -> Receipt:
        """Sleep mode."""
        return await self._orders().pause()

    async def resume(self) -> Receipt:
        """The mode that it had before it slept."""
        return await self._orders().resume()

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace the pools, keeping the rest of the configuration."""
        return await self._orders().set_pools(pools)

    async def locate(self, *, on: bool) -> Receipt:
        """Blink."""
        self._lit_at = self._context.clock.now()
        return await self._orders().locate(on=on)

    async def reboot(self) -> Receipt:
        """Boot the whole machine."""
        return await self._orders().reboot()

    def _orders(self) -> Orders:
        return Orders(self._web, self._rpc, self._context, self._build)


def _object(page: Any) -> dict[str, Any]:
    return page if isinstance(page, dict) else {}
