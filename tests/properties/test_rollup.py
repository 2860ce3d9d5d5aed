"""Running totals equal the sum over the last readings, after any history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fleet.rollup import Rollup
from drivers.model import MinerReading, PowerSource, State
from tests.unit.test_rollup import reading

VALUES = st.one_of(st.none(), st.floats(0.0, 20_000.0))
READINGS = st.builds(
    reading,
    st.sampled_from("abcde"),
    st.sampled_from(State),
    hashrate_ths=VALUES,
    hashrate_nominal_ths=VALUES,
    power_w=VALUES,
    power_source=st.one_of(st.none(), st.sampled_from(PowerSource)),
)
STEPS = st.lists(st.one_of(READINGS, st.sampled_from("abcde")), max_size=60)


@given(STEPS)
def test_totals_are_the_sum_over_the_last_readings(steps: list[MinerReading | str]) -> None:
    rollup, last = Rollup(), {}
    for step in steps:
        if isinstance(step, str):
            rollup.remove(step)
            last.pop(step, None)
        else:
            rollup.replace(step)
            last[step.device_id] = step
    totals = rollup.totals()
    assert totals.devices == len(last)
    assert totals.by_state == Counter(str(each.state) for each in last.values())

    def total(value: Callable[[MinerReading], float | None]) -> object:
        return pytest.approx(sum(value(each) or 0.0 for each in last.values()), abs=0.01)

    assert totals.hashrate_ths == total(lambda each: each.hashrate_ths)
    assert totals.hashrate_nominal_ths == total(lambda each: each.hashrate_nominal_ths)
    watts = {
        PowerSource.METERED: totals.power_metered_w,
        PowerSource.REPORTED: totals.power_reported_w,
        PowerSource.MODELLED: totals.power_modelled_w,
    }
    for source, sum_w in watts.items():
        assert sum_w == total(
            lambda each, source=source: each.power_w if each.power_source is source else None
        )
    unknown = [e for e in last.values() if e.power_w is None or e.power_source is None]
    assert totals.without_power == len(unknown)


@given(STEPS)
def test_when_all_are_gone_nothing_is_left(steps: list[MinerReading | str]) -> None:
    """To the last digit: rounding errors of a year would add up."""
    rollup = Rollup()
    for step in steps:
        if not isinstance(step, str):
            rollup.replace(step)
    for device_id in "abcde":
        rollup.remove(device_id)
    assert rollup.totals() == Rollup().totals()
