"""What a GPU is and can: read when it is found, and after every change of the driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pynvml

from drivers.errors import DriverError
from drivers.gpu.answers import DriverFacts
from drivers.gpu.nvml import mig, parts
from drivers.gpu.nvml.held import Held
from drivers.gpu.nvml.session import DRIVER, FATAL, Nvml
from drivers.gpu.nvml.words import (
    ARCHITECTURES,
    LINK_PEERS,
    VIRTUALIZATION,
    cuda_version,
    word,
)
from drivers.gpu.pci import pci_address
from drivers.model_gpu import GpuFacts

Values = dict[str, Any]


def driver_facts(nvml: Nvml) -> DriverFacts:
    """The versions of the driver and of its library."""

    def ask(function: str) -> Any:
        try:
            return nvml.call(DRIVER, function)
        except FATAL:
            raise
        except DriverError:
            return None

    cuda = ask("nvmlSystemGetCudaDriverVersion_v2")
    return DriverFacts(
        driver_version=ask("nvmlSystemGetDriverVersion"),
        nvml_version=ask("nvmlSystemGetNVMLVersion"),
        cuda_version=cuda_version(cuda) if cuda else None,
    )


def _one(
    function: str, *arguments: Any, convert: Callable[[Any], Any] = lambda value: value
) -> Any:
    return lambda gpu: convert(gpu.ask(function, *arguments))


def _watts(milliwatts: int) -> float:
    return milliwatts / 1000


def _limits(gpu: Held) -> Values:
    least, most = gpu.ask("nvmlDeviceGetPowerManagementLimitConstraints")
    return {"power_limit_min_w": least / 1000, "power_limit_max_w": most / 1000}


def _memory_total(gpu: Held) -> int:
    return int(gpu.ask("nvmlDeviceGetMemoryInfo").total)


def _capability(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _link_version(gpu: Held) -> int | None:
    return gpu.ask("nvmlDeviceGetNvLinkVersion", 0) if parts.link_count(gpu) else None


def _peers(gpu: Held) -> list[Values]:
    return [_peer(gpu, link) for link in range(parts.link_count(gpu))]


def _peer(gpu: Held, link: int) -> Values:
    kind = gpu.optional("nvmlDeviceGetNvLinkRemoteDeviceType", link)
    place = gpu.optional("nvmlDeviceGetNvLinkRemotePciInfo", link)
    bus = place.busId if place else ""
    return {
        "index": link,
        "kind": None if kind is None else word(kind, LINK_PEERS),
        "pci_address": pci_address(bus) if bus else None,
    }


def _mig_profiles(gpu: Held) -> list[Values] | None:
    return mig.profiles(gpu) if "mig" in gpu.kept else None


def _mig_instances(gpu: Held) -> list[Values] | None:
    return mig.instances(gpu)["mig_instances"] if "mig" in gpu.kept else None


_FACTS: dict[str, Callable[[Held], Any]] = {
    "minor": _one("nvmlDeviceGetMinorNumber"),
    "name": _one("nvmlDeviceGetName"),
    "serial": _one("nvmlDeviceGetSerial"),
    "part_number": _one("nvmlDeviceGetBoardPartNumber"),
    "module": _one("nvmlDeviceGetModuleId"),
    "architecture": _one(
        "nvmlDeviceGetArchitecture", convert=lambda number: word(number, ARCHITECTURES)
    ),
    "compute_capability": _one("nvmlDeviceGetCudaComputeCapability", convert=_capability),
    "cores": _one("nvmlDeviceGetNumGpuCores"),
    "vbios": _one("nvmlDeviceGetVbiosVersion"),
    "inforom": _one("nvmlDeviceGetInforomImageVersion"),
    "virtualization": _one(
        "nvmlDeviceGetVirtualizationMode", convert=lambda number: word(number, VIRTUALIZATION)
    ),
    "memory_total_bytes": _memory_total,
    "memory_bus_bits": _one("nvmlDeviceGetMemoryBusWidth"),
    "power_limit_default_w": _one("nvmlDeviceGetPowerManagementDefaultLimit", convert=_watts),
    "sm_clock_max_mhz": _one("nvmlDeviceGetMaxClockInfo", pynvml.NVML_CLOCK_SM),
    "memory_clock_max_mhz": _one("nvmlDeviceGetMaxClockInfo", pynvml.NVML_CLOCK_MEM),
    "temp_slowdown_c": _one(
        "nvmlDeviceGetTemperatureThreshold", pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
    ),
    "temp_shutdown_c": _one(
        "nvmlDeviceGetTemperatureThreshold", pynvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN
    ),
    "memory_temp_max_c": _one(
        "nvmlDeviceGetTemperatureThreshold", pynvml.NVML_TEMPERATURE_THRESHOLD_MEM_MAX
    ),
    "fans": _one("nvmlDeviceGetNumFans"),
    "pcie_generation_max": _one("nvmlDeviceGetMaxPcieLinkGeneration"),
    "pcie_width_max": _one("nvmlDeviceGetMaxPcieLinkWidth"),
    "numa_node": _one("nvmlDeviceGetNumaNodeId"),
    "nvlinks": parts.link_count,
    "nvlink_version": _link_version,
    "nvlink_peers": _peers,
    "gpm": _one(
        "nvmlGpmQueryDeviceSupport", convert=lambda support: bool(support.isSupportedDevice)
    ),
    "events": _one("nvmlDeviceGetSupportedEventTypes"),
    "mig_profiles": _mig_profiles,
    "mig_instances": _mig_instances,
}


def examine(gpu: Held) -> GpuFacts:
    """Everything about a GPU that does not change by itself; raises what concerns all of it."""
    absent: dict[str, str] = {}
    values: Values = {
        "uuid": gpu.uuid,
        "index": gpu.index,
        "pci_address": gpu.pci_address,
    }
    mode = mig.mode(gpu, absent)
    if "mig_enabled" in mode:
        values["mig_enabled"] = mode["mig_enabled"]
    values |= gpu.learn("limits", _limits, absent) or {}
    for name, ask in _FACTS.items():
        found = gpu.learn(f"fact/{name}", ask, absent)
        if found is not None:
            values[name] = found
    named = {name.removeprefix("fact/"): reason for name, reason in absent.items()}
    return msgspec.convert(values | {"absent": named}, GpuFacts)
