"""What an Elphapex is told over its CGI pages, which differ from one of its firmwares to the other.

Below `/cgi-bin` three public clients reboot, blink and store pools; how to sleep nobody shows
there. Below `/cgi-bin/luci` two public programs set the mode, by a page of its own that leaves
pools and tuning alone, and one of them says that light and reboot were tried on machines.
`set_miner_conf` replaces the whole configuration: it is sent as it was read, pools changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from drivers.actions import Latency
from drivers.api import WebReply
from drivers.asic.elphapex.answers import SLEEPING
from drivers.asic.fields import Row, text
from drivers.asic.page_parts import POOLS_LIMIT, listed
from drivers.asic.stored_pools import Found
from drivers.capabilities import PoolSetting
from drivers.errors import Refused
from drivers.wire.deadline import Deadline
from drivers.wire.pages import WebClient, decoded

PLAIN, LUCI = "/cgi-bin", "/cgi-bin/luci"
ACT_S = 35.0
"""A page that starts the mining program anew answers when that is done."""
SHOWN_S, POOLS_S, ASLEEP_S, AWAKE_S, BOOTED_S = 60.0, 180.0, 240.0, 600.0, 600.0
MODE_TAKEN_S, HASHES_S, BOOTING_S, RESTARTED_S = 15.0, 90.0, 30.0, 20.0
PLACES = 3
"""For pools: the configuration has so many, used or not."""

LATENCIES: Mapping[str | None, Mapping[str, Latency]] = MappingProxyType(
    {
        PLAIN: MappingProxyType(
            {
                "set_pools": Latency.MINUTE,
                "locate": Latency.SECONDS,
                "reboot": Latency.MINUTES,
            }
        ),
        LUCI: MappingProxyType(
            {
                "pause": Latency.MINUTE,
                "resume": Latency.MINUTES,
                "locate": Latency.SECONDS,
                "reboot": Latency.MINUTES,
            }
        ),
        None: MappingProxyType({}),
    }
)
"""By the folder that the pages were found in."""

Order = tuple[str, object]
"""The page, and what it is given."""
SLEEP: Order = ("setworkmode", {"workmode": str(SLEEPING)})
WAKE: Order = ("setworkmode", {"workmode": "0"})
_BLINK: Mapping[str, Mapping[bool, Order]] = {
    PLAIN: {on: ("blink", {"blink": str(on).lower()}) for on in (True, False)},
    LUCI: {
        on: ("ftm_ledtest", {"leds_blue": lit, "leds_red": 0, "leds_flash": lit, "leds_time": 0})
        for on, lit in ((True, 1), (False, 0))
    },
}
REBOOT: Mapping[str, Order] = {PLAIN: ("reboot", None), LUCI: ("reboot", {})}
_GOOD = frozenset({"0", "B000", "B100", "M000"})
_JSON = {"Content-Type": "application/json"}


def blink(folder: str, *, on: bool) -> Order:
    """The light, as the pages of this folder switch it."""
    return _BLINK[folder][on]


async def post(web: WebClient, folder: str, order: Order, deadline: Deadline) -> str:
    """Give an order; gives the device's words, and raises `Refused` where they say no."""
    name, payload = order
    path = f"{folder}/{name}.cgi"
    body = None if payload is None else msgspec.json.encode(payload)
    headers = {} if payload is None else _JSON
    return _words(await web.request("POST", path, deadline, headers=headers, body=body), path)


def _words(reply: WebReply, path: str) -> str:
    if reply.status != 200:
        decoded(reply, path)  # raises what the status says
    try:
        found = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return "HTTP status 200"
    code, words = text(found.get("code")), text(found.get("msg"))
    stands = {text(found[key]) for key in ("stats", "status") if key in found}
    told = " ".join(filter(None, (code, words))) or "HTTP status 200"
    if words == "FAIL!" or stands - {"success"} or (code is not None and code not in _GOOD):
        raise Refused(None, told)
    return told


# --- pools -------------------------------------------------------------------------------------


def _pools_in(config: Row) -> tuple[PoolSetting, ...]:
    return tuple(
        PoolSetting(str(row["url"]), str(row.get("user") or ""), str(row.get("pass") or ""))
        for row in listed(config.get("pools"), POOLS_LIMIT)
        if text(row.get("url"))
    )


def stored_in(config: Row) -> Found:
    """The pools and all the rest; raises `Refused` where the configuration is not all there."""
    lacking = [key for key in ("pools", "fc-work-mode") if config.get(key) is None]
    if lacking:
        raise Refused(None, f"its configuration lacks {lacking[0]}: it may be booting")
    return Found(_pools_in(config), config)


def with_pools(config: Row, pools: Sequence[PoolSetting]) -> Order:
    """The whole configuration with other pools, and every place for one filled."""
    rows: list[dict[str, Any]] = [
        {"url": pool.url, "user": pool.user, "pass": pool.password} for pool in pools
    ]
    rows += [{"url": "", "user": "", "pass": ""}] * (PLACES - len(rows))
    return "set_miner_conf", {**config, "pools": rows}
