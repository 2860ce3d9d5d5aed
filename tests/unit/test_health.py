"""How a device fares, and how long one that fails is left alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fleet.health import (
    LONGEST_WAIT_S,
    OFFLINE_AFTER,
    ONLINE_AFTER,
    Health,
    HealthTracker,
    wait_after_failures_s,
)


@pytest.fixture
def health() -> HealthTracker:
    return HealthTracker()


def test_one_failure_degrades_and_one_answer_heals(health):
    assert not health.answered()
    assert health.failed()
    assert (health.state, health.failures) == (Health.DEGRADED, 1)
    assert not health.failed()
    assert health.answered()
    assert (health.state, health.failures) == (Health.ONLINE, 0)


def test_offline_only_after_failures_in_a_row(health):
    for _ in range(5):
        for _ in range(OFFLINE_AFTER - 1):
            health.failed()
        health.answered()
    assert health.state is Health.ONLINE
    changes = [health.failed() for _ in range(OFFLINE_AFTER + 2)]
    assert health.state is Health.OFFLINE
    assert changes == [True, False, True, False, False]


def test_online_again_only_after_answers_in_a_row(health):
    for _ in range(OFFLINE_AFTER):
        health.failed()
    assert not health.answered()
    assert health.state is Health.OFFLINE
    assert not health.failed()  # still offline: no event for a flapping device
    assert [health.answered() for _ in range(ONLINE_AFTER)] == [False, True]
    assert health.state is Health.ONLINE


def test_an_offline_device_that_answered_once_fails_back_at_once(health):
    for _ in range(OFFLINE_AFTER):
        health.failed()
    health.answered()
    assert health.failures == 0
    health.failed()
    assert health.state is Health.OFFLINE


def test_before_it_is_offline_a_device_is_polled_in_its_turn():
    rng = random.Random(1)
    waits = [wait_after_failures_s(failures, 60.0, rng) for failures in range(OFFLINE_AFTER)]
    assert waits == [None] * OFFLINE_AFTER


def test_the_wait_doubles_up_to_ten_minutes():
    middle = random.Random(1)
    middle.uniform = lambda low, high: (low + high) / 2  # type: ignore[method-assign]
    waits = [wait_after_failures_s(OFFLINE_AFTER + more, 60.0, middle) for more in range(6)]
    assert waits == [120.0, 240.0, 480.0, 600.0, 600.0, 600.0]


@given(
    failures=st.integers(OFFLINE_AFTER, 10_000),
    interval_s=st.floats(0.1, 86_400.0),
    seed=st.integers(0, 2**32),
)
def test_the_wait_keeps_its_bounds(failures: int, interval_s: float, seed: int) -> None:
    wait_s = wait_after_failures_s(failures, interval_s, random.Random(seed))
    assert wait_s is not None
    assert 0.8 * interval_s <= wait_s <= 1.2 * max(LONGEST_WAIT_S, interval_s)
