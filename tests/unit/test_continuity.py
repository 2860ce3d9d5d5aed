"""Is it still the same machine, judged from what every poll shows."""

from __future__ import annotations

import pytest

from agent.fleet.continuity import UPTIME_SLACK_S, UPTIME_SLACK_SHARE, Baseline, doubt
from drivers.model import Fingerprint

T0 = 5000.0


def fingerprint(uptime_s: float | None = 1000.0, counters=(), traits=("S19", "b7")) -> Fingerprint:
    return Fingerprint(traits=traits, uptime_s=uptime_s, counters=counters)


BASELINE = Baseline(fingerprint(), T0)


def seen(uptime_s: float | None, after_s: float) -> str | None:
    return doubt(BASELINE, (), fingerprint(uptime_s), T0 + after_s)


@pytest.mark.parametrize("after_s", [0.0, 10.0, 60.0, 3600.0, 7 * 86_400.0])
def test_who_runs_on_is_not_doubted(after_s):
    assert seen(1000.0 + after_s, after_s) is None


def test_an_uptime_that_went_back_is_doubted():
    assert "-1030 s" in (seen(30.0, 60.0) or "")


def test_an_uptime_that_jumped_ahead_is_doubted():
    """Another machine, which has run for longer than this one could have."""
    assert "+500 s" in (seen(1560.0, 60.0) or "")


def test_a_frozen_uptime_is_doubted_after_the_slack():
    assert seen(1000.0, UPTIME_SLACK_S - 0.5) is None
    assert seen(1000.0, UPTIME_SLACK_S + 0.5) is not None


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_clock_that_is_a_little_slow_or_fast_is_tolerated_for_ever(sign):
    rate = 1 + sign * UPTIME_SLACK_SHARE * 0.9
    for after_s in (60.0, 3600.0, 30 * 86_400.0):
        assert seen(1000.0 + after_s * rate, after_s) is None


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_drift_adds_up_against_the_confirmation_though_no_step_is_large(sign):
    """Each poll is a second off the one before; what counts is the sum."""
    verdicts = [seen(1000.0 + step * (60.0 + sign), step * 60.0) for step in range(1, 11)]
    assert verdicts[3] is None
    assert verdicts[9] is not None


def test_rounding_to_whole_seconds_is_tolerated():
    for step in range(1, 500):
        after_s = step * 9.7
        assert seen(float(int(1000.4 + after_s)), after_s) is None


@pytest.mark.parametrize(("was", "now"), [(1000.0, None), (None, 1000.0)])
def test_an_uptime_that_comes_or_goes_is_doubted(was, now):
    assert doubt(Baseline(fingerprint(was), T0), (), fingerprint(now), T0) is not None


def test_who_never_gives_an_uptime_is_judged_by_the_rest():
    baseline = Baseline(fingerprint(None), T0)
    assert doubt(baseline, (), fingerprint(None), T0 + 1e6) is None
    assert doubt(baseline, (5.0,), fingerprint(None, (4.0,)), T0 + 60) is not None


def test_other_traits_are_doubted_and_named():
    other = fingerprint(1060.0, traits=("S19", "b8"))
    assert doubt(BASELINE, (), other, T0 + 60) == "its traits changed: b7 -> b8"


def test_hostile_traits_do_not_flood_the_log():
    other = fingerprint(1060.0, traits=("x" * 100_000,))
    assert len(doubt(BASELINE, (), other, T0 + 60) or "") < 300


def test_counters_may_stand_still_but_not_go_back():
    def counted(*counters: float) -> str | None:
        return doubt(BASELINE, (10.0, 20.0), fingerprint(1060.0, counters), T0 + 60)

    assert counted(10.0, 20.0) is None
    assert counted(11.0, 25.0) is None
    assert counted(11.0, 19.0) == "its counters went back"
