"""How busy the parts of a GPU are (GPM, Hopper and later): two samples, and what lies between."""

from __future__ import annotations

import time
from ctypes import Structure, c_uint
from typing import Any

import pynvml

from drivers.errors import Unsupported
from drivers.gpu.nvml.held import Held

_MEBI = 1024 * 1024.0
PERCENT: tuple[tuple[int, str], ...] = (
    (pynvml.NVML_GPM_METRIC_GRAPHICS_UTIL, "graphics_active_percent"),
    (pynvml.NVML_GPM_METRIC_SM_UTIL, "sm_active_percent"),
    (pynvml.NVML_GPM_METRIC_SM_OCCUPANCY, "sm_occupancy_percent"),
    (pynvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL, "tensor_active_percent"),
    (pynvml.NVML_GPM_METRIC_DRAM_BW_UTIL, "dram_active_percent"),
    (pynvml.NVML_GPM_METRIC_INTEGER_UTIL, "integer_active_percent"),
    (pynvml.NVML_GPM_METRIC_FP64_UTIL, "fp64_active_percent"),
    (pynvml.NVML_GPM_METRIC_FP32_UTIL, "fp32_active_percent"),
    (pynvml.NVML_GPM_METRIC_FP16_UTIL, "fp16_active_percent"),
)
RATES: tuple[tuple[int, str], ...] = (
    (pynvml.NVML_GPM_METRIC_PCIE_TX_PER_SEC, "pcie_tx_bytes_s"),
    (pynvml.NVML_GPM_METRIC_PCIE_RX_PER_SEC, "pcie_rx_bytes_s"),
    (pynvml.NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC, "nvlink_tx_bytes_s"),
    (pynvml.NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC, "nvlink_rx_bytes_s"),
)
ASKED = PERCENT + RATES
FIELDS = tuple(name for _, name in ASKED)
OF_INSTANCES = tuple(name for _, name in PERCENT[:5])
LEAST_APART_S = 0.11
"""The header asks for 100 ms between two samples."""


class _Metric(Structure):
    _fields_ = pynvml.c_nvmlGpmMetric_t._fields_


class _Metrics(Structure):
    """As pynvml's own, whose array has room for all metrics there are: 19 KB of zeroes a call."""

    _fields_ = (
        ("version", c_uint),
        ("numMetrics", c_uint),
        ("sample1", pynvml.c_nvmlGpmSample_t),
        ("sample2", pynvml.c_nvmlGpmSample_t),
        ("metrics", _Metric * len(ASKED)),
    )


class Sampled:
    """The last sample of a GPU or of one of its instances."""

    def __init__(self, sample: Any) -> None:
        self.sample = sample
        self.at_s = 0.0
        self.spare: Any = None


def read(gpu: Held) -> dict[str, Any]:
    """What the GPU did since it was last read; nothing at the first time."""
    if "gpm" not in gpu.kept:
        if not gpu.ask("nvmlGpmQueryDeviceSupport").isSupportedDevice:
            raise Unsupported(None, "nvmlGpmQueryDeviceSupport: this GPU does not measure that")
        gpu.kept["gpm"] = {}
    return since_last(gpu, None)


def since_last(gpu: Held, instance: int | None) -> dict[str, Any]:
    """The values of the GPU or of one of its instances since they were last asked for."""
    samples: dict[int | None, Sampled] = gpu.kept["gpm"]
    last = samples.get(instance)
    if last is None:
        samples[instance] = last = Sampled(_new(gpu))
        _take(gpu, instance, last.sample)
        last.at_s = time.monotonic()
        return {}
    if time.monotonic() - last.at_s < LEAST_APART_S:
        return {}
    newer = last.spare or _new(gpu)
    _take(gpu, instance, newer)
    values = _between(gpu, last.sample, newer)
    last.sample, last.spare, last.at_s = newer, last.sample, time.monotonic()
    return values


def let_go(gpu: Held) -> None:
    """Free all samples of a GPU."""
    for sampled in gpu.kept.pop("gpm", {}).values():
        for sample in (sampled.sample, sampled.spare):
            if sample is not None:
                gpu.ask_of(sample, "nvmlGpmSampleFree")


def _new(gpu: Held) -> Any:
    return gpu.ask_alone("nvmlGpmSampleAlloc")


def _take(gpu: Held, instance: int | None, sample: Any) -> None:
    if instance is None:
        gpu.ask("nvmlGpmSampleGet", sample)
    else:
        gpu.ask("nvmlGpmMigSampleGet", instance, sample)


def _between(gpu: Held, earlier: Any, later: Any) -> dict[str, Any]:
    asked = _Metrics(
        version=pynvml.NVML_GPM_METRICS_GET_VERSION,
        numMetrics=len(ASKED),
        sample1=earlier,
        sample2=later,
    )
    for place, (number, _) in enumerate(ASKED):
        asked.metrics[place].metricId = number
    gpu.ask_of(asked, "nvmlGpmMetricsGet")
    values: dict[str, Any] = {}
    for place, (_, name) in enumerate(ASKED):
        answer = asked.metrics[place]
        if answer.nvmlReturn == pynvml.NVML_SUCCESS and answer.value == answer.value:
            values[name] = answer.value * (_MEBI if name.endswith("_s") else 1.0)
    return values
