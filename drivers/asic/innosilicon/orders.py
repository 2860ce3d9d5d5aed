"""What an Innosilicon is told over its web side.

Sources: the PHP routes and scripts of the web side, a wrapper that follows Halong's description of
them, and a public program that changes pools. Each is a `POST`, pools as a form; changing pools
starts the mining program anew. `/api/poweroff` is left alone: nothing known switches the machine on
again from afar. How to stop hashing otherwise nobody shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from drivers.actions import Latency
from drivers.asic.fields import Row, text
from drivers.asic.page_parts import POOLS_LIMIT, listed
from drivers.asic.stored_pools import Found
from drivers.capabilities import PoolSetting
from drivers.errors import BadReply, Refused
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient, decoded

POOLS_PAGE = "/api/pools"
UPDATE_PAGE, RESTART_PAGE = "/api/updatePools", "/api/restartCgMiner"
REBOOT_PAGE, RESET_PAGE = "/api/reboot", "/api/factoryReset"
ACT_S = 60.0
"""As long as the published wrapper waits."""
POOLS_S, RESTARTED_S, BOOTED_S = 240.0, 300.0, 600.0
RESTARTING_S, BOOTING_S = 15.0, 30.0
PLACES = 3
LATENCIES: Mapping[str, Latency] = MappingProxyType(
    {
        "restart_mining": Latency.MINUTE,
        "reboot": Latency.MINUTES,
        "set_pools": Latency.MINUTE,
        "factory_reset": Latency.MINUTES,
    }
)
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def post(web: WebClient, path: str, form: Mapping[str, str], deadline: Deadline) -> str:
    """Give an order; gives the device's words, and raises `Refused` where they say no."""
    body = urlencode(form).encode()
    reply = await web.request("POST", path, deadline, headers=_FORM, body=body)
    try:
        found = decoded(reply, path)
    except BadReply:
        raise BadReply(f"{path}: no JSON") from None  # what it is may hold passwords
    if not isinstance(found, dict):
        raise BadReply(f"{path} is not an object")
    words = text(found.get("message"))
    if found.get("success") is False:
        raise Refused(None, words or "no reason given")
    return words or "success"


def stored_in(page: Row) -> Found:
    """The configured pools; raises `BadReply` where the page has no list of them."""
    rows = page.get("pools")
    if not isinstance(rows, list):
        raise BadReply("the configured pools cannot be read")
    pools = (
        PoolSetting(str(row["url"]), str(row.get("user") or ""), _password(row))
        for row in listed(rows, POOLS_LIMIT)
        if text(row.get("url"))
    )
    return Found(tuple(pools), None)


def _password(row: Row) -> str:
    """Under the name of cgminer's configuration, or of the page that tells everything."""
    found: Any = row.get("pass", row.get("password"))
    return str(found or "")


def form_of(pools: Sequence[PoolSetting]) -> dict[str, str]:
    """The pools as the form has them, the first one first."""
    fields: dict[str, str] = {}
    for place, pool in enumerate(pools, 1):
        fields |= {
            f"Pool{place}": pool.url,
            f"UserName{place}": pool.user,
            f"Password{place}": pool.password,
        }
    return fields
