"""What an IceRiver is told: forms, as the scripts of its own page send them.

`userpanel` is one page for all: its `post` is 2 for a reset, 3 for a boot, 5 for the light (that
one takes its time, says a comment there). `machineconfig` takes all pools and the fans' setting at
once, so it is read before, and the fans' part sent back as it was; mining starts anew. The page
calls a fans' mode "sleep", which nobody says to stop the hashing: there is no pause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from drivers.actions import Latency
from drivers.asic.fields import Row, integer, number, text
from drivers.asic.iceriver.answers import word
from drivers.asic.page_parts import POOLS_LIMIT, listed
from drivers.asic.stored_pools import Found
from drivers.capabilities import PoolSetting
from drivers.errors import AccessDenied, BadReply, Refused
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient, decoded

PANEL_PAGE, CONFIG_PAGE = "/user/userpanel", "/user/machineconfig"
RESET, BOOT = {"post": "2"}, {"post": "3"}
READ_CONFIG = {"post": "1"}
ACT_S = 65.0
"""The page itself waits a minute."""
SHOWN_S, POOLS_S, BOOTED_S = 120.0, 240.0, 600.0
LIT_S, RESTARTED_S, BOOTING_S = 5.0, 20.0, 30.0
PLACES = 3
LATENCIES: Mapping[str, Latency] = MappingProxyType(
    {
        "locate": Latency.MINUTE,
        "reboot": Latency.MINUTES,
        "set_pools": Latency.MINUTE,
        "factory_reset": Latency.MINUTES,
    }
)
_LOGGED_OUT = 1004
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def light(*, on: bool) -> dict[str, str]:
    """The form that switches it."""
    return {"post": "5", "locate": str(int(on))}


async def post(web: WebClient, path: str, form: Mapping[str, str], deadline: Deadline) -> Row:
    """Send a form; raises `Refused` with the page's error, `AccessDenied` for its login page."""
    body = urlencode(form).encode()
    reply = await web.request("POST", path, deadline, headers=_FORM, body=body)
    try:
        page = decoded(reply, path)
    except BadReply:
        page = None  # its words may hold passwords
    if not isinstance(page, dict):
        if reply.body.lstrip()[:1] == b"<":
            raise AccessDenied(reply.status, f"{path} shows its login page")
        raise BadReply(f"{path} is not an object")
    error = integer(page.get("error"))
    if error:
        kind = AccessDenied if error == _LOGGED_OUT else Refused
        raise kind(error, word(page.get("message")) or "the page gives an error")
    return page


async def order(web: WebClient, path: str, form: Mapping[str, str], deadline: Deadline) -> str:
    """Give an order; gives the device's words."""
    page = await post(web, path, form, deadline)
    return word(page.get("message")) or "error 0"


def stored_in(page: Row) -> Found:
    """Pools and fans' setting of `machineconfig`; raises `Refused` where it is not all there."""
    data = page.get("data")
    found = data if isinstance(data, dict) else {}
    ratio, mode = number(found.get("ratio")), number(found.get("mode"))
    if ratio is None or mode is None or not isinstance(found.get("pools"), list):
        raise Refused(None, "its configuration is not all there: it may be booting")
    rows = sorted(listed(found["pools"], POOLS_LIMIT), key=lambda row: number(row.get("no")) or 0)
    pools = (
        PoolSetting(url, word(row.get("user")) or "", _password(row.get("pass")))
        for row in rows
        if (url := word(row.get("addr")))
    )
    # What the page's script makes of these two in its form.
    fans = {"fanratio": f"{ratio:g}", "fanmode": "normal" if mode == 1 else "sleep"}
    return Found(tuple(pools), fans)


def _password(value: Any) -> str:
    found = text(value) or ""
    return "" if found == "(null)" else found


def with_pools(fans: Mapping[str, str], pools: Sequence[PoolSetting]) -> dict[str, str]:
    """The whole form, with every place for a pool there."""
    form: dict[str, str] = {}
    empty = PoolSetting("", "", "")
    for place, pool in enumerate((*pools, *[empty] * (PLACES - len(pools))), 1):
        form |= {
            f"pool{place}address": pool.url,
            f"pool{place}miner": pool.user,
            f"pool{place}pwd": pool.password,
        }
    return form | dict(fans) | {"post": "2"}
