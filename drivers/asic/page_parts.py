"""Reading nested JSON pages: sections, lists of rows, and figures within what can be."""

from __future__ import annotations

from typing import Any

from drivers.asic.fields import Row, number, scaled

BOARDS_LIMIT = 64
FANS_LIMIT = 32
FAULTS_LIMIT = 64
POOLS_LIMIT = 16
HOTTEST_C = 200.0
"""Above this it is no temperature, but a broken sensor."""


def section(value: Any, *path: str) -> Row:
    """The object at a path of keys; an empty one where there is none."""
    for key in path:
        if not isinstance(value, dict):
            return {}
        value = value.get(key)
    return value if isinstance(value, dict) else {}


def listed(value: Any, limit: int) -> list[dict[str, Any]]:
    """The objects among the first elements of a list."""
    if not isinstance(value, list):
        return []
    return [row for row in value[:limit] if isinstance(row, dict)]


def degrees(value: Any) -> float | None:
    """A temperature that was measured: firmwares say 0 or -1 where no sensor is."""
    found = number(value)
    return found if found is not None and 0 < found < HOTTEST_C else None


def rate(value: Any, scale: float) -> float | None:
    """A hash rate in TH/s; less than nothing is none."""
    found = scaled(value, scale)
    return found if found is not None and found >= 0 else None


def watts(value: Any) -> float | None:
    """A power; 0 is one, for sleeping machines draw little."""
    found = number(value)
    return found if found is not None and found >= 0 else None
