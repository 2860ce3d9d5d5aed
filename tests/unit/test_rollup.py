"""Totals over the fleet."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent.fleet.rollup import Rollup
from drivers.model import HostReading, Kind, MinerReading, PowerSource, State
from drivers.model_gpu import GpuReading

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def reading(device_id: str, state: State = State.MINING, **values: object) -> MinerReading:
    return MinerReading(device_id=device_id, kind=Kind.ASIC, taken_at=WHEN, state=state, **values)


@pytest.fixture
def rollup() -> Rollup:
    return Rollup()


def test_nothing_adds_up_to_nothing(rollup):
    totals = rollup.totals()
    assert (totals.devices, totals.hashrate_ths, totals.without_power) == (0, 0.0, 0)
    assert totals.by_state == {}


def test_watts_are_never_added_up_across_their_sources(rollup):
    for number, source in enumerate(PowerSource, 1):
        rollup.replace(reading(f"a{number}", power_w=1000.0 * number, power_source=source))
        rollup.replace(reading(f"b{number}", power_w=0.5, power_source=source))
    totals = rollup.totals()
    assert totals.power_metered_w == 1000.5
    assert totals.power_reported_w == 2000.5
    assert totals.power_modelled_w == 3000.5
    assert totals.without_power == 0


def test_unknown_watts_are_counted_as_unknown(rollup):
    rollup.replace(reading("a"))
    rollup.replace(reading("b", power_source=PowerSource.METERED))
    rollup.replace(reading("zero", power_w=0.0, power_source=PowerSource.METERED))
    assert rollup.totals().without_power == 2


def test_watts_without_a_source_are_no_watts(rollup):
    rollup.replace(reading("a", power_w=3000.0))
    totals = rollup.totals()
    watts = (totals.power_metered_w, totals.power_reported_w, totals.power_modelled_w)
    assert watts == (0.0, 0.0, 0.0)
    assert totals.without_power == 1


def test_a_device_counts_by_its_last_reading(rollup):
    rollup.replace(
        reading("a", hashrate_ths=100.0, power_w=3000.0, power_source=PowerSource.REPORTED)
    )
    rollup.replace(reading("a", State.UNREACHABLE))
    totals = rollup.totals()
    assert (totals.devices, totals.hashrate_ths, totals.power_reported_w) == (1, 0.0, 0.0)
    assert totals.by_state == {"unreachable": 1}
    assert totals.without_power == 1


def test_who_is_removed_counts_no_more(rollup):
    rollup.replace(reading("a", hashrate_ths=100.0, hashrate_nominal_ths=110.0))
    rollup.replace(reading("b", State.FAULT))
    rollup.remove("a")
    rollup.remove("nobody")
    totals = rollup.totals()
    assert (totals.devices, totals.hashrate_ths, totals.hashrate_nominal_ths) == (1, 0.0, 0.0)
    assert totals.by_state == {"fault": 1}


def test_what_is_no_miner_has_neither_hashrate_nor_watts(rollup):
    rollup.replace(HostReading(device_id="h", kind=Kind.HOST, taken_at=WHEN, state=State.OK))
    totals = rollup.totals()
    assert (totals.devices, totals.hashrate_ths, totals.without_power) == (1, 0.0, 1)


def gpu(device_id: str, state: State = State.OK, **values: object) -> GpuReading:
    return GpuReading(device_id=device_id, kind=Kind.GPU, taken_at=WHEN, state=state, **values)


def test_gpus_are_in_the_sums_and_stand_apart_as_well(rollup):
    rollup.replace(reading("m", power_w=3000.0, power_source=PowerSource.METERED))
    rollup.replace(
        gpu(
            "a",
            power_w=350.5,
            power_source=PowerSource.REPORTED,
            utilisation_percent=100,
            memory_total_bytes=80,
            memory_used_bytes=60,
        )
    )
    rollup.replace(gpu("b", State.FAULT))
    rollup.replace(gpu("c", utilisation_percent=51, memory_total_bytes=80, memory_used_bytes=0))
    totals = rollup.totals()
    assert (totals.devices, totals.power_reported_w, totals.without_power) == (4, 350.5, 2)
    assert totals.by_state == {"fault": 1, "mining": 1, "ok": 2}
    found = totals.gpus
    assert (found.devices, found.power_reported_w, found.power_metered_w) == (3, 350.5, 0.0)
    assert (found.utilisation_percent, found.with_utilisation) == (75.5, 2)
    assert (found.memory_total_bytes, found.memory_used_bytes) == (160, 60)
    assert (found.without_power, found.by_state) == (2, {"fault": 1, "ok": 2})


def test_a_gpu_that_is_removed_counts_no_more(rollup):
    rollup.replace(gpu("a", power_w=350.0, power_source=PowerSource.REPORTED))
    rollup.remove("a")
    totals = rollup.totals()
    assert (totals.gpus.devices, totals.gpus.utilisation_percent) == (0, None)
    assert (totals.devices, totals.power_reported_w) == (0, 0.0)
