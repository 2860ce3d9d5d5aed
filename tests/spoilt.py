"""Answers as a hostile device would send them: parts dropped, of another type, or huge."""

import copy
import math
from typing import Any

from hypothesis import strategies as st

JUNK: list[Any] = [
    *(None, True, False, 0, -1, 1, 10**30, -(10**30), 10**400, 1e308, -1e308),
    *(math.nan, math.inf, "", "0", "-5", "nan", "inf", "9" * 40, "1.2k", "Y", "٣", "x" * 5000),
    *("\ud800", "2026-13-45T99:99:99Z", [], {}, [[]], [None], [{}], {"": None}, [{"Index": -1}]),
    *([0.0] * 300, {"value": "x", "unit": 7}, [{"Index": 10**30}] * 100, ["a", 1, None]),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside a decoded answer."""
    if not isinstance(value, dict | list):
        return []
    found: list[tuple[Any, ...]] = []
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        found.append((*path, key))
        found += places(each, (*path, key))
    return found


def spoil(value: Any, path: tuple[Any, ...], junk: Any, *, drop: bool) -> None:
    """Replace or drop what stands at a path, where it still exists."""
    for key in path[:-1]:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return
    try:
        if drop:
            del value[path[-1]]
        else:
            value[path[-1]] = junk
    except (KeyError, IndexError, TypeError):
        return


@st.composite
def spoilt(draw: st.DrawFn, answer: Any) -> Any:
    """An answer with up to a dozen parts spoilt."""
    found = copy.deepcopy(answer)
    known = places(answer)
    for path in draw(st.lists(st.sampled_from(known), max_size=12)):
        spoil(found, path, copy.deepcopy(draw(st.sampled_from(JUNK))), drop=draw(st.booleans()))
    return found


def numbers(value: Any) -> list[float]:
    """Every number in built-in values."""
    if isinstance(value, dict):
        return [found for inner in value.values() for found in numbers(inner)]
    if isinstance(value, list | tuple):
        return [found for inner in value for found in numbers(inner)]
    return [value] if isinstance(value, int | float) else []
