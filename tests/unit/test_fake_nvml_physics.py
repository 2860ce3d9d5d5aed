"""The fake GPUs' power, clocks, heat and counters, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.sim.nvml.control import FakeGpus
from tests.fake_nvml import handles, site

IDLE, USER_CLOCKS, POWER_CAP, HW_SLOWDOWN = 1, 2, 4, 8
SW_THERMAL, HW_THERMAL, POWER_BRAKE = 0x20, 0x40, 0x80


class Bench:
    """One H100 under the hands of a test."""

    def __init__(self, fake: FakeGpus, n: Any) -> None:
        self.fake = fake
        self.n = n
        self.gpu = fake[0]
        self.handle = handles(n)[0]

    def power_w(self) -> float:
        return float(self.n.nvmlDeviceGetPowerUsage(self.handle) / 1e3)

    def instant_w(self) -> float:
        return float(self.field(self.n.NVML_FI_DEV_POWER_INSTANT).uiVal / 1e3)

    def energy_j(self) -> float:
        return float(self.n.nvmlDeviceGetTotalEnergyConsumption(self.handle) / 1e3)

    def sm_mhz(self) -> int:
        return int(self.n.nvmlDeviceGetClockInfo(self.handle, self.n.NVML_CLOCK_SM))

    def temperature_c(self) -> int:
        return int(self.n.nvmlDeviceGetTemperatureV(self.handle, 0))

    def reasons(self) -> int:
        return int(self.n.nvmlDeviceGetCurrentClocksEventReasons(self.handle))

    def limit(self, watts: float) -> None:
        self.n.nvmlDeviceSetPowerManagementLimit(self.handle, int(watts * 1e3))

    def field(self, number: int) -> Any:
        (value,) = self.n.nvmlDeviceGetFieldValues(self.handle, [number])
        assert value.nvmlReturn == 0
        return value.value


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with site(tmp_path_factory.mktemp("physics"), "h100-sxm,a100-40gb,t4") as (fake, n):
        yield Bench(fake, n)


@pytest.fixture
def bench(shared: Bench) -> Bench:
    shared.gpu.pin()
    shared.gpu.throttle(0)
    shared.gpu.load(0)
    shared.fake.reset(0)
    shared.fake.advance(600)
    return shared


def test_an_idle_gpu(bench: Bench) -> None:
    assert (bench.power_w(), bench.sm_mhz(), bench.reasons()) == (70.0, 345, IDLE)
    assert bench.n.nvmlDeviceGetPerformanceState(handles(bench.n)[2]) == 8


def test_power_follows_the_load_and_its_reading_a_second_later(bench: Bench) -> None:
    bench.gpu.load(100)
    assert bench.instant_w() == 690.0
    assert bench.power_w() == 70.0
    bench.fake.advance(1)
    assert bench.power_w() == pytest.approx(70 + 620 * 0.632, abs=2)
    bench.fake.advance(20)
    assert bench.power_w() == pytest.approx(690, abs=0.1)


def test_an_a100_reads_its_power_of_the_moment(bench: Bench) -> None:
    bench.fake[1].load(100)
    a100 = handles(bench.n)[1]
    assert bench.n.nvmlDeviceGetPowerUsage(a100) == 396_000
    bench.fake[1].load(0)


def test_a_limit_lowers_clock_and_power(bench: Bench) -> None:
    bench.gpu.load(100)
    bench.limit(400)
    assert bench.instant_w() == pytest.approx(400, abs=0.1)
    assert 1400 < bench.sm_mhz() < 1980
    assert bench.reasons() == POWER_CAP
    bench.limit(700)
    assert (bench.sm_mhz(), bench.reasons()) == (1980, 0)


def test_a_cap_from_outside_is_enforced_and_not_requested(bench: Bench) -> None:
    bench.gpu.cap(500)
    assert bench.n.nvmlDeviceGetPowerManagementLimit(bench.handle) == 700_000
    assert bench.n.nvmlDeviceGetEnforcedPowerLimit(bench.handle) == 500_000
    assert bench.field(bench.n.NVML_FI_DEV_POWER_REQUESTED_LIMIT).uiVal == 700_000
    assert bench.field(bench.n.NVML_FI_DEV_POWER_CURRENT_LIMIT).uiVal == 500_000
    bench.gpu.cap(0)


def test_limits_outside_the_constraints_are_refused(bench: Bench) -> None:
    least, most = bench.n.nvmlDeviceGetPowerManagementLimitConstraints(bench.handle)
    for watts in (least / 1e3 - 1, most / 1e3 + 1):
        with pytest.raises(bench.n.NVMLError_InvalidArgument):
            bench.limit(watts)
    assert bench.gpu.limit_w == 700


def test_limits_can_be_rounded(bench: Bench) -> None:
    bench.gpu.round_limits(5)
    bench.limit(403.5)
    assert bench.n.nvmlDeviceGetPowerManagementLimit(bench.handle) == 400_000
    bench.gpu.round_limits(0)


def test_energy_is_power_over_time(bench: Bench) -> None:
    bench.gpu.pin(power_w=250)
    before = bench.energy_j()
    bench.fake.advance(3600)
    assert bench.energy_j() - before == pytest.approx(900_000, rel=1e-6)
    assert bench.field(bench.n.NVML_FI_DEV_ENERGY).ullVal == round(bench.energy_j() * 1e3)
    bench.gpu.reset_energy()
    assert bench.energy_j() == 0


def test_heat_follows_power_slowly_and_cuts_clocks(bench: Bench) -> None:
    bench.gpu.load(100)
    assert bench.temperature_c() == 31
    bench.fake.advance(12)
    assert 40 < bench.temperature_c() < 60
    bench.fake.advance(120)
    assert bench.temperature_c() == 68
    bench.gpu.pin(temperature_c=88)
    assert bench.reasons() == SW_THERMAL
    bench.gpu.pin(temperature_c=91, memory_temperature_c=97)
    assert bench.reasons() == HW_SLOWDOWN | HW_THERMAL
    assert bench.sm_mhz() == 990
    assert bench.field(bench.n.NVML_FI_DEV_MEMORY_TEMP).uiVal == 97
    assert bench.n.nvmlDeviceGetMarginTemperature(bench.handle) == -4


def test_throttled_time_is_counted_by_reason(bench: Bench) -> None:
    n = bench.n
    ids = (
        n.NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP,
        n.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN,
        n.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN,
    )
    before = [bench.field(each).ullVal for each in ids]
    bench.gpu.load(100)
    bench.limit(300)
    bench.fake.advance(7)
    bench.limit(700)
    bench.gpu.throttle(POWER_BRAKE | HW_SLOWDOWN)
    bench.fake.advance(3)
    grown = [bench.field(each).ullVal - old for each, old in zip(ids, before, strict=True)]
    assert grown == [pytest.approx(7e9), 0, pytest.approx(3e9)]
    status = n.nvmlDeviceGetViolationStatus(bench.handle, n.NVML_PERF_POLICY_POWER)
    assert status.violationTime == bench.field(ids[0]).ullVal


def test_locked_clocks_hold_and_snap(bench: Bench) -> None:
    bench.gpu.load(100)
    bench.n.nvmlDeviceSetGpuLockedClocks(bench.handle, 1000, 1200)
    assert bench.sm_mhz() == 1200
    assert bench.reasons() == USER_CLOCKS
    assert bench.instant_w() < 300
    bench.n.nvmlDeviceSetGpuLockedClocks(bench.handle, 1201, 1209)
    assert bench.sm_mhz() in bench.n.nvmlDeviceGetSupportedGraphicsClocks(bench.handle, 2619)
    bench.n.nvmlDeviceResetGpuLockedClocks(bench.handle)
    assert (bench.sm_mhz(), bench.reasons()) == (1980, 0)


def test_gpm_says_what_happened_between_two_samples(bench: Bench) -> None:
    n = bench.n
    bench.gpu.load(80, sm_active_pct=70, tensor_pct=55, dram_pct=33, pcie_rx_kib_s=2048)
    one, two = n.nvmlGpmSampleAlloc(), n.nvmlGpmSampleAlloc()
    n.nvmlGpmSampleGet(bench.handle, one)
    bench.fake.advance(1)
    bench.gpu.load(0)
    bench.fake.advance(1)
    n.nvmlGpmSampleGet(bench.handle, two)
    request = n.c_nvmlGpmMetricsGet_t(version=1, numMetrics=6, sample1=one, sample2=two)
    for place, number in enumerate((1, 2, 5, 10, 21, 6)):
        request.metrics[place].metricId = number
    n.nvmlGpmMetricsGet(request)
    values = [(each.nvmlReturn, round(each.value, 3)) for each in request.metrics[:6]]
    assert values == [(0, 40), (0, 35), (0, 27.5), (0, 16.5), (0, 1), (3, 0)]
    assert bench.fake.raw.gpm_samples == 2
    for sample in (one, two):
        n.nvmlGpmSampleFree(sample)
    assert bench.fake.raw.gpm_samples == 0


def test_gpm_is_for_hopper_and_later(bench: Bench) -> None:
    n = bench.n
    hopper, ampere, _ = handles(n)
    assert n.nvmlGpmQueryDeviceSupport(hopper).isSupportedDevice == 1
    assert n.nvmlGpmQueryDeviceSupport(ampere).isSupportedDevice == 0
    sample = n.nvmlGpmSampleAlloc()
    with pytest.raises(n.NVMLError_NotSupported):
        n.nvmlGpmSampleGet(ampere, sample)
    n.nvmlGpmSampleFree(sample)


def test_a_rival_writes_the_limit_again_and_again(bench: Bench) -> None:
    bench.gpu.load(100)
    bench.gpu.rival([350, 500], period_s=10)
    seen = []
    for _ in range(4):
        bench.fake.advance(10)
        seen.append(bench.n.nvmlDeviceGetPowerManagementLimit(bench.handle) / 1e3)
    assert seen == [350, 500, 350, 500]
    bench.limit(600)
    assert bench.gpu.limit_w == 600
    bench.fake.advance(10)
    assert bench.gpu.limit_w == 350
    assert bench.gpu.raw.rival.writes == 5
    bench.gpu.rival([], 0)


def test_power_is_integrated_over_a_limit_that_changes_meanwhile(bench: Bench) -> None:
    bench.gpu.load(100)
    before = bench.energy_j()
    bench.gpu.rival([300, 600], period_s=100)
    bench.fake.advance(300)
    bench.gpu.rival([], 0)
    assert bench.energy_j() - before == pytest.approx(100 * (690 + 300 + 600), rel=1e-3)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    load=st.floats(0, 100),
    limit=st.integers(200, 700),
    spans=st.lists(st.floats(0.001, 5000), min_size=1, max_size=6),
)
def test_it_keeps_its_limit_and_counts_its_energy(
    bench: Bench, load: float, limit: int, spans: list[float]
) -> None:
    bench.gpu.load(load)
    bench.limit(limit)
    start, last = bench.energy_j(), bench.energy_j()
    for span in spans:
        bench.fake.advance(span)
        assert bench.instant_w() <= limit + 0.1
        assert bench.energy_j() >= last
        last = bench.energy_j()
    assert last - start == pytest.approx(bench.instant_w() * sum(spans), rel=0.02, abs=5)
    assert 27 <= bench.temperature_c() <= 68
