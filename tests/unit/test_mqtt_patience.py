"""When a session waits, and when it gives up."""

from __future__ import annotations

import random

import pytest

from agent.mqtt.backoff import Backoff
from agent.mqtt.failure import Cause
from agent.mqtt.watch import Watch


def test_delays_spread_under_a_ceiling_that_doubles():
    highest = [0.0] * 9
    for seed in range(300):
        backoff = Backoff(1, 120, random.Random(seed))
        for attempt in range(9):
            delay = backoff.next_s()
            assert 1 <= delay <= min(2 ** (attempt + 1), 120)
            highest[attempt] = max(highest[attempt], delay)
    assert [round(delay / 2 ** (n + 1), 1) for n, delay in enumerate(highest[:6])] == [1.0] * 6
    assert highest[8] > 115


def test_a_slow_delay_lies_in_the_upper_half_and_a_reset_begins_again():
    backoff = Backoff(1, 120, random.Random(1))
    assert all(60 <= backoff.next_s(slow=True) <= 120 for _ in range(100))
    for _ in range(10):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 2


def test_a_ceiling_below_the_floor_is_the_floor():
    assert Backoff(5, 1, random.Random(1)).next_s() == 5


def look(watch: Watch, now: float, **seen) -> Cause | None:
    lost = watch.verdict(now, **{"progress": 1, "oldest": None, "blocked": False, **seen})
    return None if lost is None else lost.cause


@pytest.mark.parametrize("keepalive_s", [1, 5, 30, 3600])
@pytest.mark.parametrize("phase", [0.0, 0.01, 0.5, 0.99])
def test_silence_is_noticed_within_two_keepalives(keepalive_s, phase):
    """Whenever between two looks the broker froze."""
    watch = Watch(keepalive_s, now=0)
    every_s = watch.look_every_s
    frozen_at = (2 + phase) * every_s
    assert [look(watch, at * every_s, progress=at) for at in range(3)] == [None] * 3
    at = 3
    while (cause := look(watch, at * every_s, progress=3)) is None:
        at += 1
    assert cause is Cause.FROZEN
    assert 1.5 * keepalive_s - every_s <= at * every_s - frozen_at <= 2 * keepalive_s


def test_any_progress_counts():
    watch = Watch(30, now=0)
    for second in range(0, 1000, 50):
        assert look(watch, second, progress=second) is None


def test_a_publish_that_stays_unacknowledged_is_stalled_though_pings_are_answered():
    watch = Watch(30, now=0)
    verdicts = [look(watch, now, progress=now, oldest=7) for now in range(0, 62, 1)]
    assert verdicts[:59] == [None] * 59
    assert verdicts[59] is Cause.STALLED


def test_acknowledgements_that_go_on_are_no_stall_nor_is_a_slow_path():
    watch = Watch(30, now=0)
    assert all(look(watch, now, progress=now, oldest=now // 50) is None for now in range(300))
    assert all(
        look(watch, now, progress=now, oldest=7, blocked=True) is None for now in range(300, 600)
    )


def test_pings_go_out_twice_per_keepalive_but_not_behind_a_backlog():
    watch = Watch(30, now=0)
    assert [now for now in range(61) if watch.ping_due(now, blocked=False)] == [15, 30, 45, 60]
    assert not watch.ping_due(100, blocked=True)


def test_the_brokers_keepalive_is_taken_where_it_is_shorter():
    watch = Watch(30, now=0)
    for keepalive, kept in ((0, 30), (60, 30), (10, 10)):
        watch.adopt(keepalive)
        assert watch.keepalive_s == kept
