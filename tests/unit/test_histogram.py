"""Durations in fixed steps."""

from __future__ import annotations

import math
import random

import pytest

from agent.fleet.histogram import STEPS_S, Histogram


@pytest.fixture
def histogram() -> Histogram:
    return Histogram()


def test_of_nothing_there_is_no_quantile(histogram):
    assert histogram.quantile_s(0.5) is None
    assert histogram.steps() == {}


def test_a_quantile_is_right_to_within_a_step(histogram):
    rng = random.Random(1)
    values = sorted(rng.uniform(0.0, 4.0) for _ in range(10_000))
    for value in values:
        histogram.add(value)
    for share in (0.1, 0.5, 0.9, 0.99):
        true = values[int(share * len(values)) - 1]
        step = next(step for step in STEPS_S if step >= true)
        assert true <= histogram.quantile_s(share) <= step
    assert histogram.quantile_s(1.0) == histogram.max_s == values[-1]


def test_no_quantile_is_above_what_was_seen(histogram):
    histogram.add(0.0011)
    assert histogram.quantile_s(0.99) == 0.0011


def test_beyond_the_last_step_is_infinity(histogram):
    histogram.add(1000.0)
    histogram.add(0.5)
    assert histogram.steps() == {0.5: 1, math.inf: 1}
    assert histogram.quantile_s(1.0) == 1000.0
    assert histogram.count == 2


def test_a_value_on_a_bound_belongs_to_its_step(histogram):
    histogram.add(0.05)
    assert histogram.steps() == {0.05: 1}


def test_early_is_not_late(histogram):
    histogram.add(-0.002)
    assert histogram.max_s == 0.0
    assert histogram.steps() == {0.001: 1}
