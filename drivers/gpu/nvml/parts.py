"""What takes more than one call, or a struct: processes, links, fabric, fans, memory's health."""

from __future__ import annotations

from collections.abc import Iterable
from ctypes import byref
from typing import Any

import pynvml

from drivers.gpu.errors import Cause, GpuUnknown
from drivers.gpu.nvml.fields import ask_fields
from drivers.gpu.nvml.held import Held
from drivers.gpu.nvml.words import FABRIC_HEALTH, FABRIC_STATES, word

Values = dict[str, Any]
NO_INSTANCE = 0xFFFFFFFF
_NOT_KNOWN = 2**64 - 1
"""What NVML gives for memory that it cannot tell."""


# --- processes -------------------------------------------------------------------------------


def processes(gpu: Held) -> Values:
    """Who holds the GPU. The list of graphics costs most, and is asked every fourth time."""
    return _processes(gpu, "v3")


def processes_before_515(gpu: Held) -> Values:
    """The same from drivers that know the older form alone."""
    return _processes(gpu, "v2")


def _processes(gpu: Held, form: str) -> Values:
    running = gpu.ask(f"nvmlDeviceGetComputeRunningProcesses_{form}")
    found = {each.pid: _process(each, "compute") for each in running}
    turn = gpu.kept.get("processes", 0)
    gpu.kept["processes"] = turn + 1
    if turn % 4 == 0:
        graphics = _dear(gpu, f"nvmlDeviceGetGraphicsRunningProcesses_{form}")
        gpu.kept["graphics"] = [_process(each, "graphics") for each in graphics]
        clients = _dear(gpu, f"nvmlDeviceGetMPSComputeRunningProcesses_{form}")
        gpu.kept["mps"] = {each.pid for each in clients}
    for process in gpu.kept["graphics"]:
        found.setdefault(process["pid"], dict(process))
    for pid in gpu.kept["mps"] & found.keys():
        found[pid]["kind"] = "mps"
    for pid, shares in _shares(gpu, found.keys()).items():
        found[pid].update(shares)
    return {"processes": list(found.values())}


def _dear(gpu: Held, function: str) -> Any:
    return gpu.learn(function, lambda held: held.ask(function), {}) or ()


def _process(each: Any, kind: str) -> Values:
    process = {"pid": each.pid, "kind": kind}
    memory = each.usedGpuMemory
    if memory is not None and memory != _NOT_KNOWN:
        process["memory_bytes"] = memory
    if each.gpuInstanceId != NO_INSTANCE:
        process["gpu_instance"] = each.gpuInstanceId
        process["compute_instance"] = each.computeInstanceId
    return process


def _shares(gpu: Held, pids: Iterable[int]) -> dict[int, Values]:
    """How busy each process kept the GPU: its newest sample since the last time."""
    since_us = gpu.kept.get("sampled_us", 0)
    samples = gpu.learn("shares", lambda held: _samples(held, since_us), {}) or ()
    newest: dict[int, Any] = {}
    for sample in samples:
        known = newest.get(sample.pid)
        if sample.pid in pids and (known is None or sample.timeStamp > known.timeStamp):
            newest[sample.pid] = sample
    gpu.kept["sampled_us"] = max((s.timeStamp for s in newest.values()), default=since_us)
    return {
        pid: {
            "sm_percent": sample.smUtil,
            "memory_percent": sample.memUtil,
            "encoder_percent": sample.encUtil,
            "decoder_percent": sample.decUtil,
        }
        for pid, sample in newest.items()
    }


def _samples(gpu: Held, since_us: int) -> Any:
    try:
        return gpu.ask("nvmlDeviceGetProcessUtilization", since_us)
    except GpuUnknown:  # "not found": nothing has run since
        return ()


# --- links -----------------------------------------------------------------------------------

_LINK_ERRORS = (
    (pynvml.NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY, "replay_errors"),
    (pynvml.NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY, "recovery_errors"),
    (pynvml.NVML_FI_DEV_NVLINK_ERROR_DL_CRC, "crc_errors"),
    (pynvml.NVML_FI_DEV_NVLINK_COUNT_RCV_ERRORS, "receive_errors"),
    (pynvml.NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_FAILED_EVENTS, "failed_recoveries"),
)


