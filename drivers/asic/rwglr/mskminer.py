"""MSKMiner, a firmware for Antminers.

Port 4028 is Bitmain's with more in `stats`. The MAC is on the web side alone: a form at
`/admin/login` (admin/root from the factory) gives a cookie that opens `/api/info_v1`. Path and
login are those of programs that read such machines; no vendor document is public. What the
machine shows while it is paused is not known (unverified): it reads as one that does not hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from drivers.actions import Latency, Receipt
from drivers.api import Context, Credential, Endpoint
from drivers.asic.rwglr.driver import Rwglr
from drivers.asic.rwglr.msk_orders import ACTIONS, MskOrders
from drivers.capabilities import PoolSetting
from drivers.errors import AccessDenied, BadReply, Refused
from drivers.wire.deadline import Deadline
from drivers.wire.pages import DENIED, Pass, WebClient

FACTORY_CREDENTIAL = Credential("admin", "root")
LOGIN = "/admin/login"
INFO = "/api/info_v1"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def by_form(client: WebClient, credential: Credential, deadline: Deadline) -> Pass:
    """Log in; a server without that form wants no login."""
    form = urlencode({"username": credential.user, "password": credential.password})
    reply = await client.send("POST", LOGIN, deadline, headers=_FORM, body=form.encode())
    if reply.status in DENIED:
        raise AccessDenied(reply.status, f"{LOGIN}: user or password is wrong")
    cookie = reply.headers.get("set-cookie", "").partition(";")[0].strip()
    return Pass({"Cookie": cookie} if "=" in cookie else {})


class Mskminer(Rwglr):
    """An Antminer with MSKMiner's firmware."""

    __slots__ = ("_web",)

    firmware = "mskminer"

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        super().__init__(endpoint, context)
        self._web = WebClient(endpoint, context, enter=by_form, factory=(FACTORY_CREDENTIAL,))

    async def _web_info(self, deadline: Deadline) -> dict[str, Any]:
        try:
            return network_of(await self._web.json(INFO, deadline))
        except AccessDenied:
            raise
        except (BadReply, Refused):
            # Programs ask this page by POST; that a GET is answered, too, is unverified.
            return network_of(await self._web.json(INFO, deadline, method="POST"))

    async def _actions(self) -> Mapping[str, Latency]:
        return ACTIONS

    # --- orders ------------------------------------------------------------------------------

    async def recover(self) -> Receipt | None:
        """See what an interrupted change of pools came to."""
        return await self._orders().recover()

    async def pause(self) -> Receipt:
        """Stop hashing."""
        return await self._orders().pause()

    async def resume(self) -> Receipt:
        """Hash again."""
        return await self._orders().resume()

    async def set_pools(self, pools: Sequence[PoolSetting]) -> Receipt:
        """Replace all pools."""
        return await self._orders().set_pools(pools)

    def _orders(self) -> MskOrders:
        return MskOrders(self._web, self._rpc, self._context)


def network_of(page: Any) -> dict[str, Any]:
    """The network part of `info_v1`, whose names are those of `get_system_info.cgi`."""
    info = page.get("network_info") if isinstance(page, dict) else None
    found = info.get("result", info) if isinstance(info, dict) else None
    return found if isinstance(found, dict) else {}
