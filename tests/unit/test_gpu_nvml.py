"""NVML read into the model: the real binding on the fake library, in this process."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.errors import AccessDenied, DriverError, OutOfRange, Refused, Unsupported
from drivers.gpu.cell import Cell, new_cell
from drivers.gpu.errors import (
    Cause,
    DriverNotLoaded,
    GpuLost,
    HandlesGone,
    InUse,
    NvmlFailed,
    OldDriver,
    VersionMismatch,
)
from drivers.gpu.protocol import Tier
from drivers.model_gpu import GpuReading
from drivers.sim.nvml.control import FakeGpus
from drivers.sim.nvml.tables import load_models
from tests.fake_nvml import binding, site

MODELS = list(load_models())
TIERS = tuple(Tier)
BORN_IN_THE_DRIVER = {
    "device_id", "kind", "taken_at", "state", "uptime_s", "faults", "missing", "power_source",
    "energy_restarts", "medium_age_s", "slow_age_s",
}  # fmt: skip


@pytest.fixture
def cell() -> Iterator[Cell]:
    _, made = new_cell()
    yield made
    made.close()


def held(pynvml: Any, cell: Cell, index: int = 0) -> Any:
    from drivers.gpu.nvml.held import Held
    from drivers.gpu.nvml.session import Nvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return Held(Nvml(cell), pynvml.nvmlDeviceGetUUID(handle), handle, "0000:1b:00.0", index)


def scan(gpu: Any, *tiers: Tier) -> tuple[dict[str, Any], dict[str, str]]:
    from drivers.gpu.nvml.metrics import scan as read

    return read(gpu, tiers or TIERS)


def later(fake: FakeGpus, gpu: Any, seconds: float = 1.0) -> tuple[dict[str, Any], dict[str, str]]:
    """Means are of the time between two readings: both clocks have to go on."""
    fake.advance(seconds)
    time.sleep(0.12)
    return scan(gpu)


# --- every value, or why not ---------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["580", "550", "470"])
@pytest.mark.parametrize("model", MODELS)
def test_every_value_is_there_or_absent_for_a_reason(
    model: str, driver: str, tmp_path: Path, cell: Cell
) -> None:
    from drivers.gpu.nvml.metrics import fields_of

    with site(tmp_path, model, driver=driver) as (fake, pynvml):
        gpu = held(pynvml, cell)
        scan(gpu)
        values, absent = later(fake, gpu)
    assert values.keys() | absent.keys() == fields_of(TIERS)
    assert not values.keys() & absent.keys()
    assert set(absent.values()) <= {Cause.NOT_SUPPORTED, Cause.OLD_DRIVER}
    assert values["temp_c"] > 0


def test_the_fields_are_those_of_the_model() -> None:
    binding()
    from drivers.gpu.nvml.metrics import fields_of

    assert fields_of(TIERS) == set(GpuReading.__struct_fields__) - BORN_IN_THE_DRIVER


def test_an_h100_says_everything_but_what_it_does_not_have(tmp_path: Path, cell: Cell) -> None:
    with site(tmp_path, "h100-sxm") as (fake, pynvml):
        gpu = held(pynvml, cell)
        _, at_first = scan(gpu)
        _, absent = later(fake, gpu)
    assert at_first["tensor_active_percent"] == "not_yet"
    assert absent.keys() == {
        "pages_retired_single_bit", "pages_retired_double_bit", "page_retirement_pending",  # older
        "fans",  # the chassis blows
        "vgpu_licensed",  # not virtual
    }  # fmt: skip


def test_values_are_in_the_units_of_their_names(tmp_path: Path, cell: Cell) -> None:
    with site(tmp_path, "h100-sxm") as (fake, pynvml):
        card = fake[0]
        card.pin(power_w=512.0, temperature_c=66.0, memory_temperature_c=71.0)
        card.hold_memory(10 * 2**30)
        card.throttle(0x80)
        card.pcie(generation=4, width=8, replays=7)
        card.ecc("dram", corrected=5, uncorrected=2)
        card.remap(corrected=1, uncorrected=2, pending=True, failure=False)
        card.link(3, active=False)
        card.link(4, replay=9, recovery=2)
        card.start(4321, 80.0, 3 * 2**30)
        fake.advance(100.0)
        gpu = held(pynvml, cell)
        scan(gpu)
        values, _ = later(fake, gpu, 10.0)
    assert values["power_w"] == 512.0
    assert values["energy_j"] == pytest.approx(512 * 110, rel=0.2)
    assert (values["temp_c"], values["memory_temp_c"]) == (66.0, 71.0)
    assert values["memory_used_bytes"] == 13 * 2**30
    assert values["memory_reserved_bytes"] > 0
    assert values["throttle_bits"] & 0x80
    assert "power_brake" in values["throttle_reasons"]
    assert values["throttled_power_brake_ns"] == pytest.approx(110e9, rel=0.1)
    assert (values["pcie_generation"], values["pcie_width"], values["pcie_replays"]) == (4, 8, 7)
    assert (values["ecc_corrected"], values["ecc_uncorrected"]) == (5, 2)
    assert values["ecc_uncorrected_lifetime"] == 2
    assert (values["rows_remapped_corrected"], values["rows_remapped_uncorrected"]) == (1, 2)
    assert (values["row_remap_pending"], values["row_remap_failed"]) == (True, False)
    assert values["nvlinks"][3]["active"] is False
    assert values["nvlinks"][4]["replay_errors"] == 9
    assert values["nvlinks"][4]["recovery_errors"] == 2
    (process,) = values["processes"]
    assert (process["pid"], process["kind"], process["memory_bytes"]) == (
        4321, "compute", 3 * 2**30
    )  # fmt: skip
    assert process["sm_percent"] > 50
    assert values["sm_active_percent"] > 50
    assert values["pcie_tx_bytes_s"] > 1e6
    assert (values["power_limit_w"], values["power_limit_min_w"]) == (700.0, 200.0)


def test_the_wire_takes_it_and_the_model_too(tmp_path: Path, cell: Cell) -> None:
    with site(tmp_path, "h100-sxm") as (fake, pynvml):
        fake[0].start(4321, 80.0, 3 * 2**30)
        values, _ = scan(held(pynvml, cell))
    on_the_wire = msgspec.msgpack.decode(msgspec.msgpack.encode(values))
    head = {"device_id": "gpu-1", "kind": "gpu", "taken_at": "2026-11-24T00:00:00Z", "state": "ok"}
    reading = msgspec.convert(on_the_wire | head, GpuReading)
    assert reading.processes is not None
    assert reading.processes[0].pid == 4321


# --- what is not asked again ---------------------------------------------------------------------


def test_what_is_not_supported_is_asked_once(tmp_path: Path, cell: Cell) -> None:
    with site(tmp_path, "rtx-a2000") as (fake, pynvml):
        gpu = held(pynvml, cell)
        _, first = scan(gpu)
        before = fake.calls()
        _, second = scan(gpu)
        again = {
            name: count - before.get(name, 0)
            for name, count in fake.calls().items()
            if count != before.get(name, 0)
        }
        assert first == second
        assert "nvmlDeviceGetGpuFabricInfoV" not in again
        assert "nvmlGpmQueryDeviceSupport" not in again
        assert "nvmlDeviceGetTotalEccErrors" not in again
        assert fake.field_calls(pynvml.NVML_FI_DEV_REMAPPED_COR, 0) == 1
        assert again["nvmlDeviceGetUtilizationRates"] == 1


def test_it_is_asked_again_of_a_gpu_opened_anew(tmp_path: Path, cell: Cell) -> None:
    with site(tmp_path, "rtx-a2000") as (fake, pynvml):
        gpu = held(pynvml, cell)
        scan(gpu)
        gpu.fresh()
        scan(gpu)
        assert fake.calls()["nvmlGpmQueryDeviceSupport"] == 2


def test_what_failed_for_another_reason_is_asked_again(tmp_path: Path, cell: Cell) -> None:
    with site(tmp_path, "h100-sxm") as (fake, pynvml):
        gpu = held(pynvml, cell)
        with fake.fail(4, "nvmlDeviceGetPerformanceState"):
            values, absent = scan(gpu)
            assert absent["performance_state"] == Cause.NO_PERMISSION
            assert "performance_state" not in values
        values, absent = scan(gpu)
        assert values["performance_state"] >= 0


def test_dear_values_are_read_when_asked_for_alone(tmp_path: Path, cell: Cell) -> None:
    with site(tmp_path, "a100-40gb") as (fake, pynvml):
        gpu = held(pynvml, cell)
        for _ in range(8):
            scan(gpu, Tier.FAST, Tier.MEDIUM, Tier.SLOW)
        calls = fake.calls()
        assert "nvmlDeviceGetPcieThroughput" not in calls
        assert calls["nvmlDeviceGetGraphicsRunningProcesses_v3"] == 2
        scan(gpu, Tier.COSTLY)
        assert fake.calls()["nvmlDeviceGetPcieThroughput"] == 2


def test_the_fast_pace_is_seven_calls(tmp_path: Path, cell: Cell) -> None:
    with site(tmp_path, "h100-sxm") as (fake, pynvml):
        gpu = held(pynvml, cell)
        before = sum(fake.calls(0).values())
        scan(gpu, Tier.FAST)
        assert sum(fake.calls(0).values()) - before == 7


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("580.95.05", {269, 270, 271}), ("580.65.06", set()), ("570.86.10", set()), ("590.1", {269})],
)
def test_numbers_that_meant_something_else_are_not_asked_for(
    version: str, numbers: set[int], tmp_path: Path, cell: Cell
) -> None:
    """251 and 269 stood for throttling and for power smoothing, by turns."""
    with site(tmp_path, "b200") as (fake, pynvml):
        real = pynvml.nvmlSystemGetDriverVersion
        try:
            pynvml.nvmlSystemGetDriverVersion = lambda: version
            values, absent = scan(held(pynvml, cell), Tier.MEDIUM)
        finally:
            pynvml.nvmlSystemGetDriverVersion = real
        asked = {number for number in (251, 252, 253, 269, 270, 271) if fake.field_calls(number, 0)}
    assert asked >= numbers
    assert bool(asked) == bool(numbers)
    assert ("throttled_hw_thermal_ns" in values) == bool(numbers)
    assert numbers or absent["throttled_hw_thermal_ns"] == Cause.OLD_DRIVER


# --- MIG -----------------------------------------------------------------------------------------


def test_a_cut_gpu_is_read_instance_by_instance(tmp_path: Path, cell: Cell) -> None:
    with site(tmp_path, "h100-sxm") as (fake, pynvml):
        gpu = held(pynvml, cell)
        values, _ = scan(gpu)
        assert values["utilisation_percent"] == 0
        fake.partition(0, ["3g.40gb", "1g.10gb"])
        fake[0].start(77, 90.0, 2**30, gpu_instance=1, compute_instance=0)
        scan(gpu)
        values, absent = later(fake, gpu)
        assert values["mig_enabled"] is True
        assert absent["utilisation_percent"] == Cause.NOT_SUPPORTED
        instances = values["mig_instances"]
        assert [each["profile"] for each in instances] == ["3g.40gb", "1g.10gb"]
        assert instances[0]["sm_active_percent"] > instances[1]["sm_active_percent"]
        assert instances[0]["memory_used_bytes"] == 2**30
        fake.reset(0)
        pynvml.nvmlDeviceSetMigMode(gpu.handle, 0)
        values, absent = scan(gpu)
        assert values["utilisation_percent"] == 0  # asked again: a whole GPU supports it
        assert values["mig_instances"] == []


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, HandlesGone),
        (2, Refused),
        (3, Unsupported),
        (4, AccessDenied),
        (9, DriverNotLoaded),
        (13, OldDriver),
        (15, GpuLost),
        (18, VersionMismatch),
        (19, InUse),
        (25, OldDriver),
        (999, NvmlFailed),
        (12345, NvmlFailed),
    ],
)
def test_every_return_code_is_a_class_of_ours(
    code: int, kind: type[DriverError], tmp_path: Path, cell: Cell
) -> None:
    with site(tmp_path, "h100-sxm") as (fake, pynvml):
        gpu = held(pynvml, cell)
        with fake.fail(code, "nvmlDeviceGetPerformanceState"), pytest.raises(DriverError) as raised:
            gpu.ask("nvmlDeviceGetPerformanceState")
    assert type(raised.value) is kind
    assert f"NVML {code}" in str(raised.value)


def test_a_function_that_the_library_lacks(tmp_path: Path, cell: Cell) -> None:
    with site(tmp_path, "h100-sxm", driver="470") as (_, pynvml):
        gpu = held(pynvml, cell)
        with pytest.raises(OldDriver):
            gpu.ask("nvmlDeviceGetMarginTemperature")
        with pytest.raises(OldDriver):
            gpu.ask("nvmlDeviceGetWhatNoBindingHas")


def test_what_concerns_the_whole_gpu_ends_the_scan(tmp_path: Path, cell: Cell) -> None:
    with site(tmp_path, "h100-sxm*2") as (fake, pynvml):
        gpu, other = held(pynvml, cell), held(pynvml, cell, 1)
        fake[0].fall_off()
        with pytest.raises(GpuLost):
            scan(gpu)
        assert scan(other)[0]["temp_c"] > 0
        fake.reload_driver()
        with pytest.raises(HandlesGone):
            scan(other)


# --- what others see of a call -------------------------------------------------------------------


def test_the_cell_says_what_is_called(tmp_path: Path, cell: Cell) -> None:
    with site(tmp_path, "h100-sxm") as (_, pynvml):
        gpu = held(pynvml, cell)
        seen = []
        real = pynvml.nvmlDeviceGetPerformanceState
        try:
            pynvml.nvmlDeviceGetPerformanceState = lambda handle: seen.append(cell.read())
            gpu.ask("nvmlDeviceGetPerformanceState")
        finally:
            pynvml.nvmlDeviceGetPerformanceState = real
    (call,) = seen
    assert (call.operation, call.uuid) == ("nvmlDeviceGetPerformanceState", gpu.uuid)
    assert call.began_s is not None
    assert 0 <= time.monotonic() - call.began_s < 5
    after = cell.read()
    assert (after.operation, after.began_s) == ("nvmlDeviceGetPerformanceState", None)


def test_our_struct_for_gpm_begins_as_the_bindings() -> None:
    pynvml = binding()
    from drivers.gpu.nvml import gpm

    ours, theirs = gpm._Metrics, pynvml.c_nvmlGpmMetricsGet_t
    for name in ("version", "numMetrics", "sample1", "sample2", "metrics"):
        assert getattr(ours, name).offset == getattr(theirs, name).offset
    assert ctypes.sizeof(gpm._Metric) == ctypes.sizeof(pynvml.c_nvmlGpmMetric_t)


# --- settings ------------------------------------------------------------------------------------


def test_limits_of_a_gpu_that_has_none(tmp_path: Path, cell: Cell) -> None:
    from drivers.gpu.nvml.settings import put
    from drivers.gpu.wants import FanDuty, LockedClocks, PowerLimit

    with site(tmp_path, "rtx-a2000,h100-sxm") as (fake, pynvml):
        small, large = held(pynvml, cell), held(pynvml, cell, 1)
        with pytest.raises(OutOfRange):
            put(small, FanDuty(1.0))
        before, after, _ = put(small, FanDuty(70.0))
        assert after["fans"][0]["duty_percent"] == 70.0
        assert before["fans"][0]["duty_percent"] != 70.0
        with pytest.raises(Unsupported):
            put(large, FanDuty(70.0))
        with pytest.raises(Refused, match="lower and a higher"):
            put(large, LockedClocks(1200, None))
        with pytest.raises(Refused, match="lower and a higher"):
            put(large, LockedClocks(1300, 1200))
        for limit_w in (199.0, 701.0):
            with pytest.raises(OutOfRange, match="200 to 700 W"):
                put(large, PowerLimit(limit_w))
        with fake.fail(999, "nvmlDeviceGetPowerManagementLimit", skip=1):
            _, after, words = put(large, PowerLimit(600.0))
        assert fake[1].limit_w == 600.0
        assert after == {}
        assert "limit 600 W; it cannot be read back" in words
        fake[1].round_limits(10.0)
        _, after, words = put(large, PowerLimit(333.0))
        assert after["power_limit_w"] == 330.0
        assert "shows 330 W" in words
