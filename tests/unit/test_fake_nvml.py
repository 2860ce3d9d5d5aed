"""The fake NVML: its interface, its GPUs and where they come from."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.sim.nvml.build import BuildError, build, functions
from drivers.sim.nvml.control import FakeGpus
from drivers.sim.nvml.layout import STRUCTS, State, read_layout
from drivers.sim.nvml.tables import load_drivers, load_models, models_in_c
from tests.fake_nvml import binding, built, handles, loaded, running, site

MODELS = list(load_models())
STRUCTS_OF_THE_BINDING = {
    "nvml_pci": "nvmlPciInfo_t",
    "nvml_pci_ext": "nvmlPciInfoExt_v1_t",
    "nvml_branch": "c_nvmlSystemDriverBranchInfo_v1_t",
    "nvml_memory": "c_nvmlMemory_t",
    "nvml_memory_v2": "c_nvmlMemory_v2_t",
    "nvml_bar1": "c_nvmlBAR1Memory_t",
    "nvml_utilization": "c_nvmlUtilization_t",
    "nvml_process": "c_nvmlProcessInfo_v3_t",
    "nvml_process_detail": "c_nvmlProcessDetail_v1_t",
    "nvml_process_details": "c_nvmlProcessDetailList_v1_t",
    "nvml_process_sample": "c_nvmlProcessUtilizationSample_t",
    "nvml_process_utilization": "c_nvmlProcessUtilizationInfo_v1_t",
    "nvml_processes_utilization": "c_nvmlProcessesUtilizationInfo_v1_t",
    "nvml_accounting": "c_nvmlAccountingStats_t",
    "nvml_temperature": "c_nvmlTemperature_v1_t",
    "nvml_margin": "c_nvmlMarginTemperature_v1_t",
    "nvml_fan_speed": "c_nvmlFanSpeedInfo_t",
    "nvml_power_value": "c_nvmlPowerValue_v2_t",
    "nvml_violation": "c_nvmlViolationTime_t",
    "nvml_ecc_counts": "c_nvmlEccErrorCounts_t",
    "nvml_sram_status": "c_nvmlEccSramErrorStatus_v1_t",
    "nvml_remap_histogram": "c_nvmlRowRemapperHistogramValues",
    "nvml_repair": "c_nvmlRepairStatus_t",
    "nvml_field": "c_nvmlFieldValue_t",
    "nvml_event": "c_nvmlEventData_t",
    "nvml_fabric": "c_nvmlGpuFabricInfo_t",
    "nvml_fabric_v3": "c_nvmlGpuFabricInfo_v3_t",
    "nvml_gpm_metric": "c_nvmlGpmMetric_t",
    "nvml_gpm_support": "c_nvmlGpmSupport_t",
    "nvml_placement": "c_nvmlGpuInstancePlacement_t",
    "nvml_gpu_profile": "c_nvmlGpuInstanceProfileInfo_t",
    "nvml_gpu_profile_v2": "c_nvmlGpuInstanceProfileInfo_v2_t",
    "nvml_gpu_instance": "c_nvmlGpuInstanceInfo_t",
    "nvml_compute_profile": "c_nvmlComputeInstanceProfileInfo_t",
    "nvml_compute_profile_v2": "c_nvmlComputeInstanceProfileInfo_v2_t",
    "nvml_compute_instance": "c_nvmlComputeInstanceInfo_t",
    "nvml_attributes": "c_nvmlDeviceAttributes",
}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[FakeGpus, Any]]:
    with site(tmp_path, "h100-sxm,t4") as made:
        yield made


@pytest.mark.parametrize(("ours", "theirs"), STRUCTS_OF_THE_BINDING.items())
def test_structs_have_the_size_that_the_binding_gives_them(ours: str, theirs: str) -> None:
    library = ctypes.CDLL(str(built().library))
    assert library.fake_size_of(ours.encode()) == ctypes.sizeof(getattr(binding(), theirs))


def test_the_head_of_a_gpm_request_ends_where_the_binding_puts_its_metrics() -> None:
    library = ctypes.CDLL(str(built().library))
    theirs = binding().c_nvmlGpmMetricsGet_t.metrics.offset
    assert library.fake_size_of(b"nvml_gpm_metrics") == theirs


def test_every_struct_is_held_against_the_binding() -> None:
    source = (Path(build.__code__.co_filename).parent / "src/sizes.c").read_text()
    checked = {*STRUCTS_OF_THE_BINDING, "nvml_gpm_metrics"}
    assert {line.split("(")[1].split(")")[0] for line in source.splitlines()
            if line.startswith("    SIZE(")} == checked  # fmt: skip


def test_the_binding_knows_every_function() -> None:
    source = Path(binding().__file__).read_text()
    older = {"nvmlInit_v2"}  # of which newer names are asked
    assert [each for each in functions() if f'"{each}"' not in source and each not in older] == []


def test_python_and_c_agree_on_the_shared_state() -> None:
    members = {name for name, _ in STRUCTS["fake_gpu"]._fields_}
    assert {"uuid", "limit_mw", "processes", "gpu_instances"} <= members
    assert ctypes.sizeof(State) > 100_000


def test_a_header_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="pointer"):
        read_layout("struct odd {\n    char *pointer;\n};\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.pop("cores"), "no cores"),
        (lambda table: table.update(colour="green"), "colour"),
        (lambda table: table["has"].append("wings"), "has_wings"),
        (lambda table: table["mig"][0].pop("starts"), "no starts"),
    ],
)
def test_a_model_with_a_wrong_key_is_an_error(change: Any, said: str) -> None:
    models = load_models()
    change(models["h100-sxm"])
    with pytest.raises(ValueError, match=said):
        models_in_c(models)


def test_what_cannot_be_compiled_is_an_error(tmp_path: Path) -> None:
    built()
    with pytest.raises(BuildError, match="no-such-flag"):
        build(tmp_path, flags=["--no-such-flag"])
    with pytest.raises(BuildError, match="no driver '12'"):
        built("12")


def test_without_an_environment_there_is_no_driver() -> None:
    with loaded(built().library) as n:
        with pytest.raises(n.NVMLError_DriverNotLoaded):
            n.nvmlInit()
        with pytest.raises(n.NVMLError_Uninitialized):
            n.nvmlDeviceGetCount()


def test_gpus_by_environment_alone_belong_to_one_process() -> None:
    with loaded(built().library, STOKER_FAKE_NVML_GPUS="l40s*2,t4") as n:
        n.nvmlInit()
        names = [n.nvmlDeviceGetName(each) for each in handles(n)]
        assert names == ["NVIDIA L40S", "NVIDIA L40S", "Tesla T4"]


def test_the_first_client_makes_a_file_that_is_named_and_missing(tmp_path: Path) -> None:
    path = tmp_path / "gpus"
    with loaded(built().library, STOKER_FAKE_NVML=str(path), STOKER_FAKE_NVML_GPUS="t4*16") as n:
        n.nvmlInit()
        assert n.nvmlDeviceGetCount() == 16
    fake = FakeGpus(path, built())
    assert len(fake) == 16
    fake.close()


@pytest.mark.parametrize("gpus", ["", "h100-sxm*17", "h100-sxm*9,t4*9", "h100", "t4*x", "t4;t4"])
def test_gpus_that_there_are_not(gpus: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such GPUs"):
        FakeGpus.create(tmp_path / "gpus", gpus, built=built())
    with (
        loaded(built().library, STOKER_FAKE_NVML_GPUS=gpus) as n,
        pytest.raises(n.NVMLError_DriverNotLoaded),
    ):
        n.nvmlInit()


def test_a_file_that_is_no_state_is_no_driver(tmp_path: Path) -> None:
    path = tmp_path / "gpus"
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="no state of fake GPUs"):
        FakeGpus(path, built())
    with pytest.raises(FileExistsError):
        FakeGpus.create(path, built=built())
    with (
        loaded(built().library, STOKER_FAKE_NVML=str(path), STOKER_FAKE_NVML_GPUS="t4") as n,
        pytest.raises(n.NVMLError_DriverNotLoaded),
    ):
        n.nvmlInit()
    assert path.read_bytes() == b"something else"


def test_the_same_seed_gives_the_same_gpus(tmp_path: Path) -> None:
    made = [
        FakeGpus.create(tmp_path / str(number), "t4*16", built=built(), seed=seed)
        for number, seed in enumerate((1, 1, 2))
    ]
    first, same, other = ([gpu.uuid for gpu in fake.gpus] for fake in made)
    assert first == same
    assert len({*first, *other}) == 32
    for fake in made:
        fake.close()


def test_other_processes_see_the_same_gpus(pair: tuple[FakeGpus, Any]) -> None:
    fake, n = pair
    script = "print(n.nvmlDeviceGetUUID(n.nvmlDeviceGetHandleByIndex(1)))"
    with running(fake, script) as process:
        assert process.communicate(timeout=20)[0].strip() == fake[1].uuid
    assert n.nvmlDeviceGetUUID(handles(n)[1]) == fake[1].uuid


def test_a_gpu_is_found_under_each_of_its_names(pair: tuple[FakeGpus, Any]) -> None:
    fake, n = pair
    second = handles(n)[1]
    for found in (
        n.nvmlDeviceGetHandleByUUID(fake[1].uuid),
        n.nvmlDeviceGetHandleBySerial(n.nvmlDeviceGetSerial(second).encode()),
        n.nvmlDeviceGetHandleByPciBusId(fake[1].pci_bus_id.encode()),
        n.nvmlDeviceGetHandleByPciBusId(n.nvmlDeviceGetPciInfo(second).busId.encode()),
    ):
        assert n.nvmlDeviceGetIndex(found) == 1
    for ask in (n.nvmlDeviceGetHandleByUUID, n.nvmlDeviceGetHandleBySerial):
        with pytest.raises(n.NVMLError_NotFound):
            ask(b"nobody")
    with pytest.raises(n.NVMLError_InvalidArgument):
        n.nvmlDeviceGetHandleByIndex(2)


def test_the_minor_number_is_not_the_index(pair: tuple[FakeGpus, Any]) -> None:
    _, n = pair
    assert [n.nvmlDeviceGetMinorNumber(each) for each in handles(n)] == [1, 0]


def test_what_was_never_a_handle_is_refused(pair: tuple[FakeGpus, Any]) -> None:
    _, n = pair
    for number in (0, 1, 0xDEADBEEF, (1 << 64) - 1):
        stray = ctypes.cast(number, n.c_nvmlDevice_t)
        with pytest.raises(n.NVMLError_InvalidArgument):
            n.nvmlDeviceGetPowerUsage(stray)


def test_a_buffer_too_small(pair: tuple[FakeGpus, Any]) -> None:
    _, n = pair
    name = ctypes.create_string_buffer(4)
    assert n.nvmlLib.nvmlDeviceGetName(handles(n)[0], name, 4) == n.NVML_ERROR_INSUFFICIENT_SIZE


def test_a_struct_of_another_version(pair: tuple[FakeGpus, Any]) -> None:
    _, n = pair
    with pytest.raises(n.NVMLError_ArgumentVersionMismatch):
        n.nvmlDeviceGetMemoryInfo(handles(n)[0], version=0x03000028)


@pytest.mark.parametrize("driver", load_drivers())
def test_an_old_driver_lacks_functions(driver: str, tmp_path: Path) -> None:
    about = load_drivers()[driver]
    with site(tmp_path, "h100-sxm", driver=driver) as (_, n):
        assert n.nvmlSystemGetDriverVersion() == about.version
        assert n.nvmlSystemGetNVMLVersion() == about.nvml
        assert n.nvmlSystemGetCudaDriverVersion() == about.cuda
        missing = [each for each in functions() if not hasattr(n.nvmlLib, each)]
        assert missing == sorted(about.lacks)
        last, beyond = n.nvmlDeviceGetFieldValues(handles(n)[0], [about.fields - 1, about.fields])
        assert beyond.nvmlReturn == n.NVML_ERROR_INVALID_ARGUMENT
        assert last.nvmlReturn != n.NVML_ERROR_INVALID_ARGUMENT
        if "nvmlDeviceGetMemoryInfo_v2" in about.lacks:
            with pytest.raises(n.NVMLError_FunctionNotFound):
                n.nvmlDeviceGetMemoryInfo(handles(n)[0], version=n.nvmlMemory_v2)


def test_a_reader_can_ask_every_model_everything(tmp_path: Path) -> None:
    """Each getter of one handle answers, or says why not; none of them crashes."""
    known = ["NotSupported", "NotFound", "InvalidArgument", "NoData"]
    with site(tmp_path, ",".join(MODELS)) as (fake, n):
        refused = tuple(getattr(n, f"NVMLError_{each}") for each in known)
        for slot, handle in enumerate(handles(n)):
            fake[slot].load(50)
            answered = 0
            for name in functions():
                if not name.startswith("nvmlDeviceGet") or "HandleBy" in name:
                    continue
                ask = getattr(n, name.removesuffix("_v3"), None)
                try:
                    if ask is not None:
                        ask(handle)
                        answered += 1
                except refused:
                    continue
                except TypeError:
                    continue  # wants more than a handle
            assert answered > 40


def test_calls_are_counted_by_function_gpu_and_field(pair: tuple[FakeGpus, Any]) -> None:
    fake, n = pair
    first, second = handles(n)
    for _ in range(3):
        n.nvmlDeviceGetPowerUsage(first)
    n.nvmlDeviceGetPowerUsage(second)
    n.nvmlDeviceGetFieldValues(second, [186, 186, 83])
    assert fake.calls()["nvmlDeviceGetPowerUsage"] == 4
    assert fake.calls(0)["nvmlDeviceGetPowerUsage"] == 3
    assert fake.calls(1) == {"nvmlDeviceGetPowerUsage": 1, "nvmlDeviceGetFieldValues": 1}
    assert (fake.field_calls(186, 1), fake.field_calls(186, 0)) == (2, 0)


def test_process_names_are_those_of_the_host(pair: tuple[FakeGpus, Any]) -> None:
    _, n = pair
    assert "python" in n.nvmlSystemGetProcessName(os.getpid())
    with pytest.raises(n.NVMLError_NotFound):
        n.nvmlSystemGetProcessName(2**22 + 1)
