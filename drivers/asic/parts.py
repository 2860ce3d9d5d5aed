"""Parts of a reading that every cgminer descendant writes alike: pools, shares, state."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from drivers.asic.fields import Row, integer, number, text, truth
from drivers.model import Pool, State

STARTING_S = 600.0
"""A miner without a hash rate counts as starting for this long: stock machines tune for minutes."""


@lru_cache(maxsize=4096)
def _shared(word: str) -> str:
    """One copy of a word that thousands of miners repeat, such as a pool's address."""
    return word


POOLS_LIMIT = 16


def pools(rows: list[dict[str, Any]]) -> tuple[Pool, ...]:
    """The rows of `pools`; those without an address are empty places."""
    used = [row for row in rows if row.get("URL")][:POOLS_LIMIT]
    at = _working(used)
    return tuple(_pool(row, None if at is None else at == place) for place, row in enumerate(used))


def _working(rows: list[dict[str, Any]]) -> int | None:
    """The place of the pool that works are from, where the API is too old to say so (below 1.23).

    It is the living one that a share went to last, else the one that failover would choose.
    """
    if any("Stratum Active" in row for row in rows):
        return None
    alive = [at for at, row in enumerate(rows) if row.get("Status") == "Alive"]
    shares = {at: number(rows[at].get("Last Share Time")) or 0.0 for at in alive}
    if any(shares.values()):
        return max(alive, key=lambda at: shares[at])
    ranks = {at: integer(rows[at].get("Priority")) for at in alive}
    known = [at for at in alive if ranks[at] is not None]
    return min(known, key=lambda at: ranks[at] or 0) if known else None


def _pool(row: Row, working: bool | None) -> Pool:
    url = text(row.get("URL"))
    status = text(row.get("Status"))
    return Pool(
        url=_shared(url) if url else None,
        user=text(row.get("User")),
        status=_shared(status) if status else None,
        active=truth(row.get("Stratum Active")) if working is None else working,
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
    return State.IDLE if _all_silent(found) else State.FAULT


def _all_silent(found: tuple[Pool, ...]) -> bool:
    """True where the miner shows that no pool answers it; pools it says nothing of show nothing."""
    said = [pool.status.lower() for pool in found if pool.status]
    if said:
        return "alive" not in said
    return bool(found) and all(pool.active is False for pool in found)
