"""MARA's `miner_config`, which is read and written as a whole: modes, power target, pools. Pure.

Sources: pyasic and asic-rs, which write it, and the thread in which the latter's author tells what
he saw the firmware's own page do (256foundation/asic-rs#122).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drivers.asic.fields import text
from drivers.asic.mara.pages import payload
from drivers.asic.page_parts import POOLS_LIMIT, listed, section
from drivers.capabilities import PoolSetting
from drivers.errors import Refused

SLEEP, AUTO, STOCK, FIXED = "Sleep", "Auto", "Stock", "Fixed"
MODES = {mode.lower(): mode for mode in (AUTO, FIXED, STOCK)}
"""The modes in which it mines, by the names that readings have."""
SELECTOR, POWER_TARGET = "work-mode-selector", "PowerTarget"
_CHANGE = ["mode", "workmodeselector"]

Config = dict[str, Any]


def whole(page: Any) -> Config:
    """The configuration; raises `Refused` where it has no mode, as while a machine boots."""
    found = payload(page)
    if not isinstance(found, dict) or text(section(found, "mode").get(SELECTOR)) is None:
        raise Refused(None, "the machine does not show its whole configuration: nothing was sent")
    return found


def mode_of(config: Config) -> str:
    """The mode that is set, as the firmware writes it."""
    word = text(section(config, "mode").get(SELECTOR)) or ""
    return {SLEEP.lower(): SLEEP, **MODES}.get(word.lower(), word)


def with_mode(config: Config, mode: str) -> Config:
    """The same in another mode."""
    return {**config, "mode": {**config["mode"], SELECTOR: mode}}


def with_target(config: Config, limit_w: int) -> Config:
    """The same with another power target, which `Auto` aims at."""
    mode = config["mode"]
    target = {"mode-select": POWER_TARGET, "power-target": limit_w}
    return {**config, "mode": {**mode, "concorde": {**section(mode, "concorde"), **target}}}


def pools_of(config: Config) -> tuple[PoolSetting, ...]:
    """The pools with their passwords."""
    return tuple(
        PoolSetting(url, text(row.get("user")) or "", text(row.get("pass")) or "")
        for row in listed(config.get("pools"), POOLS_LIMIT)
        if (url := text(row.get("url")))
    )


def with_pools(config: Config, pools: Sequence[PoolSetting]) -> Config:
    """The same with other pools; where pools have groups, they all are in the first one."""
    rows: list[dict[str, Any]] = [
        {"url": pool.url, "user": pool.user, "pass": pool.password} for pool in pools
    ]
    if "pool-group" not in config:
        return {**config, "pools": rows}
    first = next(iter(listed(config["pool-group"], 1)), {})
    group = {"gid": 0, "alias": text(first.get("alias")) or "", "percent": 100}
    return {**config, "pool-group": [group], "pools": [{**row, "gid": 0} for row in rows]}


def mode_before_sleep(history: Any) -> str | None:
    """The mode from which the machine last went to sleep, by its own log of changes.

    A list, the newest last, of objects that hold lists of changes such as `{"type": "update",
    "path": ["Mode", "WorkModeSelector"], "from": "Auto", "to": "Sleep"}`.
    """
    entries = payload(history)
    rows = entries if isinstance(entries, list) else []
    for entry in reversed(rows):
        lists = entry.values() if isinstance(entry, dict) else ()
        changes = [row for found in lists if isinstance(found, list) for row in found]
        mode = next((mode for row in reversed(changes) if (mode := _left(row))), None)
        if mode is not None:
            return mode
    return None


def _left(change: Any) -> str | None:
    row = section(change)
    path = row.get("path")
    words = [str(word).lower() for word in path] if isinstance(path, list) else []
    if words != _CHANGE or (text(row.get("to")) or "").lower() != SLEEP.lower():
        return None
    return MODES.get((text(row.get("from")) or "").lower())
