"""What an order is expected to change in the power that a device draws, by its last reading. Pure.

Watts, negative where load is shed; what passes (a reboot) counts as nothing. None where the reading
does not say, or nobody can know beforehand. For dry runs: what came of it, later readings show.
"""

from __future__ import annotations

from typing import Any

from agent.command.params import Limit, Share
from drivers.model import MinerReading, Reading, State
from drivers.model_gpu import GpuReading

_UNSEEN = frozenset({State.UNKNOWN, State.UNREACHABLE})
_FULL_PERCENT = 100.0


def unknown(_params: Any, _reading: Reading) -> float | None:
    """Nobody can know."""
    return None


def nothing(_params: Any, _reading: Reading) -> float | None:
    """It draws what it drew."""
    return 0.0


def asleep(_params: Any, reading: Reading) -> float | None:
    """All that it draws; what it draws asleep, its readings do not say beforehand."""
    if reading.state is State.SLEEPING:
        return 0.0
    drawn_w = _drawn_w(reading)
    return None if drawn_w is None or reading.state in _UNSEEN else -drawn_w


def awake(_params: Any, reading: Reading) -> float | None:
    """Up to its limit, where it sleeps and shows one."""
    if reading.state is State.MINING:
        return 0.0
    if not isinstance(reading, MinerReading) or reading.state is not State.SLEEPING:
        return None
    limit_w = reading.power_limit_w
    return None if limit_w is None else max(0.0, limit_w - (reading.power_w or 0.0))


def as_before(_params: Any, reading: Reading) -> float | None:
    """Nothing that lasts, where it mines; a machine at rest may begin to."""
    return 0.0 if reading.state is State.MINING else None


def limited(params: Limit, reading: Reading) -> float | None:
    """What it draws above the limit; a higher limit than the one in force may raise it."""
    drawn_w = _drawn_w(reading)
    if drawn_w is None or not _works(reading):
        return None
    if params.watts < drawn_w:
        return params.watts - drawn_w
    held_w = getattr(reading, "power_limit_w", None)
    return 0.0 if held_w is not None and params.watts <= held_w else None


def throttled(params: Share, reading: Reading) -> float | None:
    """In proportion to the share in force; where none shows it draws all it can."""
    drawn_w = _drawn_w(reading)
    if drawn_w is None or reading.state is not State.MINING:
        return None
    held = reading.throttle_percent if isinstance(reading, MinerReading) else None
    if held is not None and held <= 0:
        return None
    return drawn_w * (params.percent / (held or _FULL_PERCENT) - 1.0)


def _works(reading: Reading) -> bool:
    """A GPU draws what its job wants, whatever is said of its health."""
    if isinstance(reading, GpuReading):
        return reading.state not in _UNSEEN
    return reading.state is State.MINING


def _drawn_w(reading: Reading) -> float | None:
    return reading.power_w if isinstance(reading, MinerReading | GpuReading) else None