def links(gpu: Held) -> Values:
    """Every NVLink with its state and errors; an empty list where the GPU has none."""
    count = link_count(gpu)
    found = [{"index": link} | _link_state(gpu, link) for link in range(count)]
    asked = [
        (number, link, name)
        for number, name in _LINK_ERRORS
        for link in range(count)
        if f"link/{name}" not in gpu.absent
    ]
    if asked:
        numbers = [(number, link) for number, link, _ in asked]
        answers = gpu.learn("links", lambda held: ask_fields(held, numbers), {}) or ()
        for (_, link, name), answer in zip(asked, answers, strict=False):
            _note(gpu, found[link], name, answer)
    return {"nvlinks": found}


def _note(gpu: Held, link: Values, name: str, answer: Any) -> None:
    if not isinstance(answer, Cause):
        link[name] = int(answer)
    elif link["active"] and answer in (Cause.NOT_SUPPORTED, Cause.OLD_DRIVER):
        gpu.absent[f"link/{name}"] = answer


def link_count(gpu: Held) -> int:
    """How many NVLinks the GPU has; raises as `ask` does where it cannot be told."""
    if "links" not in gpu.kept:
        (count,) = ask_fields(gpu, [(pynvml.NVML_FI_DEV_NVLINK_LINK_COUNT, 0)])
        gpu.kept["links"] = 0 if isinstance(count, Cause) else int(count)
    return int(gpu.kept["links"])


def _link_state(gpu: Held, link: int) -> Values:
    active = gpu.optional("nvmlDeviceGetNvLinkState", link)
    return {"active": None if active is None else bool(active)}


# --- fabric ----------------------------------------------------------------------------------


def fabric(gpu: Held) -> Values:
    """How far the GPU has come in joining the NVSwitch fabric, and whether that is healthy."""
    info = pynvml.c_nvmlGpuFabricInfo_v3_t()
    gpu.ask("nvmlDeviceGetGpuFabricInfoV", byref(info))
    return {
        "fabric_state": word(info.state, FABRIC_STATES),
        "fabric_health": word(info.healthSummary, FABRIC_HEALTH),
    }


def fabric_state(gpu: Held) -> Values:
    """The same from drivers that know no health."""
    info = pynvml.c_nvmlGpuFabricInfo_t()
    gpu.ask("nvmlDeviceGetGpuFabricInfo", byref(info))
    return {"fabric_state": word(info.state, FABRIC_STATES)}


# --- fans ------------------------------------------------------------------------------------


def fans(gpu: Held) -> Values:
    """The fans that the GPU drives itself; an empty list where the chassis blows."""
    count = gpu.ask("nvmlDeviceGetNumFans")
    found: list[Values] = []
    for fan in range(count):
        duty = gpu.ask("nvmlDeviceGetFanSpeed_v2", fan)
        found.append({"index": fan, "duty_percent": float(duty)})
    if found:  # pynvml asks the first alone
        rpm = gpu.learn("rpm", lambda held: held.ask("nvmlDeviceGetFanSpeedRPM"), {})
        found[0] |= {} if rpm is None else {"rpm": rpm}
    return {"fans": found}


# --- memory's health -------------------------------------------------------------------------


def row_banks(gpu: Held) -> Values:
    """Banks of memory by what is left to repair them with."""
    histogram = gpu.ask("nvmlDeviceGetRowRemapperHistogram")
    return {"row_banks_low": histogram.low, "row_banks_exhausted": histogram.none}


def sram(gpu: Held) -> Values:
    """Whether there were so many SRAM errors that the GPU has to be exchanged."""
    status = pynvml.c_nvmlEccSramErrorStatus_v1_t()
    gpu.ask("nvmlDeviceGetSramEccErrorStatus", byref(status))
    return {"sram_threshold_exceeded": bool(status.bThresholdExceeded)}


def repair(gpu: Held) -> Values:
    """Whether a repair waits for the next reset."""
    return {"repair_pending": any(gpu.ask("nvmlDeviceGetRepairStatus"))}


def vgpu_licence(gpu: Held) -> Values:
    """Whether a virtual GPU has its licence."""
    features = gpu.ask("nvmlDeviceGetGridLicensableFeatures_v4")
    if not features.isGridLicenseSupported:
        return {"vgpu_licensed": None}
    listed = features.gridLicensableFeatures[: features.licensableFeaturesCount]
    return {"vgpu_licensed": any(feature.featureState for feature in listed)}
