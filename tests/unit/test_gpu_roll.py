"""Which GPUs are missing, by what was ever seen and by what is configured."""

from __future__ import annotations

import pytest

from agent.config.schema import Gpu
from agent.fleet.gpu_roll import Call, call


def roll(known: str, seen: str, *, expected: int | None = None, ids: str = "") -> Call:
    settings = Gpu(expected=expected, expected_ids=tuple(ids))
    return call(settings, known, seen)


@pytest.mark.parametrize(
    ("known", "seen", "options", "missing", "forgotten", "short_by"),
    [
        ("", "", {}, "", "", 0),
        ("", "abc", {}, "", "", 0),
        ("abc", "ab", {}, "c", "", 1),
        ("abc", "abd", {}, "c", "", 1),
        # so many are expected, and it does not matter which
        ("abc", "ab", {"expected": 2}, "", "c", 0),
        ("abc", "abd", {"expected": 3}, "", "c", 0),
        ("abc", "ab", {"expected": 3}, "c", "", 1),
        ("ab", "ab", {"expected": 4}, "", "", 2),
        ("abc", "ab", {"expected": 4}, "c", "", 2),
        ("", "", {"expected": 8}, "", "", 8),
        ("a", "a", {"expected": 0}, "", "", 0),
        ("a", "", {"expected": 0}, "", "a", 0),
        # these are expected
        ("abc", "a", {"ids": "ab"}, "b", "c", 1),
        ("", "a", {"ids": "az"}, "z", "", 1),
        ("abc", "abc", {"ids": "ab"}, "", "", 0),
        # and both
        ("abc", "ac", {"ids": "ab", "expected": 2}, "b", "", 1),
    ],
)
def test_the_roll(
    known: str, seen: str, options: dict[str, object], missing: str, forgotten: str, short_by: int
) -> None:
    found = roll(known, seen, **options)  # type: ignore[arg-type]
    assert ("".join(found.missing), "".join(found.forgotten)) == (missing, forgotten)
    assert (found.short_by, found.seen) == (short_by, len(seen))
