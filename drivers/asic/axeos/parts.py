"""Figures in AxeOS's page that several modules need: rate, difficulty, counters. Pure."""

from __future__ import annotations

from typing import Any

from drivers.asic.fields import Row, first, integer, number, positive, truth
from drivers.asic.page_parts import POOLS_LIMIT, listed, rate, section

GHS = 1e-3
_UNITS = (GHS, 1e-6, 1e-12)
_STRANGE = 50.0
"""Hashing this many times faster than clock and cores allow is another unit."""
_SUFFIXES = {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


def hashrate_of(info: Row, chips: int | None) -> float | None:
    """The rate in TH/s.

    `openapi.yaml` names no unit; ESP-Miner computes GH/s in every version seen. Forks differ
    (unverified), and clock times cores times chips tells: each small core tries a hash a cycle.
    """
    found = number(info.get("hashRate"))
    if found is None or found < 0:
        return None
    limit_ghs = _theoretical_ghs(info, chips)
    if limit_ghs is None:
        return rate(found, GHS)
    fits = (unit for unit in _UNITS if found * unit * 1e3 <= limit_ghs * _STRANGE)
    unit = next(fits, None)
    return None if unit is None else rate(found, unit)


def _theoretical_ghs(info: Row, chips: int | None) -> float | None:
    expected = positive(info.get("expectedHashrate"))
    clock_mhz, cores = positive(info.get("frequency")), positive(info.get("smallCoreCount"))
    if clock_mhz is None or cores is None:
        return expected
    return clock_mhz * cores * (chips or 1) / 1000


def difficulty_of(info: Row) -> float | None:
    """The highest difficulty that a pool asks now; of two pools the one that gives fewer shares.

    Not `stratumDifficulty` and `stratumSuggestedDifficulty`: those are wishes of the device.
    """
    pools = listed(section(info, "stratum").get("pools"), POOLS_LIMIT)
    named = [row.get("poolDifficulty") for row in pools]
    named += [info.get("poolDifficulty"), info.get("stratumDiff")]
    return max((found for value in named if (found := positive(value))), default=None)


def counted(value: Any) -> int | None:
    """A counter, also in short as in `"1.2k"`; less than nothing is none."""
    words = value.strip().lower() if isinstance(value, str) else ""
    if words[-1:] in _SUFFIXES:
        short = number(words[:-1])
        return None if short is None else integer(short * _SUFFIXES[words[-1]])
    found = integer(value)
    return found if found is not None and found >= 0 else None


def is_paused(info: Row) -> bool:
    """True where somebody stopped it: `miningPaused` from 2.14, `shutdown` on NerdAxe."""
    return truth(first(info, ("miningPaused", "shutdown"))) is True
