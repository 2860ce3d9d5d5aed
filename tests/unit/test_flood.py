"""Faults that come too fast to be told one by one are counted, and none is left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.fleet.flood import BURST, PERIOD_S, Flood

ONE, OTHER = ("gpu-a", "xid-45"), ("gpu-b", "xid-45")


def test_the_first_ones_are_told_one_by_one() -> None:
    flood = Flood()
    assert [flood.repeats(ONE, 0.0) for _ in range(BURST)] == [0] * BURST
    assert flood.repeats(ONE, 0.0) is None


def test_others_are_not_held_back_by_it() -> None:
    flood = Flood(burst=1)
    assert flood.repeats(ONE, 0.0) == 0
    assert flood.repeats(ONE, 1.0) is None
    assert flood.repeats(OTHER, 1.0) == 0


def test_the_next_one_after_the_period_says_how_many_were_not_told() -> None:
    flood = Flood(burst=1)
    for second in range(4):
        flood.repeats(ONE, float(second))
    assert flood.repeats(ONE, PERIOD_S) == 3
    assert flood.repeats(ONE, PERIOD_S + 1) is None


def test_a_flood_that_has_ended_is_told_once() -> None:
    flood = Flood(burst=1)
    for second in range(4):
        flood.repeats(ONE, float(second))
    flood.repeats(OTHER, 0.0)
    assert flood.ended(PERIOD_S - 1) == []
    assert sorted(flood.ended(PERIOD_S)) == [(ONE, 3), (OTHER, 0)]
    assert flood.ended(2 * PERIOD_S) == []
    assert flood.repeats(ONE, 2 * PERIOD_S) == 0


@given(st.lists(st.floats(0, 30), max_size=80), st.sets(st.integers(0, 80)))
def test_told_and_untold_are_all_there_were(gaps: list[float], ticks: set[int]) -> None:
    flood, now, told, untold = Flood(burst=3), 0.0, 0, 0
    for index, gap in enumerate(gaps):
        now += gap
        if index in ticks:
            untold += sum(count for _, count in flood.ended(now))
        repeats = flood.repeats(ONE, now)
        told += repeats is not None
        untold += repeats or 0
    untold += sum(count for _, count in flood.ended(now + PERIOD_S))
    assert told + untold == len(gaps)
