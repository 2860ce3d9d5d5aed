"""Whatever happens to a schedule, its group keeps its gap and nobody comes twice."""

from __future__ import annotations

import itertools
import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from agent.fleet.schedule import Due, Schedule

PER_SECOND = 2.0
KEYS = st.integers(0, 9)


class Plan(RuleBasedStateMachine):
    """A schedule of few devices in two groups with a narrow rate."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule: Schedule[int] = Schedule(10.0, PER_SECOND, random.Random(7))
        self.now = 0.0
        self.out: dict[int, Due[int]] = {}
        self.seen: dict[int, list[float]] = {0: [], 1: []}

    @rule(key=KEYS)
    def add(self, key: int) -> None:
        self.schedule.add(key, str(key % 2), self.now)
        self.out.pop(key, None)

    @rule(key=KEYS)
    def remove(self, key: int) -> None:
        self.schedule.remove(key)

    @rule(seconds=st.one_of(st.floats(0.0, 1.0), st.floats(0.0, 25.0)))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for due in self.schedule.pop_due(self.now):
            assert due.key in self.schedule
            assert due.key not in self.out
            assert due.at <= self.now
            self.out[due.key] = due
            self.seen[due.key % 2].append(due.at)
        for times in self.seen.values():
            for before, after in itertools.pairwise(times):
                assert after - before >= 1 / PER_SECOND - 1e-6

    @precondition(lambda self: self.out)
    @rule(data=st.data(), wait_s=st.one_of(st.none(), st.floats(0.1, 100.0)))
    def again(self, data: st.DataObject, wait_s: float | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.out)))
        self.schedule.again(self.out.pop(key), self.now, wait_s=wait_s)

    def teardown(self) -> None:
        """Who is planned comes in the end, in the order of deadlines."""
        planned = {key for key in range(10) if key in self.schedule} - self.out.keys()
        self.now += 1000.0
        dues = self.schedule.pop_due(self.now)
        assert planned <= {due.key for due in dues}
        assert len({due.key for due in dues}) == len(dues)
        assert [due.at for due in dues] == sorted(due.at for due in dues)


TestPlan = Plan.TestCase
TestPlan.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
