"""Arbitrary damage to an answer, for property tests: what devices and cut lines do to JSON."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(10**40), max_value=10**40),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["", "inf", "nan", "-1", "1e999", "12.5W", "99:99:99:99", "\ud800", "0-0-0"]),
    st.lists(st.one_of(st.integers(), st.text(max_size=4), st.none()), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=3),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, part in value.items():
            found += _places(part, (*path, key))
    elif isinstance(value, list):
        for at, part in enumerate(value):
            found += _places(part, (*path, at))
    return found


@st.composite
def mutations(draw: st.DrawFn, answer: Any) -> Any:
    """The answer with up to six of its parts dropped or replaced by something else."""
    damaged = copy.deepcopy(answer)
    for _ in range(draw(st.integers(1, 6))):
        places = _places(damaged)
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        parent = damaged
        for step in way:
            parent = parent[step]
        if draw(st.booleans()):
            del parent[last]
        else:
            parent[last] = draw(JUNK)
    return damaged
