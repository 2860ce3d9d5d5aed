"""Parts of a reading that every cgminer descendant writes alike: pools, shares, state."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from drivers.asic.fields import Row, integer, text, truth
from drivers.model import Pool, State

STARTING_S = 600.0
"""A miner without a hash rate counts as starting for this long: stock machines tune for minutes."""


@lru_cache(maxsize=4096)
def _shared(word: str) -> str:
    """One copy of a word that thousands of miners repeat, such as a pool's address."""
    return word


def pools(rows: list[dict[str, Any]]) -> tuple[Pool, ...]:
    """The rows of `pools`; those without an address are empty places."""
    return tuple(_pool(row) for row in rows if row.get("URL"))


def _pool(row: Row) -> Pool:
    url = text(row.get("URL"))
    status = text(row.get("Status"))
    return Pool(
        url=_shared(url) if url else None,
        user=text(row.get("User")),
        status=_shared(status) if status else None,
        active=truth(row.get("Stratum Active")),
        accepted=integer(row.get("Accepted")),
        rejected=integer(row.get("Rejected")),
        stale=integer(row.get("Stale")),
    )


def total(found: tuple[Pool, ...], counter: str) -> int | None:
    """The sum of a counter over the pools, None where no pool gives it."""
    values = [value for pool in found if (value := getattr(pool, counter)) is not None]
    return sum(values) if values else None


def mining_state(
    hashrate_ths: float | None,
    uptime_s: float | None,
    found: tuple[Pool, ...],
    *,
    chips: int | None = None,
) -> State:
    """What a miner is doing that says nothing of a mode: judged by rate, age, pools and chips."""
    if hashrate_ths is None:
        return State.UNKNOWN
    if hashrate_ths > 0:
        return State.MINING
    if uptime_s is not None and uptime_s < STARTING_S:
        return State.STARTING
    if chips == 0:
        return State.FAULT
    if found and not any(pool.status == "Alive" for pool in found):
        return State.IDLE
    return State.FAULT
