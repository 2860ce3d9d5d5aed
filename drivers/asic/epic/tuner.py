"""ePIC's tuners, which hold a hash rate at the least power: what runs, and how far it goes. Pure.

Source: a recording of PowerPlay-BMS 1.5.13, and what ePIC's dashboard sends.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from drivers.asic.fields import Row, integer, positive, text, truth
from drivers.asic.page_parts import listed, section

RATE_UNIT = "TH/s"
TUNERS_LIMIT = 16


class Tuner(NamedTuple):
    """A tuning algorithm that holds a hash rate, in TH/s."""

    algorithm: str
    target_ths: float
    default_ths: float
    min_ths: float | None
    max_ths: float | None
    figures: Row

    @property
    def range_percent(self) -> tuple[float | None, float]:
        """What it may be throttled to, in shares of the rate that the machine is made for."""
        low = None if self.min_ths is None else 100 * self.min_ths / self.default_ths
        high = 100.0 if self.max_ths is None else 100 * self.max_ths / self.default_ths
        return low, min(100.0, high)

    def throttling(self, target: int) -> dict[str, int]:
        """How it throttles itself in heat, which goes with every target."""
        lowest = integer(self.figures.get("Min Throttle Target"))
        step = integer(self.figures.get("Throttle Step"))
        found = {"min_throttle": None if lowest is None else min(lowest, target)}
        return {k: v for k, v in (found | {"throttle_step": step}).items() if v is not None}


def running_tuner(summary: Row) -> tuple[str | None, Row]:
    """The tuning algorithm that runs, and its figures."""
    tuner = section(summary, "PerpetualTune")
    if truth(tuner.get("Running")) is not True:
        return None, {}
    name, figures = next(iter(section(tuner, "Algorithm").items()), (None, None))
    return text(name), section(figures)


def tuner_of(summary: Row, capabilities: Any) -> Tuner | None:
    """The tuner that holds a rate, None where none does or the machine's own rate is unknown."""
    name, figures = running_tuner(summary)
    target = positive(figures.get("Target"))
    default = positive(section(capabilities).get("Default Hashrate"))
    if name is None or target is None or default is None or figures.get("Unit") != RATE_UNIT:
        return None
    known_ones = listed(section(capabilities).get("PerpetualTune"), TUNERS_LIMIT)
    bounds: Row = next((row for row in known_ones if row.get("algorithm") == name), {})
    low, high = positive(bounds.get("min")), positive(bounds.get("max"))
    return Tuner(name, target, default, low, high, figures)


def tunes(capabilities: Any) -> bool:
    """Whether the machine has tuners at all."""
    return bool(listed(section(capabilities).get("PerpetualTune"), 1))


def share_percent(target_ths: float, default_ths: float) -> float:
    """A target as a share of the rate that the machine is made for; more than that is all of it."""
    return min(100.0, round(100 * target_ths / default_ths, 1))


def throttle_percent(summary: Row, default_ths: float | None) -> float | None:
    """The share at which the running tuner holds the machine."""
    _, figures = running_tuner(summary)
    target = positive(figures.get("Target")) if figures.get("Unit") == RATE_UNIT else None
    return share_percent(target, default_ths) if target and default_ths else None
