"""What the sources of Braiins OS have in common: names, words, fans, states. Pure.

Sources: the vendor's proto files of its public API (miner, performance, cooling), its
documentation of the BOSminer API, and recordings of 2020 to 2025.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from drivers.asic import parts
from drivers.asic.fields import common, integer, positive
from drivers.asic.models import known
from drivers.model import Board, Fan, Fingerprint, MinerReading, Pool, State

FIRMWARE = "braiins"
ALGORITHM = "sha256"
"""Braiins OS mines Bitcoin only: its pools are stratum for SHA-256 (documented)."""
S9_CONNECTORS = frozenset({6, 7, 8})
"""The S9's control board alone names its connectors so."""
S9_FANS = 2
_HERTZ = 1e5
_UNWORDY = re.compile(r"[^a-z]+")
_MAKES = (
    ("antminer", "Bitmain"),
    ("whatsminer", "MicroBT"),
    ("avalon", "Canaan"),
    ("bmm", "Braiins"),
    ("mini miner", "Braiins"),
)
_MODES = {
    "powertarget": "power target",
    "powertargetmodestate": "power target",
    "hashratetarget": "hashrate target",
    "hashratetargetmodestate": "hashrate target",
}


@lru_cache(maxsize=512)
def make_and_model(name: str | None) -> tuple[str | None, str | None]:
    """`Bitmain Antminer S9` or `Antminer S19J Pro` as its maker writes it, and who that is."""
    words = common(name)
    if words is None:
        return None, None
    for maker in ("bitmain ", "braiins "):
        if words.lower().startswith(maker):
            words = words[len(maker) :].strip()
    row = known(words)
    if row is not None:
        return row.make, row.name
    lower = words.lower()
    return next((make for word, make in _MAKES if word in lower), None), words


def mode_of(name: Any) -> str | None:
    """`POWER_TARGET`, `PowerTarget` and `powertargetmodestate` are one and the same."""
    words = common(name)
    if words is None:
        return None
    lower = words.lower()
    return _MODES.get(_UNWORDY.sub("", lower), lower.replace("_", " "))


def megahertz(value: Any) -> float | None:
    """A frequency: builds of 2020 gave `devdetails` in Hz, later ones in MHz."""
    found = positive(value)
    return found / 1e6 if found is not None and found >= _HERTZ else found


def board_index(value: Any, at: int) -> int:
    """The number of a connector, as the machine counts them (1 to 4, on an S9 6 to 8)."""
    found = integer(value)
    return found if found is not None and 0 <= found < 256 else at + 1


def chips_expected(model: str | None) -> int | None:
    """How many chips a board of that model has, None for one that is not known."""
    row = known(model)
    return row.chips if row else None


def placed_fans(fans: list[Fan], model: str | None, boards: tuple[Board, ...]) -> tuple[Fan, ...]:
    """The fans without the places that no fan is in: four are always listed, at 0 rpm."""
    row = known(model)
    count = row.fans if row else None
    if count is None and boards and all(board.index in S9_CONNECTORS for board in boards):
        count = S9_FANS
    if count is None:
        return tuple(fans)
    return tuple(fan for at, fan in enumerate(fans) if at < count or fan.rpm)


def rated_state(
    hashrate_ths: float | None, uptime_s: float | None, pools: tuple[Pool, ...]
) -> State:
    """The state of a machine whose words say nothing of it.

    Without a rate only what is seen is claimed: a pause that was asked for is told by these
    sources on some builds alone, so standing still is no fault by itself.
    """
    found = parts.mining_state(hashrate_ths, uptime_s, pools)
    return State.UNKNOWN if found is State.FAULT else found


def fingerprint(reading: MinerReading, words: tuple[str | None, ...]) -> Fingerprint:
    """Who the machine is, by words that a poll shows whatever part of it fails."""
    shares = reading.shares_accepted
    return Fingerprint(
        traits=tuple(word for word in words if word),
        uptime_s=reading.uptime_s,
        counters=() if shares is None else (float(shares),),
    )
