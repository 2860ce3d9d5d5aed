"""Whatever waits to start and whenever it is asked, load comes back no faster than it may."""

from __future__ import annotations

import itertools
from collections import defaultdict
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.command.starts import Spacing, Starts

GROUPS = ("a", "b", "c")
RATES = st.floats(0.5, 600.0)
STARTS = st.integers(0, 11)
STEPS = st.one_of(st.just(0.0), st.floats(0.0, 1.0), st.floats(0.0, 300.0))


class Breakers(RuleBasedStateMachine):
    """Few starts in three groups, any rates, and a clock that goes on as it likes."""

    @initialize(per_minute=RATES, per_group=RATES, now=st.floats(0.0, 1e6))
    def begin(self, per_minute: float, per_group: float, now: float) -> None:
        self.starts: Starts[int] = Starts(per_minute, per_group)
        self.gap_s, self.group_gap_s = 60.0 / per_minute, 60.0 / per_group
        self.now = now
        self.waiting: dict[str, list[int]] = {group: [] for group in GROUPS}
        self.times: list[float] = []
        self.group_times: dict[str, list[float]] = defaultdict(list)

    def group_of(self, start: int) -> str | None:
        return next((group for group, kept in self.waiting.items() if start in kept), None)

    def ready(self, group: str) -> bool:
        """Whether both gaps have passed, by what was seen to start."""
        free = not self.times or self.now >= self.times[-1] + self.gap_s
        mine = self.group_times[group]
        return free and (not mine or self.now >= mine[-1] + self.group_gap_s)

    @rule(start=STARTS, group=st.sampled_from(GROUPS))
    def put(self, start: int, group: str) -> None:
        self.starts.put(start, group)
        if self.group_of(start) is None:
            self.waiting[group].append(start)

    @rule(start=STARTS)
    def drop(self, start: int) -> None:
        group = self.group_of(start)
        assert self.starts.drop(start) is (group is not None)
        if group is not None:
            self.waiting[group].remove(start)

    @rule(seconds=STEPS)
    def pop(self, seconds: float) -> None:
        self.now += seconds
        self.take()

    @rule()
    def pop_when_told(self) -> None:
        """At the very moment that `next_at` names, the next start goes."""
        at = self.starts.next_at()
        if at is None:
            return
        self.now = max(self.now, at)
        assert self.take() is not None

    def take(self) -> int | None:
        allowed = {group for group, kept in self.waiting.items() if kept and self.ready(group)}
        told_at = self.starts.next_at()
        start = self.starts.pop(self.now)
        if start is None:
            assert not allowed  # nobody whose turn has come is held up
            return None
        assert told_at is not None
        assert told_at <= self.now
        group = self.group_of(start)
        assert group in allowed
        assert self.waiting[group].pop(0) == start  # each once, in the order of its group
        self.times.append(self.now)
        self.group_times[group].append(self.now)
        return start

    @invariant()
    def as_many_wait_as_were_put(self) -> None:
        if not hasattr(self, "starts"):
            return
        count = sum(map(len, self.waiting.values()))
        assert len(self.starts) == count
        assert (self.starts.next_at() is None) == (count == 0)

    @invariant()
    def the_gaps_are_kept(self) -> None:
        if not hasattr(self, "starts"):
            return
        for gap_s, times in [
            (self.gap_s, self.times),
            *((self.group_gap_s, times) for times in self.group_times.values()),
        ]:
            for before, after in itertools.pairwise(times):
                assert after >= before + gap_s

    def teardown(self) -> None:
        """Whoever waits comes in the end."""
        while hasattr(self, "starts") and len(self.starts):
            self.pop_when_told()
            self.the_gaps_are_kept()


TestBreakers = Breakers.TestCase
TestBreakers.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_of_many_groups_those_that_are_forgotten_keep_their_gap() -> None:
    """More groups than are remembered, each coming back as soon as it may."""
    starts: Starts[int] = Starts(per_minute=600.0, per_group_per_minute=2.0)
    seen: dict[str, list[float]] = defaultdict(list)
    now = 0.0
    for number in range(2000):
        starts.put(number, f"g{number % 400}")
    while (at := starts.next_at()) is not None:
        now = max(now, at)
        start = starts.pop(now)
        assert start is not None
        seen[f"g{start % 400}"].append(now)
    assert sum(map(len, seen.values())) == 2000
    for times in seen.values():
        assert all(after >= before + 30.0 for before, after in itertools.pairwise(times))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), min_size=1, max_size=60),
    st.floats(1, 600),
    st.floats(1, 600),
)
def test_reserved_moments_keep_their_distance(asked, per_minute, per_group) -> None:
    spacing, now = Spacing(per_minute, per_group), 0.0
    given_out: list[tuple[str, float]] = []
    for group, passed_s in asked:
        now += passed_s
        at = spacing.reserve(group, now)
        assert at >= now
        given_out.append((group, at))
    for moments, gap_s in (
        ([at for _, at in given_out], 60 / per_minute),
        *(([at for g, at in given_out if g == group], 60 / per_group) for group in "abc"),
    ):
        assert all(b - a >= gap_s * (1 - 1e-9) for a, b in pairwise(moments))
