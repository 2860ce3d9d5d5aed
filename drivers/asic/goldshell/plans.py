"""A Goldshell's power plans and the range of its fans' target, as its settings have them. Pure."""

from __future__ import annotations

import re
from typing import Any

from drivers.asic.fields import Row, integer, number, text
from drivers.asic.page_parts import listed

RESTING_LEVEL = 3
_MODES = {0: "normal", 2: "low", RESTING_LEVEL: "sleep"}
"""By the level of the power plan; an SC5 Pro II's page calls them hash rate, low-power, idle."""
_MEGAHERTZ = re.compile(r"\s*([\d.]{1,9})\s*MHz")


def plans_of(setting: Row) -> dict[int, str]:
    """What the power plans do, by level; an HS Box has a list of them for each algorithm."""
    plans, running = listed(setting.get("powerplans"), 16), setting.get("algoname")
    if running is not None:
        own = next((row for row in plans if row.get("algo") == running), {})
        plans = listed(own.get("mode"), 16) or plans
    pairs = ((integer(row.get("level")), text(row.get("info")) or "") for row in plans)
    return {level: words for level, words in pairs if level is not None}


def mode_of(level: int) -> str:
    """The name of a power plan."""
    return _MODES.get(level, str(level))


def clock_in(words: Any) -> float | None:
    """The clock in a plan's words, such as `725 MHz 0.41 V 70 RPM 70 RPM`."""
    found = _MEGAHERTZ.match(words) if isinstance(words, str) else None
    return number(found[1]) if found else None


def target_range(setting: Row) -> tuple[float, float] | None:
    """Between which degrees the fans' target may lie; older settings know none."""
    found = setting.get("temp_targets")
    ends = [*map(number, found)] if isinstance(found, list) and len(found) == 2 else [None, None]
    low, high = ends
    return (low, high) if low is not None and high is not None and 0 < low <= high else None
