"""The configuration of Bitmain's firmware as its page shows it, and as it has to be written. Pure.

`set_miner_conf.cgi` puts what it is given in the place of everything: what is left out is gone.
The page may be incomplete while a machine boots. Which of two keys sets the mode depends on the
build, and the other one is answered with success and ignored, so both are always sent.
Sources: pyasic and asic-rs (payloads, three slots for pools, its issues 249, 260 and 310),
proto-fleet, and a description of the pages of the KS5 Pro.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from drivers.api import WebReply
from drivers.asic.antminer.pages import LEVEL_KEYS, MODE_KEYS
from drivers.asic.fields import first, integer, text
from drivers.capabilities import PoolSetting
from drivers.errors import AccessDenied, BadReply, Refused, Unsupported
from drivers.model import pool_target
from drivers.wire.pages import DENIED, UNKNOWN

Configuration = dict[str, Any]
SLOTS = 3
"""Pools of every machine so far; a slot that is not sent keeps the pool that it has."""
_BLANK = {"url": "", "user": "", "pass": ""}
_FAILURES = frozenset({"error", "fail", "failed"})


def parse(page: Any) -> Configuration:
    """The configuration in a page; raises `BadReply` for what holds no list of pools."""
    if not isinstance(page, dict) or not isinstance(page.get("pools"), list):
        raise BadReply("no configuration with pools", repr(type(page)).encode())
    return page


def pools_of(configuration: Configuration) -> tuple[PoolSetting, ...]:
    """The pools, without the empty slots."""
    return tuple(
        PoolSetting(str(row["url"]), str(row.get("user", "")), str(row.get("pass", "")))
        for row in configuration["pools"]
        if isinstance(row, dict) and row.get("url")
    )


def targets(pools: Sequence[PoolSetting]) -> tuple[str, ...]:
    """What makes two lists of pools the same one."""
    return tuple(pool_target(pool.url, pool.user) for pool in pools)


def mode_of(configuration: Configuration) -> int | None:
    """The mode that is set, None where the configuration has none."""
    return integer(first(configuration, MODE_KEYS))


def level_of(configuration: Configuration) -> int | None:
    """The level of the clock in per cent, where there is one."""
    return integer(first(configuration, LEVEL_KEYS))


def slots_of(configuration: Configuration) -> int:
    """How many pools fit."""
    return max(SLOTS, len(configuration["pools"]))


def with_mode(configuration: Configuration, mode: int) -> Configuration:
    """All of it with this mode, under both keys; the level of the clock under both, too."""
    level = first(configuration, LEVEL_KEYS)
    levels = {} if level is None else dict.fromkeys(LEVEL_KEYS, level)
    return {**configuration, **levels, **dict.fromkeys(MODE_KEYS, mode)}


def with_pools(configuration: Configuration, pools: Sequence[PoolSetting]) -> Configuration:
    """All of it with these pools, every slot that is over blank."""
    rows = [{"url": pool.url, "user": pool.user, "pass": pool.password} for pool in pools]
    rows += [_BLANK] * (slots_of(configuration) - len(rows))
    mode = mode_of(configuration)
    written = configuration if mode is None else with_mode(configuration, mode)
    return {**written, "pools": rows}


def lacking(configuration: Configuration, good: Configuration) -> list[str]:
    """The keys that a good copy has and this one has not."""
    missing = sorted(good.keys() - configuration.keys())
    # What was written came under both names, and may have been kept so.
    both = {*MODE_KEYS, *LEVEL_KEYS}
    return [key for key in missing if key not in both]


def said(reply: WebReply, what: str) -> str:
    """What a page that was written to said; raises the fitting `Refused` where it said no."""
    if reply.status in UNKNOWN:
        raise Unsupported(reply.status, f"no page for {what}")
    if reply.status in DENIED:
        raise AccessDenied(reply.status, f"no rights for {what}")
    words = " ".join(reply.body[:400].decode("utf-8", "replace").split())
    if reply.status != 200:
        raise Refused(reply.status, words or f"HTTP status for {what}")
    try:
        page = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return words or f"HTTP status {reply.status}"
    if isinstance(page, dict) and _says_no(page):
        reasons = filter(None, (text(page.get("code")), text(page.get("msg"))))
        raise Refused(None, " ".join(reasons) or words)
    return words


def _says_no(page: dict[str, Any]) -> bool:
    return str(page.get("stats", "")).lower() in _FAILURES or page.get("success") is False
