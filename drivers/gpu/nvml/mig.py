"""GPUs cut into instances (MIG): the mode, the instances, the ways to cut."""

from __future__ import annotations

from typing import Any

from drivers.errors import Refused, Unsupported
from drivers.gpu.errors import GpuUnknown, OldDriver
from drivers.gpu.nvml import gpm
from drivers.gpu.nvml.held import Held
from drivers.gpu.nvml.words import profile_name

Values = dict[str, Any]
PROFILES = 0x20
"""More than the numbers of profiles that NVML has (18 with 13.615); others are not supported."""


def mode(gpu: Held, why: dict[str, str]) -> Values:
    """Whether the GPU is cut, now and after the next reset. Forgets the rest when that changes:
    a GPU in MIG mode supports other things than a whole one.
    """  # noqa: D205
    found = gpu.learn("mig_mode", lambda held: held.ask("nvmlDeviceGetMigMode"), why)
    if found is None:
        reason = why.pop("mig_mode")
        why.update(mig_enabled=reason, mig_pending=reason)
        return {}
    enabled, pending = (bool(each) for each in found)
    if gpu.kept.get("mig", enabled) != enabled:
        gpm.let_go(gpu)
        gpu.fresh()
    gpu.kept["mig"] = enabled
    return {"mig_enabled": enabled, "mig_pending": pending}


def instances(gpu: Held) -> Values:
    """The compute instances that there are, and what their parts do."""
    if "mig" not in gpu.kept:
        raise Unsupported(None, "nvmlDeviceGetMigMode: this GPU cannot be cut")
    if not gpu.kept["mig"]:
        return {"mig_instances": []}
    busy: dict[int, Values] = {}
    found: list[Values] = []
    for place in range(gpu.ask("nvmlDeviceGetMaxMigDeviceCount")):
        try:
            handle = gpu.ask("nvmlDeviceGetMigDeviceHandleByIndex", place)
        except GpuUnknown:  # places may be empty
            continue
        found.append(_instance(gpu, handle, busy))
    return {"mig_instances": found}


def _instance(gpu: Held, handle: Any, busy: dict[int, Values]) -> Values:
    number = gpu.ask_of(handle, "nvmlDeviceGetGpuInstanceId")
    memory = gpu.ask_of(handle, "nvmlDeviceGetMemoryInfo")
    if number not in busy:
        busy[number] = _busy(gpu, number)
    return {
        "uuid": gpu.ask_of(handle, "nvmlDeviceGetUUID"),
        "gpu_instance": number,
        "compute_instance": gpu.ask_of(handle, "nvmlDeviceGetComputeInstanceId"),
        "profile": profile_name(gpu.ask_of(handle, "nvmlDeviceGetName")),
        "memory_total_bytes": memory.total,
        "memory_used_bytes": memory.used,
        **busy[number],
    }


def _busy(gpu: Held, number: int) -> Values:
    if "gpm" not in gpu.kept:
        return {}
    measured = gpu.learn("gpm/instances", lambda held: gpm.since_last(held, number), {}) or {}
    return {name: measured[name] for name in gpm.OF_INSTANCES if name in measured}


def profiles(gpu: Held) -> list[Values]:
    """The ways in which the GPU can be cut; old drivers do not tell their names."""
    infos = (_profile(gpu, kind) for kind in range(PROFILES))
    return [
        {
            "name": profile_name(info.name),
            "id": info.id,
            "slices": info.sliceCount,
            "memory_mib": info.memorySizeMB,
            "most": info.instanceCount,
        }
        for info in infos
        if info is not None
    ]


def _profile(gpu: Held, kind: int) -> Any:
    try:
        return gpu.ask("nvmlDeviceGetGpuInstanceProfileInfo", kind)
    except OldDriver:
        raise
    except (Unsupported, Refused):  # a number that this GPU or this driver has no profile for
        return None
