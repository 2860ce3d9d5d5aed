"""Hiveon ASIC firmware for Antminers of the ninth to the nineteenth series.

Port 4028 is Bitmain's with more in `stats`; it has no MAC. The web pages are Bitmain's CGI behind
digest authentication (root/root): `get_system_info.cgi` has the MAC, and `get_miner_conf.cgi` the
mode on S17 and later, by which a machine that was told to sleep is told from one that cannot hash.
"""

from __future__ import annotations

from typing import Any

from drivers.api import Context, Credential, Endpoint
from drivers.asic.antminer.pages import Aside, parse_aside
from drivers.asic.fields import mac
from drivers.asic.rwglr.driver import Rwglr
from drivers.errors import DriverError
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient, by_digest

FACTORY_CREDENTIAL = Credential("root", "root")
SYSTEM_INFO = "/cgi-bin/get_system_info.cgi"
NETWORK_INFO = "/cgi-bin/get_network_info.cgi"
MINER_CONF = "/cgi-bin/get_miner_conf.cgi"


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


def _object(page: Any) -> dict[str, Any]:
    return page if isinstance(page, dict) else {}
