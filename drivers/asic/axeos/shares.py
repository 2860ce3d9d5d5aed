"""Whether a rate is believable: a Bitaxe can show one for hours and hash nothing.

ESP-Miner's issue 1053: the rate stands still, no share is found, the pool goes on sending work.
What betrays it are the share counters. How many shares were due follows from rate and difficulty;
with none found of so many, chance is ruled out. Without a difficulty nothing is concluded.
"""

from __future__ import annotations

from typing import NamedTuple

from drivers.asic.axeos.parts import counted, difficulty_of, hashrate_of, is_paused
from drivers.asic.fields import Row, number, text

HASHES_PER_DIFFICULTY = 2**32
DUE_SHARES = 16.0
"""None of 16 due shares comes by chance once in nine million times."""
LONG_S = 600.0
"""A pool that drops a connection for minutes is no fault of the device."""
GAP_S = 300.0
"""Polls further apart than this prove less: what the rate was between them is not known."""


class Wait(NamedTuple):
    """How long a device has shown a rate without a share, as far as polls have seen it."""

    mac: str
    shares: int
    since_s: float
    """Its uptime when the count was first seen."""
    uptime_s: float
    due: float = 0.0
    """How many shares the rate would have found since then."""

    @property
    def for_s(self) -> float:
        """The length of the wait."""
        return self.uptime_s - self.since_s

    @property
    def is_too_long(self) -> bool:
        """True where it can be no chance."""
        return self.due >= DUE_SHARES and self.for_s >= LONG_S


def waited(before: Wait | None, info: Row, chips: int | None) -> Wait | None:
    """The wait after another poll; None where the poll does not show what is needed."""
    accepted, rejected = counted(info.get("sharesAccepted")), counted(info.get("sharesRejected"))
    uptime_s = number(info.get("uptimeSeconds"))
    if accepted is None or uptime_s is None or is_paused(info):
        return None
    shares, address = accepted + (rejected or 0), text(info.get("macAddr")) or ""
    fresh = Wait(address, shares, uptime_s, uptime_s)
    if before is None or (before.mac, before.shares) != (address, shares):
        return fresh
    gap_s = uptime_s - before.uptime_s
    rate_ths, difficulty = hashrate_of(info, chips), difficulty_of(info)
    if not 0 <= gap_s <= GAP_S or not rate_ths or not difficulty:
        return fresh
    due = rate_ths * 1e12 * gap_s / (difficulty * HASHES_PER_DIFFICULTY)
    return before._replace(uptime_s=uptime_s, due=before.due + due)
